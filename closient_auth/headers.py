"""Add headers to the response of a view, also to its error responses."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request

from closient_auth.core import responses


def get_view(request: object) -> Any:
    """Return the REST framework view of the request, or ``None`` outside a view."""
    parser_context: Mapping[str, Any] = getattr(request, "parser_context", None) or {}
    return parser_context.get("view")


def get_headers(request: Request | HttpRequest) -> dict[str, str]:
    """Return the headers of the response to come.

    REST framework copies the ``headers`` of its view. Outside its views, ``ResponseHeadersMiddleware`` or
    ``organization_permission_required`` set them.
    """
    headers: dict[str, str] | None = getattr(get_view(request), "headers", None)
    return responses.get_headers(getattr(request, "_request", request)) if headers is None else headers


def vary_on(request: Request | HttpRequest, header: str) -> None:
    """Add a request header to the response's ``Vary`` header."""
    responses.vary_on(get_headers(request), header)


def forbid_storing(request: Request | HttpRequest) -> None:
    """Keep the response out of every cache, see ``closient_auth.core.responses``."""
    responses.forbid_storing(get_headers(request), getattr(request, "_request", request))
