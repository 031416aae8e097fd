"""Rules of authentication, permission and throttle classes."""

from collections.abc import Iterator, Sequence

from rest_framework.permissions import NOT, OR, AllowAny, DjangoModelPermissions, IsAdminUser

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.checks.rules import Finding
from closient_auth.checks.views import DefaultView, GuardedView, View, includes, is_open, iter_classes
from closient_auth.permissions import HasOrganizationPermission, SessionOnly
from closient_auth.throttling import ApiKeyRateThrottle

# If one of these settings breaks the rule, the message names the setting and not the views that inherit it.
DEFAULTS = {
    "W001": "REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES']",
    "W002": "REST_FRAMEWORK['DEFAULT_THROTTLE_CLASSES']",
    "W004": "REST_FRAMEWORK['DEFAULT_PERMISSION_CLASSES']",
}
# The views of drf-spectacular are not the project's code, but have settings.
SPECTACULAR = {
    "W001": "SPECTACULAR_SETTINGS['SERVE_AUTHENTICATION']",
    "W002": "SPECTACULAR_SETTINGS['SERVE_AUTHENTICATION']",
    "W003": "SPECTACULAR_SETTINGS['SERVE_PERMISSIONS']",
    "W004": "SPECTACULAR_SETTINGS['SERVE_AUTHENTICATION']",
}


def find_policies(views: Sequence[View], guarded: Sequence[GuardedView]) -> Iterator[Finding]:
    default = DefaultView()
    by_default = DEFAULTS.keys() & _judge(default)
    yield from (Finding(id, DEFAULTS[id]) for id in sorted(by_default))
    yield from (Finding(id, _get_place(id, view)) for view in views for id in _judge(view) if id not in by_default)
    if default.takes_keys or any(view.takes_keys for view in views):
        if is_open(default.permissions or ()):
            yield Finding("E006")
        yield from (Finding("W003", _get_place("W003", view)) for view in views if _is_open_by_accident(view))
    # Keys may be accepted by a view that chooses its authenticators, and by classes that cannot be imported.
    elif default.authenticators and not guarded and all(view.authenticators is not None for view in views):
        yield Finding("W012")


def _is_open_by_accident(view: View) -> bool:
    # A view without authentication is public on purpose, such as the views that return a token for a password. A view that
    # refuses keys is not the business of this package.
    return view.permissions in ((), []) and view.authenticators not in ((), []) and not view.refuses_keys


def _get_place(id: str, view: View) -> object:
    return SPECTACULAR[id] if id in SPECTACULAR and view.cls.__module__ == "drf_spectacular.views" else view


def _judge(view: View) -> Iterator[str]:
    """Yield the id of each broken rule."""
    first, *others = [includes([cls], ApiKeyAuthentication) for cls in view.authenticators or ()] or [False]
    if view.takes_keys:
        if any(others) and not first:
            yield "W001"
        if view.throttles is not None and not includes(view.throttles, ApiKeyRateThrottle) and not view.is_public:
            yield "W002"
        if includes(view.permissions, IsAdminUser, DjangoModelPermissions):
            yield "W004"
    is_public = includes(view.permissions, AllowAny)
    if includes(view.permissions, SessionOnly) and not is_public and is_open(view.permissions or (), SessionOnly):
        yield "W026"
    if view.checks_organization:
        for permission in iter_classes(view.permissions):
            operator = getattr(permission, "operator_class", None)
            if operator in (NOT, OR) and includes([permission.op1_class], HasOrganizationPermission):
                yield "E010" if operator is NOT else "W010"
