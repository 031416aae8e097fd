"""The pages about the keys of an organization."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from closient_auth.dashboard.frame import OrganizationPage
from closient_auth.models import ApiKey
from closient_auth.roles import Permission


class KeysPage(OrganizationPage):
    title = _("API keys")
    tab = "keys"
    permission = Permission.MANAGE_API_KEYS
    template_name = "closient_auth/dashboard/keys.html"

    def get_queryset(self) -> QuerySet[ApiKey]:
        keys = ApiKey.objects.filter(organization=self.organization)
        return keys.with_holders().select_related("created_by", "successor").order_by("-created_at", "pk")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(rows=self.paginate(self.get_queryset()), **kwargs)
