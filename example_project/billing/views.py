from __future__ import annotations

from rest_framework.generics import ListAPIView

from billing.models import Invoice
from billing.serializers import InvoiceSerializer
from closient_auth.permissions import HasOrganizationPermission
from closient_auth.roles import Permission


class InvoiceList(ListAPIView):
    """List the invoices of the organization. Billing members have access, although they cannot change products."""

    permission_classes = [HasOrganizationPermission]
    required_permissions = Permission.MANAGE_BILLING
    queryset = Invoice.objects.all()
    serializer_class = InvoiceSerializer
