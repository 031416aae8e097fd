"""Add headers to the response of a REST framework view, also to its error responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request


def get_view(request: object) -> Any:
    """Return the REST framework view of the request, or ``None`` outside a view."""
    parser_context: Mapping[str, Any] = getattr(request, "parser_context", None) or {}
    return parser_context.get("view")


def set_headers(request: object, headers: Mapping[str, str]) -> None:
    """Set headers of the response. REST framework copies the view's ``headers`` to it; outside a view, do nothing."""
    view_headers = getattr(get_view(request), "headers", None)
    if view_headers is not None:
        view_headers.update(headers)


def vary_on(request: object, header: str) -> None:
    """Add a request header to the response's ``Vary`` header. Outside a view, do nothing."""
    view_headers = getattr(get_view(request), "headers", None)
    if view_headers is not None:
        named = [name.strip() for name in view_headers.get("Vary", "").split(",") if name.strip()]
        if header.lower() not in map(str.lower, named):
            view_headers["Vary"] = ", ".join([*named, header])


def forbid_storing(request: Request | HttpRequest) -> None:
    """
    Keep the response out of every cache.

    Shared caches do not store responses to requests with ``Authorization`` (RFC 9111, section 3.5), but they do not know
    the API key header. Without this, a request without a key could get the cached response to a valid key.
    """
    set_headers(request, {"Cache-Control": "private, no-store"})
    # A decorator around the view may still replace ``Cache-Control``; Django's cache middleware checks this first.
    getattr(request, "_request", request)._cache_update_cache = False  # type: ignore[union-attr]
