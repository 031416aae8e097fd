from django.contrib import admin

from tenancy.models import Membership, Organization


class MembershipInline(admin.TabularInline):
    model = Membership
    fields = ["user", "email", "role", "date_joined"]
    extra = 0


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):
    list_display = ["name", "created_at"]
    search_fields = ["name"]
    inlines = [MembershipInline]
