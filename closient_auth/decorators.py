"""Decorators to open views to publishable keys and to declare permissions."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_View = TypeVar("_View", bound=Callable[..., Any])

PUBLISHABLE = "closient_auth_publishable"


def publishable(view: _View) -> _View:
    """Open a view to publishable keys, for safe methods with the permission ``organization.view_organization``.

    Apply it to a view class (subclasses inherit it), to one of its methods or actions, or above ``@api_view``. Raise
    ``TypeError`` for a view returned by ``as_view()``.
    """
    setattr(_get_target(view), PUBLISHABLE, True)
    return view


def required_permissions(permissions: str | Mapping[str, str]) -> Callable[[_View], _View]:
    """Set the permissions of a function view for ``HasOrganizationPermission``.

    Apply it above ``@api_view``. Raise ``TypeError`` for a missing argument or anything other than a function view.
    """
    if callable(permissions):
        raise TypeError(
            '@required_permissions takes a permission, for example @required_permissions("organization.…").'
        )

    def decorator(view: _View) -> _View:
        target = _get_target(view)
        # Below ``@api_view`` the declaration would be lost, and the view would require only the default permission.
        if not isinstance(target, type):
            raise TypeError(
                f"Put @required_permissions above @api_view: {view.__qualname__} is not a view yet. "
                "For a method or an action, set required_permissions on its class."
            )
        target.required_permissions = permissions  # type: ignore[attr-defined]
        return view

    return decorator


def is_publishable(view: Any, method: str) -> bool:
    """Return whether the view, or its handler for this HTTP method, is open to publishable keys."""
    handler = getattr(view, method.lower(), None)
    return getattr(view, PUBLISHABLE, False) is True or getattr(handler, PUBLISHABLE, False) is True


def _get_target(view: Any) -> Any:
    target = getattr(view, "cls", view)
    # ``@api_view`` creates one class per function. Any other class behind a view may serve other routes as well.
    if target is not view and target.__qualname__ != "WrappedAPIView":
        raise TypeError(f"Decorate the class {target.__qualname__}, not the view returned by as_view().")
    return target
