"""What the URLconf serves, and what REST framework's settings say for the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.urls import get_resolver
from rest_framework.permissions import AND, OR, AllowAny, BasePermission
from rest_framework.settings import api_settings

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.permissions import HasOrganizationPermission

# Attribute of a view, and the method that overrides it.
AUTHENTICATION = ("authentication_classes", "get_authenticators")
PERMISSION = ("permission_classes", "get_permissions")
THROTTLE = ("throttle_classes", "get_throttles")


@dataclass(frozen=True, slots=True)
class View:
    """A REST framework view as one route serves it: its class, and what ``as_view()`` was given."""

    cls: Any
    initkwargs: Mapping[str, Any]
    actions: Mapping[str, str]

    def get(self, attribute: str) -> Any:
        return self.initkwargs.get(attribute, getattr(self.cls, attribute, None))

    def get_classes(self, policy: tuple[str, str]) -> Collection[Any] | None:
        """Return the classes of a policy; ``None`` where a method of the view chooses them at each request."""
        from rest_framework.views import APIView

        attribute, method = policy
        classes = self.get(attribute)
        if getattr(self.cls, method) is not getattr(APIView, method) or not isinstance(classes, Collection):
            return None
        return classes

    def takes_keys(self) -> bool:
        return includes(self.get_classes(AUTHENTICATION), ApiKeyAuthentication)

    def is_public(self) -> bool:
        """Return whether the view says itself, by ``AllowAny``, that anybody may come."""
        classes = self.get_classes(PERMISSION)
        return bool(classes) and is_open(classes or ())

    def __str__(self) -> str:
        name = f"{self.cls.__module__}.{self.cls.__name__}"
        # An action with policies of its own is a finding of its own.
        has_own = self.actions and self.initkwargs.keys() & _ATTRIBUTES
        return f"{name}.{'/'.join(self.actions.values())}" if has_own else name


_ATTRIBUTES = {attribute for attribute, _ in (AUTHENTICATION, PERMISSION, THROTTLE)}


def get_views() -> list[View]:
    """Return the views that the URLconf serves, this package's own aside, or none where it cannot be loaded."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    try:
        return list(_walk(get_resolver().url_patterns))
    except Exception:
        # Whatever is wrong with it, Django's own check of the URLconf tells.
        return []


def get_default(name: str) -> Collection[Any]:
    """Return the classes that REST framework's settings name, or none where they cannot be imported."""
    try:
        classes = getattr(api_settings, name)
    except ImportError:
        # REST framework raises it again, with its own words, as soon as a view is imported.
        return ()
    return classes if isinstance(classes, Collection) else (classes,)


def name_views(views: Iterable[View]) -> str:
    return ", ".join(sorted({str(view) for view in views}))


def unique(messages: Iterable[CheckMessage]) -> Iterable[CheckMessage]:
    """Return each message once: a viewset has several routes."""
    return {message.msg: message for message in messages}.values()


def are_keys_taken_by_default() -> bool:
    return includes(get_default("DEFAULT_AUTHENTICATION_CLASSES"), ApiKeyAuthentication)


def are_keys_taken(views: Iterable[View]) -> bool:
    """Return whether keys authenticate anywhere: by default, or on a view."""
    return are_keys_taken_by_default() or any(view.takes_keys() for view in views)


def is_open(permissions: Iterable[Any]) -> bool:
    """Return whether permission classes let anybody in: none at all do, and so does ``AllowAny``."""
    return all(map(_lets_anybody_in, permissions))


def iter_classes(classes: Iterable[Any] | None) -> Iterator[Any]:
    """Yield the classes of a policy, and what permissions composed with ``&``, ``|`` and ``~`` are made of."""
    for cls in classes or ():
        yield cls
        yield from iter_classes(getattr(cls, name) for name in ("op1_class", "op2_class") if hasattr(cls, name))


def includes(classes: Iterable[Any] | None, *wanted: type) -> bool:
    """Return whether a policy is known to have one of the wanted classes, or a subclass, in whatever composition."""
    return any(isinstance(cls, type) and issubclass(cls, wanted) for cls in iter_classes(classes))


def asks_for_organization(view: View) -> bool:
    return includes(view.get_classes(PERMISSION), HasOrganizationPermission)


def _lets_anybody_in(permission: Any) -> bool:
    operator = getattr(permission, "operator_class", None)
    if operator is AND:
        return _lets_anybody_in(permission.op1_class) and _lets_anybody_in(permission.op2_class)
    if operator is OR:
        return _lets_anybody_in(permission.op1_class) or _lets_anybody_in(permission.op2_class)
    # A class that judges objects only inherits the answer of the base, which is yes.
    return getattr(permission, "has_permission", None) in (AllowAny.has_permission, BasePermission.has_permission)


def _walk(patterns: Iterable[Any]) -> Iterator[View]:
    # Importing views evaluates the classes that settings name, so not before the URLconf does that.
    from rest_framework.views import APIView

    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _walk(pattern.url_patterns)
            continue
        callback = _unwrap(getattr(pattern, "callback", None))
        cls = getattr(callback, "cls", None)
        if not isinstance(cls, type) or not issubclass(cls, APIView) or cls.__module__.startswith("closient_auth."):
            continue
        yield View(cls, getattr(callback, "initkwargs", {}), getattr(callback, "actions", None) or {})


def _unwrap(callback: Any) -> Any:
    # Decorators that use ``functools.wraps`` keep the attribute; others at least the way to what they wrap.
    while callback is not None and not hasattr(callback, "cls"):
        callback = getattr(callback, "__wrapped__", None) or getattr(callback, "func", None)
    return callback
