from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from closient_auth.models import Organization
from closient_auth.models.api_keys import ApiKeyQuerySet, KeyState


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        return KeyState.choices

    def queryset(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> ApiKeyQuerySet:  # type: ignore[override]
        state = self.value()
        return queryset.in_state(state) if state in KeyState.values else queryset


class OrganizationFilter(admin.SimpleListFilter):
    """Filter keys by a typed slug or id, because a list of all organizations would be too long."""

    title = _("organization")
    parameter_name = "organization"
    template = "admin/closient_auth/apikey/organization_filter.html"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, Any]]:
        return []

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        # The parameters keep the other filters.
        yield {
            "query_string": changelist.get_query_string(remove=[self.parameter_name]),
            "parameters": [pair for pair in changelist.params.items() if pair[0] != self.parameter_name],
        }

    def queryset(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> ApiKeyQuerySet:  # type: ignore[override]
        name = (self.value() or "").strip()
        return queryset.filter(organization__in=Organization.objects.named(name)) if name else queryset
