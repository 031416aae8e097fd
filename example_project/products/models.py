from __future__ import annotations

from uuid import uuid4

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from closient_auth.models import Organization


def validate_gtin(gtin: str) -> None:
    """Raise ``ValidationError`` unless the text is a GTIN: 8, 12, 13 or 14 digits with a correct check digit."""
    if len(gtin) not in {8, 12, 13, 14} or not (gtin.isascii() and gtin.isdigit()):
        raise ValidationError("A GTIN should have 8, 12, 13 or 14 digits.", code="invalid_gtin")
    weighted = sum(int(digit) * (1 if index % 2 else 3) for index, digit in enumerate(reversed(gtin[:-1])))
    if (weighted + int(gtin[-1])) % 10:
        raise ValidationError("The check digit of this GTIN is not correct.", code="invalid_gtin")


class Product(models.Model):
    """A product sold by an organization."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="products")
    name = models.CharField(max_length=255)
    gtin = models.CharField("GTIN", max_length=14, validators=[validate_gtin])
    description = models.TextField(blank=True, max_length=2000)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Offer(models.Model):
    """A shop's price for a product. It belongs to the organization of its product."""

    class Availability(models.TextChoices):
        IN_STOCK = "in_stock", "In stock"
        OUT_OF_STOCK = "out_of_stock", "Out of stock"
        PREORDER = "preorder", "Preorder"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    product = models.ForeignKey(Product, models.CASCADE, related_name="offers")
    price = models.DecimalField(max_digits=10, decimal_places=2, validators=[MinValueValidator(0)])
    currency = models.CharField(
        max_length=3, validators=[RegexValidator("^[A-Z]{3}\\Z", "Enter three capitals, as in ISO 4217.")]
    )
    link = models.URLField(blank=True)
    availability = models.CharField(max_length=16, choices=Availability.choices, default=Availability.IN_STOCK)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["price", "id"]

    def __str__(self) -> str:
        return f"{self.product}: {self.price} {self.currency}"
