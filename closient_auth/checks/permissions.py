from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from inspect import getattr_static
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from rest_framework.permissions import NOT, OR, DjangoModelPermissions, IsAdminUser

from closient_auth.checks.settings import check_settings, suggest
from closient_auth.checks.views import (
    PERMISSION,
    View,
    are_keys_taken,
    are_keys_taken_by_default,
    asks_for_organization,
    get_default,
    get_views,
    includes,
    iter_classes,
    name_views,
    unique,
)
from closient_auth.decorators import is_publishable
from closient_auth.permissions import HasOrganizationPermission, get_required_permission
from closient_auth.roles import Permission, get_all_permissions

_LOOK = Permission.VIEW_ORGANIZATION


def check_open_views(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that a public view says so."""
    views = get_views()
    silent = [view for view in views if view.get_classes(PERMISSION) in ((), [])]
    if silent and are_keys_taken(views):
        yield Warning(
            f"The permission classes should not be empty in: {name_views(silent)}.",
            hint="They admit every request. Name the permission classes, or AllowAny if the view is public.",
            id="closient_auth.W003",
        )


def check_staff_permissions(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that nothing which is granted to a person, outside of any organization, is asked of a key."""
    if are_keys_taken_by_default() and _asks_for_staff(get_default("DEFAULT_PERMISSION_CLASSES")):
        place = "REST_FRAMEWORK['DEFAULT_PERMISSION_CLASSES']"
    else:
        place = name_views(
            view for view in get_views() if view.takes_keys() and _asks_for_staff(view.get_classes(PERMISSION))
        )
    if place:
        yield Warning(
            f"IsAdminUser and DjangoModelPermissions should not be used with API keys in: {place}.",
            hint="A user key gets the permissions that its user has in Django's admin, and an organization's key is "
            "always refused. Use HasOrganizationPermission, or remove ApiKeyAuthentication from the view.",
            id="closient_auth.W004",
        )


def check_required_permissions(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that what views declare as ``required_permissions`` is complete, known and read by somebody."""
    # The known permissions come from a setting, which has its own check.
    if any(check_settings()):
        return
    declarations = filter(_declares_permissions, get_views())
    yield from unique(message for view in declarations for message in _check_declaration(view))


def check_compositions(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that ``HasOrganizationPermission`` stands where its refusal is one."""
    views = get_views()
    if inverted := [view for view in views if any(map(_is_inverted, _iter_parts(view)))]:
        yield Error(
            f"HasOrganizationPermission should not be negated with ~ in: {name_views(inverted)}.",
            hint="~ admits every request that the class refuses. Write an explicit permission class instead.",
            id="closient_auth.E010",
        )
    if hiding := [view for view in views if any(map(_hides_others, _iter_parts(view)))]:
        yield Warning(
            f"HasOrganizationPermission should be the last operand of | in: {name_views(hiding)}.",
            hint="It responds 404 for another organization's object, and the permission after it is never evaluated.",
            id="closient_auth.W010",
        )


def check_attributes(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that what ``HasOrganizationPermission`` reads of a view is not misspelt there."""
    views = filter(asks_for_organization, get_views())
    yield from unique(message for view in views for message in _check_attributes(view))


def _iter_parts(view: View) -> Iterator[Any]:
    return iter_classes(view.get_classes(PERMISSION))


def _is_inverted(permission: Any) -> bool:
    return getattr(permission, "operator_class", None) is NOT and includes([permission], HasOrganizationPermission)


def _hides_others(permission: Any) -> bool:
    is_either = getattr(permission, "operator_class", None) is OR
    return is_either and includes([permission.op1_class], HasOrganizationPermission)


def _asks_for_staff(permissions: Iterable[Any] | None) -> bool:
    return includes(permissions, IsAdminUser, DjangoModelPermissions)


def _declares_permissions(view: View) -> bool:
    declared = view.initkwargs.get("required_permissions", getattr_static(view.cls, "required_permissions", None))
    # A property answers at each request, and only then.
    return declared is not None and not hasattr(declared, "__get__")


def _check_declaration(view: View) -> Iterator[CheckMessage]:
    permissions = view.get_classes(PERMISSION)
    if permissions is None or includes(permissions, HasOrganizationPermission):
        yield from _check_permissions(view, complete=permissions is not None)
    elif permissions and view.takes_keys() and not view.is_public():
        yield Warning(
            f"{view}.required_permissions is not read by any of the view's permission classes.",
            hint="Add HasOrganizationPermission to permission_classes. Without it, the view requires no permission.",
            id="closient_auth.W005",
        )


def _check_permissions(view: View, *, complete: bool) -> Iterator[CheckMessage]:
    # Without ``__init__``, so that none of the host's code runs. The rule itself is the one of a request.
    instance = view.cls.__new__(view.cls)
    handlers = {method: getattr(view.cls, action, None) for method, action in view.actions.items()}
    vars(instance).update(view.initkwargs, action_map=view.actions, **handlers)
    yield from _check_names(view, instance.required_permissions)
    known = get_all_permissions()
    for method in view.cls.http_method_names:
        try:
            permission = get_required_permission(instance, method.upper())
        except ImproperlyConfigured as error:
            if complete:
                yield Error(str(error), hint="Until then, such a request gets a 500 response.", id="closient_auth.E007")
            continue
        if permission not in known:
            yield Error(
                f"{view}.required_permissions names {permission!r}, which is not a known permission.",
                hint=f"{suggest(permission, known)} Add your own to CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS'].",
                id="closient_auth.E008",
            )
        # The other safe methods need what GET needs, or no more than looking.
        elif complete and method == "get" and permission != _LOOK and is_publishable(instance, method):
            yield Warning(
                f"{view} is @publishable, but {view.actions.get(method, method.upper())} needs {permission!r}.",
                hint=f"Publishable keys have only {_LOOK.value!r}, so they are refused. "
                "Require that permission, or put @publishable only on the methods that they may call.",
                id="closient_auth.W014",
            )


def _check_names(view: View, declared: object) -> Iterator[CheckMessage]:
    for name in declared if isinstance(declared, Mapping) else ():
        # Any method passes, since views of a family share a mapping; those of a viewset are on no class.
        is_method = name in view.cls.http_method_names or name in map(str.upper, view.cls.http_method_names)
        if not is_method and not callable(getattr(view.cls, str(name), None)):
            yield Warning(
                f"{view}.required_permissions names {name!r}, which is not an action or method of the view.",
                hint="No request reads it. Use an HTTP method or an action of the viewset, such as 'destroy'.",
                id="closient_auth.W013",
            )


def _check_attributes(view: View) -> Iterator[CheckMessage]:
    for name in ("required_permissions", "organization_field"):
        for near in get_close_matches(name, dir(view.cls), cutoff=0.9):
            if near != name and isinstance(view.get(near), str | Mapping):
                message = f"{view}.{near} is not read by HasOrganizationPermission."
                yield Warning(message, hint=f"Did you mean {name!r}?", id="closient_auth.W017")
