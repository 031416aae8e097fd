"""Headers that a view's response will carry, whatever the view answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request


def get_view(request: object) -> Any:
    """Return the REST framework view that handles the request, or ``None`` outside one."""
    parser_context: Mapping[str, Any] = getattr(request, "parser_context", None) or {}
    return parser_context.get("view")


def set_headers(request: object, headers: Mapping[str, str]) -> None:
    """Set headers of the response to come; REST framework puts a view's ``headers`` into it at the end."""
    view_headers = getattr(get_view(request), "headers", None)
    if view_headers is not None:
        view_headers.update(headers)


def vary_on(request: object, header: str) -> None:
    """Say that the response to come depends on this request header."""
    view_headers = getattr(get_view(request), "headers", None)
    if view_headers is not None:
        named = [name.strip() for name in view_headers.get("Vary", "").split(",") if name.strip()]
        if header.lower() not in map(str.lower, named):
            view_headers["Vary"] = ", ".join([*named, header])


def forbid_storing(request: Request | HttpRequest) -> None:
    """
    Keep the response out of every shared cache.

    Caches spare responses to ``Authorization`` on their own (RFC 9111, section 3.5) and know nothing of our header: one
    call with a good key would fill the cache, and the next without a key would get the private body.
    """
    set_headers(request, {"Cache-Control": "private, no-store"})
    # A decorator around the view may still make it public again; this is what Django's own cache looks at first.
    getattr(request, "_request", request)._cache_update_cache = False  # type: ignore[union-attr]
