"""API errors with a ``detail`` for people and a ``code`` for programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated, NotFound

from closient_auth.core.refusals import REFUSALS, Refused


class CodedException(APIException):
    """An ``APIException`` with its code in the response body. The code of a subclass sets its status and text."""

    def __init_subclass__(cls, code: str = "") -> None:
        super().__init_subclass__()
        if code:
            cls.default_code = code
            cls.status_code, cls.default_detail = REFUSALS[code]

    def __init__(self, detail: Any = None, code: str | None = None) -> None:
        code = code or self.default_code
        super().__init__({"detail": detail or self.default_detail, "code": code}, code)


class InvalidApiKey(CodedException, AuthenticationFailed, code="invalid_api_key"):
    """401 for a malformed, unknown, revoked or expired key, or an inactive user. The client cannot tell the causes apart."""


class PublishableKeyRefused(CodedException, code="publishable_key_refused"):
    """403 for a publishable key with an unsafe method or on a view without ``@publishable``."""


class OrganizationRequired(CodedException, code="organization_required"):
    """400 if the request names no organization and the user does not have exactly one membership."""


class LimitsUnavailable(CodedException, code="limits_unavailable"):
    """503 if requests cannot be counted and ``RATE_LIMIT_FAIL_OPEN`` is ``False``."""

    # REST framework sends this as ``Retry-After``, in seconds.
    wait = 1


class SessionRequired(CodedException, code="session_required"):
    """403 for an API key on a management request: a leaked key must not create another key."""


class ApiKeyRequired(CodedException, code="api_key_required"):
    """403 for a session on ``DELETE me/key``, which revokes the API key of the request."""


class Conflict(CodedException, code="conflict"):
    """409 for a valid request that conflicts with the current state of the resource."""


_CLASSES = (InvalidApiKey, PublishableKeyRefused, OrganizationRequired, LimitsUnavailable, NotAuthenticated, NotFound)
_EXCEPTIONS: dict[str, type[APIException]] = {cls.default_code: cls for cls in _CLASSES}


@contextmanager
def raise_api_exceptions() -> Iterator[None]:
    """Raise the ``APIException`` of a ``Refused`` request."""
    try:
        yield
    except Refused as refused:
        raise _EXCEPTIONS[refused.code](refused.detail) from refused.__cause__
