"""API errors with a ``detail`` for people and a ``code`` for programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import BadRequest
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.response import Response

from closient_auth.core.refusals import REFUSALS, Refused
from closient_auth.models import LastOwnerError


class CodedException(APIException):
    """An ``APIException`` with its code in the response body, and other fields. A subclass's code sets status and text."""

    # REST framework sends this as ``Retry-After``, in seconds.
    wait: int | None = None

    def __init_subclass__(cls, code: str = "") -> None:
        super().__init_subclass__()
        if code:
            cls.default_code = code
            cls.status_code, cls.default_detail = REFUSALS[code]

    def __init__(self, detail: Any = None, code: str | None = None, **extra: Any) -> None:
        code = code or self.default_code
        # ``Throttled`` of REST framework has another signature.
        APIException.__init__(self, {"detail": detail or self.default_detail, "code": code, **extra}, code)


class InvalidApiKey(CodedException, exceptions.AuthenticationFailed, code="invalid_api_key"):
    """401 for a malformed, unknown, revoked or expired key, or an inactive user. The client cannot tell the causes apart."""


class NotAuthenticated(CodedException, exceptions.NotAuthenticated, code="not_authenticated"):
    """401 for a request without a credential."""


class PermissionDenied(CodedException, exceptions.PermissionDenied, code="permission_denied"):
    """403 if the credential lacks a permission in its own organization; ``required_permission`` names it."""


class PersonRequired(CodedException, code="person_required"):
    """403 for a key of an organization on a view for people."""


class Throttled(CodedException, exceptions.Throttled, code="throttled"):
    """429 for a request over a limit of its key."""


class PublishableKeyRefused(CodedException, code="publishable_key_refused"):
    """403 for a publishable key with an unsafe method or on a view without ``@publishable``."""


class NetworkNotAllowed(CodedException, code="network_not_allowed"):
    """403 for a key from an address outside its ``allowed_networks``."""


class OriginNotAllowed(CodedException, code="origin_not_allowed"):
    """403 for a publishable key on a web page outside its ``allowed_origins``."""


class OrganizationSuspended(CodedException, code="organization_suspended"):
    """403 for the members and keys of a suspended organization."""


class UserKeyNotAllowed(CodedException, code="user_key_not_allowed"):
    """403 for a user key in an organization that accepts no user keys, or has shut out this one."""


class OrganizationRequired(CodedException, code="organization_required"):
    """400 if the request names no organization and the user does not have exactly one membership."""


class LimitsUnavailable(CodedException, code="limits_unavailable"):
    """503 if requests cannot be counted and ``RATE_LIMIT_FAIL_OPEN`` is ``False``."""


class SessionRequired(CodedException, code="session_required"):
    """403 for an API key on a view for sessions: a leaked key must not create another key or change a password."""


class ApiKeyRequired(CodedException, code="api_key_required"):
    """403 for a session on ``DELETE me/key``, which revokes the API key of the request."""


class Conflict(CodedException, code="conflict"):
    """409 for a valid request that conflicts with the current state of the resource."""


_EXCEPTIONS: dict[str, type[CodedException]] = {cls.default_code: cls for cls in CodedException.__subclasses__()}
# Django has no exception for 401; an anonymous visitor of a plain view gets its 403.
_DJANGO_EXCEPTIONS: dict[int, type[Exception]] = {
    400: BadRequest,
    401: DjangoPermissionDenied,
    403: DjangoPermissionDenied,
    404: Http404,
}


@contextmanager
def raise_api_exceptions() -> Iterator[None]:
    """Raise the ``APIException`` of a ``Refused`` request."""
    try:
        yield
    except Refused as refused:
        raise get_exception(refused) from refused.__cause__


def get_exception(refused: Refused) -> APIException:
    """Return the ``APIException`` of a ``Refused`` request."""
    if refused.code == "not_found":
        return exceptions.NotFound(refused.detail)
    exception = _EXCEPTIONS[refused.code](refused.detail, **refused.extra)
    exception.wait = refused.wait
    return exception


def add_code(exc: Exception) -> Exception:
    """Return an exception of REST framework with its code in the body, and any other exception unchanged."""
    for cls in (NotAuthenticated, PermissionDenied, Throttled):
        if isinstance(exc, cls.__bases__[1]) and not isinstance(exc, CodedException):
            coded = cls(getattr(exc, "detail", None))
            coded.wait = getattr(exc, "wait", None)
            return coded
    return exc


def get_conflict(error: LastOwnerError) -> Conflict:
    """Return the 409 (``last_owner``) for an error, with the organizations that would have no active Owner."""
    organizations = [{"id": each.pk, "name": each.name, "slug": each.slug} for each in error.organizations]
    return Conflict(str(error), "last_owner", organizations=organizations)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Respond with 409 (``last_owner``) if the deletion of a user or membership would leave organizations without an Owner.

    Name it in ``REST_FRAMEWORK["EXCEPTION_HANDLER"]``. The body has ``detail``, ``code`` and ``organizations``, a list of
    objects with ``id``, ``name`` and ``slug``. REST framework's own handler gets all other exceptions.
    """
    # The import of this module would import the authentication classes in the settings, which import this module.
    from rest_framework.views import exception_handler as handle

    error = LastOwnerError.find_in(exc)
    return handle(get_conflict(error) if error else exc, context)


@contextmanager
def raise_django_exceptions() -> Iterator[None]:
    """Raise the exception with which Django answers a ``Refused`` request."""
    try:
        yield
    except Refused as refused:
        raise _DJANGO_EXCEPTIONS[refused.status](refused.body["detail"]) from refused.__cause__
