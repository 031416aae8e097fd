from django.db.models import QuerySet

from closient_auth.api import serializers
from closient_auth.api.base import OrganizationScopedViewSet
from closient_auth.models import AuditEntry
from closient_auth.roles import Permission


class AuditViewSet(OrganizationScopedViewSet):
    """The audit log of the organization, newest first."""

    tag, nouns = "audit", "audit log entries"
    serializer_class = serializers.AuditEntrySerializer
    filter_serializer_class = serializers.AuditFilterSerializer
    required_permissions = Permission.MANAGE_MEMBERS

    def get_queryset(self) -> QuerySet[AuditEntry]:
        return AuditEntry.objects.filter(organization_id=self.organization.pk).order_by("-created_at", "pk")
