"""The routes of the URLconf."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver

# The attribute that ``closient_auth.contrib`` sets on a plain view that accepts API keys.
GATE = "closient_auth_gate"


class Route(NamedTuple):
    path: str
    callback: Any
    # The names of the arguments in the URL.
    arguments: frozenset[str] = frozenset()


def get_routes() -> list[Route]:
    """Return the routes of the project, or none if its URLconf cannot be loaded."""
    try:
        return list(_walk(get_resolver().url_patterns))
    except Exception:
        # Django's own check of the URLconf reports the error.
        return []


def _walk(patterns: Iterable[Any], prefix: str = "", outer: frozenset[str] = frozenset()) -> Iterator[Route]:
    for pattern in patterns:
        part = getattr(pattern, "pattern", "")
        path, arguments = f"{prefix}{part}", outer.union(_get_arguments(part))
        if hasattr(pattern, "url_patterns"):
            yield from _walk(pattern.url_patterns, path, arguments)
        else:
            yield Route(path, getattr(pattern, "callback", None), arguments)


def _get_arguments(part: Any) -> Iterable[str]:
    try:
        return frozenset(part.regex.groupindex)
    except (AttributeError, ImproperlyConfigured):
        # Django's own check of the URLconf reports an invalid pattern.
        return ()


def unwrap(callback: Any) -> Iterator[Any]:
    """Yield a view, and the views inside its decorators up to the one that ``as_view()`` made."""
    while callback is not None:
        yield callback
        # ``functools.wraps`` copies the attribute ``cls``. Other wrappers have only a reference to the view.
        is_last = hasattr(callback, "cls")
        callback = None if is_last else getattr(callback, "__wrapped__", None) or getattr(callback, "func", None)
