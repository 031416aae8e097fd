"""A face: one way to write views that take keys. All faces have the same routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.urls import path


@dataclass(frozen=True)
class Face:
    """URL patterns, and the apps and middleware that they need; ``is_async`` says that the views are."""

    name: str
    patterns: tuple[Any, ...]
    apps: tuple[str, ...] = ()
    middleware: tuple[str, ...] = ()
    is_async: bool = False
    # ``LoginRequiredMiddleware`` redirects keyed requests to the views of some frameworks.
    passes_login_required: bool = True

    def __str__(self) -> str:
        return self.name


def get_patterns(
    view: Callable[..., Any], opened: Callable[..., Any], billing: Callable[..., Any], failing: Callable[..., Any]
) -> tuple[Any, ...]:
    """Return the routes for four views.

    ``view`` and ``failing`` require the permission by method, ``opened`` also takes publishable keys, and ``billing``
    requires ``manage_billing``. They return ``describe()``; ``failing`` raises the error for the status in its URL.
    """
    return (
        path("view/", view),
        path("open/", opened),
        path("billing/", billing),
        path("organizations/<organization_id>/", view),
        path("errors/<int:status>/", failing),
    )
