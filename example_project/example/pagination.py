from __future__ import annotations

import re
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView


class Pages(PageNumberPagination):
    """Page numbers, as in ``?page=2&page_size=50``: 25 rows a page by default, at most 100."""

    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 100

    def paginate_queryset(self, queryset: QuerySet, request: Request, view: APIView | None = None) -> list[Any] | None:
        """Refuse invalid numbers with a 400. REST framework would ignore an invalid ``page_size``."""
        for name in ("page", "page_size"):
            if not re.fullmatch("[1-9][0-9]*", request.query_params.get(name, "1")):
                raise ValidationError({name: ["Enter a whole number of at least 1."]})
        return super().paginate_queryset(queryset, request, view)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        parameters = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            parameter["schema"]["minimum"] = 1
        return parameters
