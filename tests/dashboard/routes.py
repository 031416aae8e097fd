"""The addresses of the dashboard, read from its URLconf."""

from __future__ import annotations

import re
from typing import Any

from django.urls import URLPattern

from closient_auth.dashboard import urls

NAMESPACE = "closient_dashboard"
METHODS = ("get", "post")


def walk(patterns: Any) -> Any:
    """Yield every pattern below these, and those around it."""
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield (pattern,)
        else:
            yield from ((pattern, *inner) for inner in walk(pattern.url_patterns))


class Route:
    """A named address: the names of its arguments and its methods."""

    def __init__(self, *patterns: Any) -> None:
        last = patterns[-1]
        self.name: str = last.name
        self.view_class = last.callback.view_class
        self.arguments = {name for pattern in patterns for name in pattern.pattern.converters}
        allowed = self.view_class.http_method_names
        self.methods = {name for name in METHODS if name in allowed and hasattr(self.view_class, name)}


ROUTES = {route.name: route for route in (Route(*patterns) for patterns in walk(urls.urlpatterns))}
# The addresses that a browser can open.
PAGES = sorted(name for name, route in ROUTES.items() if "get" in route.methods)
ACTIONS = sorted(name for name, route in ROUTES.items() if "post" in route.methods)
# Addresses of files to download. A browser does not show them.
FILES = {"audit-csv"}


def get_text(response: Any) -> str:
    """Return the page without its CSRF token, which each response masks anew."""
    return re.sub('(name="csrfmiddlewaretoken" value=)"[^"]*"', r"\1", response.text)
