"""The views of the URLconf and their policies."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.urls import get_resolver
from rest_framework.permissions import AND, OR, AllowAny, BasePermission
from rest_framework.settings import api_settings

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.permissions import HasOrganizationPermission

POLICIES = {"authentication_classes", "permission_classes", "throttle_classes"}


class View:
    """A REST framework view: its class and the arguments and actions of ``as_view()``."""

    def __init__(self, cls: Any, initkwargs: Mapping[str, Any], actions: Mapping[str, str]) -> None:
        self.cls, self.initkwargs, self.actions = cls, initkwargs, actions
        self.authenticators = self.get_classes("authentication_classes", "get_authenticators")
        self.permissions = self.get_classes("permission_classes", "get_permissions")
        self.throttles = self.get_classes("throttle_classes", "get_throttles")
        self.takes_keys = includes(self.authenticators, ApiKeyAuthentication)
        self.checks_organization = includes(self.permissions, HasOrganizationPermission)
        self.is_public = bool(self.permissions) and is_open(self.permissions or ())

    def get(self, attribute: str) -> Any:
        return self.initkwargs.get(attribute, getattr(self.cls, attribute, None))

    def get_classes(self, attribute: str, method: str) -> Collection[Any] | None:
        """Return the classes of a policy, or None if a method of the view chooses them for each request."""
        classes = self.get(attribute)
        return classes if isinstance(classes, Collection) and not self.overrides(method) else None

    def overrides(self, *methods: str) -> bool:
        """Return whether the view has methods other than those of REST framework's classes."""
        owners = (next((base for base in self.cls.__mro__ if name in vars(base)), self.cls) for name in methods)
        return not all(owner.__module__.startswith("rest_framework.") for owner in owners)

    def __str__(self) -> str:
        name = f"{self.cls.__module__}.{self.cls.__name__}"
        # An action with its own policies is not the same place as its viewset.
        has_own = self.actions and self.initkwargs.keys() & POLICIES
        return f"{name}.{'/'.join(self.actions.values())}" if has_own else name


class DefaultView(View):
    """A view without policies of its own: it has the classes in REST framework's settings."""

    def __init__(self) -> None:
        super().__init__(None, {}, {})
        # A view can be public on purpose, but a default cannot.
        self.is_public = False

    def get_classes(self, attribute: str, method: str) -> Collection[Any]:
        try:
            classes = getattr(api_settings, f"DEFAULT_{attribute.upper()}")
        except ImportError:
            # REST framework raises the same error when the project imports a view.
            return ()
        return classes if isinstance(classes, Collection) else (classes,)


def get_views() -> list[View]:
    """Return the distinct REST framework views of the project, or none if its URLconf cannot be loaded."""
    try:
        routes = list(_walk(get_resolver().url_patterns))
    except Exception:
        # Django's own check of the URLconf reports the error.
        return []
    distinct = {}
    for cls, initkwargs, actions in routes:
        # The arguments need not be hashable, so the key has their ids.
        key = cls, frozenset((name, id(value)) for name, value in initkwargs.items()), frozenset(actions.items())
        distinct[key] = cls, initkwargs, actions
    return [View(*route) for route in distinct.values()]


def _walk(patterns: Iterable[Any]) -> Iterator[tuple[Any, dict[str, Any], dict[str, str]]]:
    # This import evaluates the classes in REST framework's settings, so it waits until the URLconf is loaded.
    from rest_framework.views import APIView

    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _walk(pattern.url_patterns)
            continue
        callback = getattr(pattern, "callback", None)
        # ``functools.wraps`` copies the attribute ``cls``. Other wrappers have only a reference to the view.
        while callback is not None and not hasattr(callback, "cls"):
            callback = getattr(callback, "__wrapped__", None) or getattr(callback, "func", None)
        cls = getattr(callback, "cls", None)
        if isinstance(cls, type) and issubclass(cls, APIView) and not cls.__module__.startswith("closient_auth."):
            yield cls, getattr(callback, "initkwargs", {}), getattr(callback, "actions", None) or {}


def iter_classes(classes: Iterable[Any] | None) -> Iterator[Any]:
    """Yield the classes of a policy and the operands of ``&``, ``|`` and ``~`` in them."""
    for cls in classes or ():
        yield cls
        yield from iter_classes(getattr(cls, name) for name in ("op1_class", "op2_class") if hasattr(cls, name))


def includes(classes: Iterable[Any] | None, *wanted: type) -> bool:
    """Return whether a policy contains one of the wanted classes or a subclass, alone or as an operand."""
    return any(isinstance(cls, type) and issubclass(cls, wanted) for cls in iter_classes(classes))


def is_open(permissions: Iterable[Any]) -> bool:
    """Return whether permission classes admit every request. An empty list does."""
    return all(map(_admits_every_request, permissions))


def _admits_every_request(permission: Any) -> bool:
    operator = getattr(permission, "operator_class", None)
    if operator in (AND, OR):
        operands = map(_admits_every_request, (permission.op1_class, permission.op2_class))
        return all(operands) if operator is AND else any(operands)
    # A class with only ``has_object_permission`` inherits a ``has_permission`` that returns True.
    return getattr(permission, "has_permission", None) in (AllowAny.has_permission, BasePermission.has_permission)
