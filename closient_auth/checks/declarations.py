"""Rules of ``required_permissions``."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from inspect import getattr_static

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from closient_auth.checks.rules import Finding
from closient_auth.checks.settings import suggest
from closient_auth.checks.views import GuardedView, View, uses_mixin
from closient_auth.decorators import is_publishable
from closient_auth.permissions import get_required_permission
from closient_auth.roles import Permission, get_all_permissions

MIDDLEWARE = "closient_auth.middleware.ResponseHeadersMiddleware"


def find_declarations(view: View) -> Iterator[Finding]:
    declared = view.initkwargs.get("required_permissions", getattr_static(view.cls, "required_permissions", None))
    # A property needs a request.
    if declared is None or hasattr(declared, "__get__"):
        return
    if view.permissions is None or view.checks_organization:
        for name in declared if isinstance(declared, Mapping) else ():
            # Every HTTP method is allowed: views may share a mapping, and a viewset class has no method named "get".
            is_method = name in view.cls.http_method_names or name in map(str.upper, view.cls.http_method_names)
            if not is_method and not callable(getattr(view.cls, str(name), None)):
                yield Finding("W013", view, {"name": name})
        yield from _find_permissions(view)
    elif view.permissions and view.takes_keys and not view.is_public:
        yield Finding("W005", view)


def find_gates(view: GuardedView) -> Iterator[Finding]:
    """Find unknown permissions of ``organization_permission_required`` and other guards."""
    known = get_all_permissions()
    # Without a permission, the method of the request decides.
    if view.permission is not None and view.permission not in known:
        yield Finding("E012", view, {"permission": view.permission, "suggestion": suggest(view.permission, known)})


def find_lost_headers(view: GuardedView) -> Iterator[Finding]:
    """Find operations of django-ninja whose responses would lack the headers of the gate."""
    if view.needs_middleware and MIDDLEWARE not in settings.MIDDLEWARE:
        yield Finding("E013", view)


def find_misspellings(view: View) -> Iterator[Finding]:
    if not view.checks_organization:
        return
    # A comparison is slow, so the many names of REST framework's classes are left out.
    bases = [base for base in view.cls.__mro__ if not base.__module__.startswith("rest_framework.")]
    names = {name for base in bases for name in vars(base)}
    attributes = ["required_permissions", "organization_field"]
    if uses_mixin(view):
        attributes += ["parent_lookup_kwargs", "shared_fields"]
    for meant in attributes:
        for name in get_close_matches(meant, names - {meant}, cutoff=0.9):
            if isinstance(view.get(name), str | Mapping | list | tuple | set):
                yield Finding("W017", view, {"name": name, "meant": meant})


def _find_permissions(view: View) -> Iterator[Finding]:
    # ``__init__`` may be code of the project, so it is not called.
    instance = view.cls.__new__(view.cls)
    handlers = {method: getattr(view.cls, action, None) for method, action in view.actions.items()}
    vars(instance).update(view.initkwargs, action_map=view.actions, **handlers)
    # If the view chooses its permission classes, a method without a permission may belong to another class.
    is_fixed, known = view.permissions is not None, get_all_permissions()
    # HEAD takes the permission of GET, and would be reported a second time.
    for method in (name for name in view.cls.http_method_names if name != "head"):
        handler = view.actions.get(method, method.upper())
        # OPTIONS needs no more than GET, and publishable keys can use no other method.
        is_public = is_fixed and method == "get" and is_publishable(instance, method)
        try:
            permission = get_required_permission(instance, method.upper())
        except ImproperlyConfigured:
            if is_fixed:
                yield Finding("E007", view, {"handler": handler})
            continue
        if permission not in known:
            yield Finding("E008", view, {"permission": permission, "suggestion": suggest(permission, known)})
        elif is_public and permission != Permission.VIEW_ORGANIZATION:
            yield Finding("W014", view, {"handler": handler, "permission": permission})
