"""What a client is told: one ``detail`` for people and one ``code`` for programs."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, AuthenticationFailed


class CodedException(APIException):
    """An ``APIException`` whose body says its code as well."""

    def __init__(self, detail: Any = None, code: str | None = None) -> None:
        code = code or self.default_code
        super().__init__({"detail": detail or self.default_detail, "code": code}, code)


class InvalidApiKey(CodedException, AuthenticationFailed):
    """The one answer to every key that is not good: whoever guesses learns nothing of the cause."""

    default_detail = _("Invalid API key.")
    default_code = "invalid_api_key"


class PublishableKeyRefused(CodedException):
    status_code = status.HTTP_403_FORBIDDEN
    default_detail = _("A publishable key may only read what was opened to publishable keys.")
    default_code = "publishable_key_refused"


class OrganizationRequired(CodedException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = _("Name the organization in the X-Organization header, by its id or slug.")
    default_code = "organization_required"


class LimitsUnavailable(CodedException):
    """Answered while the limits cannot be counted and ``RATE_LIMIT_FAIL_OPEN`` is off."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("The service is unavailable for a moment. Try again.")
    default_code = "limits_unavailable"
    # REST framework makes this ``Retry-After``, in seconds.
    wait = 1


class SessionRequired(CodedException):
    """Answered to a key where it would manage what keys are made of: a leaked one must not mint its successor."""

    status_code = status.HTTP_403_FORBIDDEN
    default_detail = _("A key may not do this. Sign in.")
    default_code = "session_required"


class ApiKeyRequired(CodedException):
    status_code = status.HTTP_403_FORBIDDEN
    default_detail = _("Only a key may do this, to itself.")
    default_code = "api_key_required"


class Conflict(CodedException):
    """The request is well-formed, and the state of things does not admit it."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = _("Somebody else changed this at the same moment. Look again.")
    default_code = "conflict"
