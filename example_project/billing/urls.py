from __future__ import annotations

from django.urls import path

from billing.views import InvoiceList

app_name = "billing"
urlpatterns = [
    path("invoices", InvoiceList.as_view(), name="invoice-list"),
]
