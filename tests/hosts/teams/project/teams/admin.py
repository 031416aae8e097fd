from django.contrib import admin

from teams.models import Team, TeamMember, TeamRole


class RoleInline(admin.TabularInline):
    model = TeamRole
    extra = 1


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):
    list_display = ["name", "slug"]
    search_fields = ["name", "slug"]


@admin.register(TeamMember)
class TeamMemberAdmin(admin.ModelAdmin):
    list_display = ["user", "team", "left_at"]
    list_filter = ["team"]
    inlines = [RoleInline]
