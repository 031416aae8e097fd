from __future__ import annotations

from uuid import uuid4

from django.db import models

from closient_auth.models import Organization


class Invoice(models.Model):
    """An organization's bill for a month."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        PAID = "paid", "Paid"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="invoices")
    number = models.CharField(max_length=32, unique=True)
    month = models.DateField()
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.OPEN)

    class Meta:
        ordering = ["-month", "-number"]

    def __str__(self) -> str:
        return self.number
