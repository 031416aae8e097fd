from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_View = TypeVar("_View", bound=Callable[..., Any])

PUBLISHABLE = "closient_auth_publishable"


def publishable(view: _View) -> _View:
    """
    Open a view to publishable keys: safe methods, and what ``organization.view_organization`` allows.

    Goes on a view class, whose subclasses are open then as well, on one of its methods or actions, or above
    ``@api_view``.
    """
    setattr(_get_target(view), PUBLISHABLE, True)
    return view


def required_permissions(permissions: str | Mapping[str, str]) -> Callable[[_View], _View]:
    """Say what ``HasOrganizationPermission`` asks of a function view; goes above ``@api_view``."""
    if callable(permissions):
        raise TypeError('@required_permissions takes a permission, as in @required_permissions("organization.…").')

    def decorator(view: _View) -> _View:
        target = _get_target(view)
        # Below ``@api_view`` it would be forgotten, and the view open to whoever may look at the organization.
        if not isinstance(target, type):
            raise TypeError(
                f"Put @required_permissions above @api_view: {view.__qualname__} is not a view yet. "
                "For a method or an action name it in the required_permissions of its class."
            )
        target.required_permissions = permissions  # type: ignore[attr-defined]
        return view

    return decorator


def is_publishable(view: Any, method: str) -> bool:
    """Return whether the view, or its handler of this HTTP method, was opened to publishable keys."""
    handler = getattr(view, method.lower(), None)
    return getattr(view, PUBLISHABLE, False) is True or getattr(handler, PUBLISHABLE, False) is True


def _get_target(view: Any) -> Any:
    target = getattr(view, "cls", view)
    # ``@api_view`` makes a class for one function; any other class behind a view serves other routes as well.
    if target is not view and target.__qualname__ != "WrappedAPIView":
        raise TypeError(f"Decorate the class {target.__qualname__}, not the view that as_view() made of it.")
    return target
