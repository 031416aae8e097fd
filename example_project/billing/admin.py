from __future__ import annotations

from django.contrib import admin

from billing.models import Invoice


@admin.register(Invoice)
class InvoiceAdmin(admin.ModelAdmin):
    list_display = ["number", "organization", "month", "amount", "currency", "status"]
    list_filter = ["organization", "status"]
    list_select_related = ["organization"]
    date_hierarchy = "month"
