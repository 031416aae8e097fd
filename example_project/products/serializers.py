from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from example.fields import Strings, TextField
from products.models import Offer, Product, validate_gtin


@extend_schema_field({"type": "string", "format": "gtin"})
class GtinField(Strings, serializers.CharField):
    pass


@extend_schema_field({"type": "string", "format": "decimal", "pattern": r"^[0-9]{1,8}(\.[0-9]{1,2})?$"})
class PriceField(Strings, serializers.DecimalField):
    pass


class ProductSerializer(serializers.ModelSerializer):
    """The organization is not a field: it comes from the credential, not from the body."""

    name = TextField(max_length=255)
    gtin = GtinField(validators=[validate_gtin])
    description = TextField(max_length=2000, required=False, allow_blank=True)

    class Meta:
        model = Product
        fields = ["id", "name", "gtin", "description", "created_at"]


class OfferSerializer(serializers.ModelSerializer):
    price = PriceField(max_digits=10, decimal_places=2, min_value=0)

    class Meta:
        model = Offer
        fields = ["id", "price", "currency", "link", "availability", "created_at"]
