"""Limit list views to the request's organization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from closient_auth.organizations import get_organization, get_organization_field

# Imported for type checking only: REST framework's views import the classes named in the settings, this one included.
if TYPE_CHECKING:
    from rest_framework.views import APIView


class OrganizationFilterBackend(BaseFilterBackend):
    """Limit a view's queryset to rows of the request's organization.

    Set ``organization_field`` on the view to the lookup path from a row to its organization. The default is
    ``"organization"``.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """Return the filtered queryset. Raise the same errors as ``get_organization()``."""
        return queryset.filter(**{get_organization_field(view): get_organization(request).pk})
