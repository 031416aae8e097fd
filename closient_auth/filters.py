"""Limit list views to the request's organization."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from closient_auth.organizations import get_organization, get_organization_field


class OrganizationFilterBackend(BaseFilterBackend):
    """Limit a view's queryset to rows of the request's organization. Raise the same errors as ``get_organization()``.

    Set ``organization_field`` on the view to the lookup path from a row to its organization. The default is
    ``"organization"``.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        return queryset.filter(**{get_organization_field(view): get_organization(request).pk})
