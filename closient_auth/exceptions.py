"""API errors with a ``detail`` for people and a ``code`` for programs."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, AuthenticationFailed


class CodedException(APIException):
    """An ``APIException`` with its code in the response body."""

    def __init__(self, detail: Any = None, code: str | None = None) -> None:
        code = code or self.default_code
        super().__init__({"detail": detail or self.default_detail, "code": code}, code)


class InvalidApiKey(CodedException, AuthenticationFailed):
    """401 for a malformed, unknown, revoked or expired key, or an inactive user. The client cannot tell the causes apart."""

    default_detail = _("Invalid API key.")
    default_code = "invalid_api_key"


class PublishableKeyRefused(CodedException):
    """403 for a publishable key with an unsafe method or on a view without ``@publishable``."""

    status_code = status.HTTP_403_FORBIDDEN
    default_detail = _("Publishable keys cannot make this request. Use a business or user key.")
    default_code = "publishable_key_refused"


class OrganizationRequired(CodedException):
    """400 if the request names no organization and the user does not have exactly one membership."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = _("Set the X-Organization header to the id or slug of your organization.")
    default_code = "organization_required"


class LimitsUnavailable(CodedException):
    """503 if requests cannot be counted and ``RATE_LIMIT_FAIL_OPEN`` is ``False``."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("The service is temporarily unavailable. Try again.")
    default_code = "limits_unavailable"
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
