"""Rules of ``cache_page``."""

from collections.abc import Iterator
from types import FunctionType
from typing import Any

from django.middleware.cache import FetchFromCacheMiddleware

from closient_auth.checks.routes import Route, unwrap
from closient_auth.checks.rules import Finding
from closient_auth.checks.views import FRAMEWORKS, GuardedView, View


def find_cached_views(view: View) -> Iterator[Finding]:
    """Find ``cache_page`` around a view that accepts API keys, or around one of its methods.

    Around a method it stores an ``HttpResponse`` before ``Vary`` and ``Cache-Control`` are added, so the next caller gets
    the response of another organization. Around the view it does the same with the responses of sessions.
    """
    # A public view has the same response for everybody.
    if view.takes_keys and not view.is_public:
        bases = [base for base in view.cls.__mro__ if not base.__module__.startswith(FRAMEWORKS)]
        methods = [member for base in bases for member in vars(base).values()]
        if any(map(_is_cached, methods)) or any(map(_is_cached_in, view.routes)):
            yield Finding("W020", view)


def find_cached_guards(view: GuardedView) -> Iterator[Finding]:
    """Find ``cache_page`` around or inside a plain view that accepts API keys."""
    cls = getattr(view.route.callback, "view_class", object)
    if _is_cached_in(view.route) or any(_is_cached(member) for base in cls.__mro__ for member in vars(base).values()):
        yield Finding("W020", view)


def _is_cached_in(route: Route) -> bool:
    return any(map(_is_cached, unwrap(route.callback)))


def _is_cached(value: Any, depth: int = 8) -> bool:
    """Return whether the closures of a function contain the middleware of ``cache_page``."""
    if isinstance(value, type):
        return issubclass(value, FetchFromCacheMiddleware)
    if isinstance(value, list | tuple):
        return any(_is_cached(item, depth) for item in value)
    if isinstance(value, FunctionType):
        cells = [cell for cell in value.__closure__ or () if depth and _has_value(cell)]
        return any(_is_cached(cell.cell_contents, depth - 1) for cell in cells)
    return isinstance(value, FetchFromCacheMiddleware)


def _has_value(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        # The function was not called to its end.
        return False
    return True
