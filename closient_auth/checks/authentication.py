from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Warning

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.checks.views import (
    AUTHENTICATION,
    THROTTLE,
    View,
    are_keys_taken,
    are_keys_taken_by_default,
    get_default,
    get_views,
    includes,
    is_open,
    name_views,
)
from closient_auth.throttling import ApiKeyRateThrottle


def check_authenticator_order(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that keys are asked for before any other credential."""
    if _is_late(get_default("DEFAULT_AUTHENTICATION_CLASSES")):
        place = "REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES']"
    else:
        place = name_views(view for view in get_views() if _is_late(view.get_classes(AUTHENTICATION) or ()))
    if place:
        yield Warning(
            f"ApiKeyAuthentication should be the first authentication class in: {place}.",
            hint="REST framework takes the WWW-Authenticate header of a 401 from the first class, and responds 403 if it "
            "has none. A valid session before it would also admit a request with an invalid key.",
            id="closient_auth.W001",
        )


def check_keys_are_taken(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that anything authenticates keys."""
    views = get_views()
    # Neither classes that cannot be imported, nor views that choose theirs at each request, can be judged.
    can_tell = get_default("DEFAULT_AUTHENTICATION_CLASSES") and all(
        view.get_classes(AUTHENTICATION) is not None for view in views
    )
    if can_tell and not are_keys_taken(views):
        yield Warning(
            "ApiKeyAuthentication is not used by any view, so API keys are not accepted anywhere.",
            hint="Put 'closient_auth.authentication.ApiKeyAuthentication' first in "
            "REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES'], or in the authentication_classes of a view.",
            id="closient_auth.W012",
        )


def check_default_permission(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that a view which says nothing is closed."""
    if is_open(get_default("DEFAULT_PERMISSION_CLASSES")) and are_keys_taken(get_views()):
        yield Error(
            "REST_FRAMEWORK['DEFAULT_PERMISSION_CLASSES'] should not admit every request.",
            hint="Set it to ['rest_framework.permissions.IsAuthenticated'], and use AllowAny on public views.",
            id="closient_auth.E006",
        )


def check_throttle(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that the limits of keys are held wherever keys are taken."""
    if are_keys_taken_by_default() and not includes(get_default("DEFAULT_THROTTLE_CLASSES"), ApiKeyRateThrottle):
        place = "REST_FRAMEWORK['DEFAULT_THROTTLE_CLASSES']"
    elif unlimited := [view for view in get_views() if _takes_keys_without_limits(view)]:
        place = name_views(unlimited)
    else:
        return
    yield Warning(
        f"ApiKeyRateThrottle should be one of the throttle classes in: {place}.",
        hint="Add 'closient_auth.throttling.ApiKeyRateThrottle'. API key rate limits are not enforced without it.",
        id="closient_auth.W002",
    )


def are_limits_held() -> bool:
    """Return whether the throttle is at work anywhere: by default, or on a view."""
    policies = [get_default("DEFAULT_THROTTLE_CLASSES"), *(view.get_classes(THROTTLE) for view in get_views())]
    return any(includes(throttles, ApiKeyRateThrottle) for throttles in policies)


def _is_late(classes: Collection[Any]) -> bool:
    first, others = list(classes)[:1], list(classes)[1:]
    return includes(others, ApiKeyAuthentication) and not includes(first, ApiKeyAuthentication)


def _takes_keys_without_limits(view: View) -> bool:
    throttles = view.get_classes(THROTTLE)
    is_unlimited = throttles is not None and not includes(throttles, ApiKeyRateThrottle)
    return is_unlimited and view.takes_keys() and not view.is_public()
