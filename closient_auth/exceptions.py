"""API errors with a ``detail`` for people and a ``code`` for programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated, NotFound

from closient_auth.core.refusals import REFUSALS, Refused


class CodedException(APIException):
    """An ``APIException`` with its code in the response body."""

    def __init__(self, detail: Any = None, code: str | None = None) -> None:
        code = code or self.default_code
        super().__init__({"detail": detail or self.default_detail, "code": code}, code)


class InvalidApiKey(CodedException, AuthenticationFailed):
    """401 for a malformed, unknown, revoked or expired key, or an inactive user. The client cannot tell the causes apart."""

    default_code = "invalid_api_key"
    status_code, default_detail = REFUSALS[default_code]


class PublishableKeyRefused(CodedException):
    """403 for a publishable key with an unsafe method or on a view without ``@publishable``."""

    default_code = "publishable_key_refused"
    status_code, default_detail = REFUSALS[default_code]


class OrganizationRequired(CodedException):
    """400 if the request names no organization and the user does not have exactly one membership."""

    default_code = "organization_required"
    status_code, default_detail = REFUSALS[default_code]


class LimitsUnavailable(CodedException):
    """503 if requests cannot be counted and ``RATE_LIMIT_FAIL_OPEN`` is ``False``."""

    default_code = "limits_unavailable"
    status_code, default_detail = REFUSALS[default_code]
    # REST framework sends this as ``Retry-After``, in seconds.
    wait = 1


class SessionRequired(CodedException):
    """403 for an API key on a management request: a leaked key must not create another key."""

    status_code = status.HTTP_403_FORBIDDEN
    default_detail = _("API keys cannot make this request. Sign in as a user.")
    default_code = "session_required"


class ApiKeyRequired(CodedException):
    """403 for a session on ``DELETE me/key``, which revokes the API key of the request."""

    status_code = status.HTTP_403_FORBIDDEN
    default_detail = _("Send this request with the API key that you want to revoke.")
    default_code = "api_key_required"


class Conflict(CodedException):
    """409 for a valid request that conflicts with the current state of the resource."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = _("Another request changed this at the same time. Reload it and try again.")
    default_code = "conflict"


_EXCEPTIONS: dict[str, type[APIException]] = {
    cls.default_code: cls
    for cls in (
        InvalidApiKey,
        PublishableKeyRefused,
        OrganizationRequired,
        LimitsUnavailable,
        NotAuthenticated,
        NotFound,
    )
}


@contextmanager
def raise_api_exceptions() -> Iterator[None]:
    """Raise the ``APIException`` of a ``Refused`` request."""
    try:
        yield
    except Refused as refused:
        raise _EXCEPTIONS[refused.code](refused.detail) from refused.__cause__
