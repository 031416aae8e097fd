from __future__ import annotations

from django.contrib import admin

from products.models import Offer, Product


class OfferInline(admin.TabularInline):
    model = Offer
    extra = 0


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ["name", "gtin", "organization"]
    list_filter = ["organization"]
    list_select_related = ["organization"]
    search_fields = ["name", "gtin"]
    inlines = [OfferInline]
