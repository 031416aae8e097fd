from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from closient_auth.organizations import get_organization, get_organization_field

# REST framework's views import the classes that settings name, this one among them: at run time it would be a circle.
if TYPE_CHECKING:
    from rest_framework.views import APIView


class OrganizationFilterBackend(BaseFilterBackend):
    """
    Narrow a view's queryset to the request's organization.

    ``organization_field`` on the view is the lookup path from a row to it, by default ``"organization"``.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        return queryset.filter(**{get_organization_field(view): get_organization(request).pk})
