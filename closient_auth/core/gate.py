"""The gate of one request: who calls, in which organization, and whether that is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware

from closient_auth.core import credentials, rates, responses
from closient_auth.core.access import (
    HEADER,
    SAFE_METHODS,
    Access,
    get_default_permission,
    get_names,
    refuse_permission,
    resolve_access,
)
from closient_auth.core.callers import get_actor, set_api_key
from closient_auth.core.last_used import record_use
from closient_auth.core.refusals import Refused
from closient_auth.core.reports import report_browser_use, report_refusal
from closient_auth.core.restrictions import find_refusal
from closient_auth.core.session_only import is_session_only
from closient_auth.models import ApiKey
from closient_auth.principals import get_principal

# By the code of a refusal, its cause in the log.
CAUSES = {
    "session_required": "session_only",
    "publishable_key_refused": "publishable",
    "network_not_allowed": "network",
    "origin_not_allowed": "origin",
    "organization_suspended": "suspended",
    "permission_denied": "malformed_permissions",
}


@dataclass(frozen=True, slots=True)
class Gate:
    """What a view outside REST framework requires.

    ``permission`` is the permission in the request's organization. By default, safe methods require ``view_organization``
    and other methods ``contribute_organization``. ``publishable`` opens the view to publishable keys, for safe methods.
    """

    permission: str | None = None
    publishable: bool = False

    def __post_init__(self) -> None:
        permission: object = self.permission
        if permission is not None and not (isinstance(permission, str) and permission):
            raise TypeError(f"A permission is text such as 'organization.manage_billing', not {permission!r}.")

    def admit(self, request: HttpRequest, kwargs: Mapping[str, Any]) -> Access:
        """Return the access of the request; ``kwargs`` are the arguments from its URL.

        The steps are: credential, limits, publishable key, CSRF, organization, permission. The key is counted before it
        can be refused, so that refused requests are limited as well. Raise ``Refused``.

        ``request.user`` and ``request.auser()`` become the key's user or principal.
        """
        if not vars(request).get(responses.SENDS_HEADERS):
            # A cache could store the response to a key and serve it to others.
            raise ImproperlyConfigured(
                "Add 'closient_auth.middleware.ResponseHeadersMiddleware' to MIDDLEWARE. Without it, responses to API keys "
                "have no Cache-Control and Vary headers."
            )
        for name in (*credentials.get_headers(), HEADER):
            responses.vary_on(responses.get_headers(request), name)
        try:
            access = self._admit(request, kwargs)
        except Refused as refused:
            responses.get_headers(request).update(refused.headers)
            raise
        return access

    async def aadmit(self, request: HttpRequest, kwargs: Mapping[str, Any]) -> Access:
        """Do the same as ``admit()`` on a thread, and give the database connections back before the view runs."""
        return await sync_to_async(self._admit_and_release)(request, kwargs)

    def _admit_and_release(self, request: HttpRequest, kwargs: Mapping[str, Any]) -> Access:
        try:
            return self.admit(request, kwargs)
        finally:
            responses.close_connections()

    def _admit(self, request: HttpRequest, kwargs: Mapping[str, Any]) -> Access:
        headers = responses.get_headers(request)
        verdict = unavailable = None
        if credentials.has_key(request):
            responses.forbid_storing(headers, request)
            view = request.resolver_match.func if request.resolver_match is not None else None
            hashed_key = credentials.hash_presented_key(request)
            api_key, refusal = identify(request, hashed_key, view, is_publishable=self.publishable)
            if api_key.expires_at is not None:
                headers.update(responses.get_expiry_headers(api_key.expires_at))
            try:
                verdict = rates.count_key(request, api_key)
            except Refused as refused:
                # A request that is not allowed is told so, also while limits are unavailable.
                unavailable = refused
            rates.require_rate(request, api_key, verdict)
            accept(request, api_key, refusal)
            request.user, request.auth = get_principal(api_key), api_key  # type: ignore[assignment, attr-defined]
        elif not _is_signed_in(request):
            raise Refused("not_authenticated")
        elif request.method not in SAFE_METHODS:
            _require_csrf_token(request)
        # A refusal is private as well: it can name the organizations of the user.
        responses.forbid_storing(headers, request)
        actor = get_actor(request)
        access = resolve_access(request, actor, request.user, get_names(request, kwargs))
        permission = self.permission or get_default_permission(request.method)
        if not access.allows(permission):
            raise refuse_permission(request, actor.api_key, access, permission)
        if unavailable is not None:
            raise unavailable
        headers.update(rates.get_headers(verdict) if verdict else {})
        return access


def identify(
    request: HttpRequest, hashed_key: str | None, view: Any, *, is_publishable: bool
) -> tuple[ApiKey, str | None]:
    """Return the active key with this hash, and the code with which the view refuses keys of its type, or ``None``.

    ``view`` is that of ``is_session_only()``. ``is_publishable`` opens it to publishable keys, for safe methods. Raise the
    same error as ``find_active_key()``.
    """
    key_type = credentials.get_presented_type(request, hashed_key)
    refusal = key_type and _find_refusal(request, key_type, view, is_publishable)
    is_welcome = key_type is not None and refusal is None
    api_key = credentials.find_active_key(request, hashed_key, may_record=is_welcome)
    # The type in the row decides, not that in the text of the key.
    if api_key.prefix != key_type:
        refusal = _find_refusal(request, api_key.prefix, view, is_publishable)
    return api_key, refusal


def accept(request: HttpRequest, api_key: ApiKey, refusal: str | None, *, is_unrestricted: bool = False) -> None:
    """Note a key on the request and record its use. Report and raise ``Refused`` for a ``refusal`` or a restriction.

    A refused use of a restricted key is recorded as well: somebody has the key. ``is_unrestricted`` says that the view
    takes keys in spite of their restrictions.
    """
    refused = None if refusal is None else Refused(refusal)
    if refused is None:
        record_use(request, api_key)
        refused = None if is_unrestricted else find_refusal(request, api_key)
    if refused is not None:
        report_refusal(request, api_key, CAUSES[refused.code])
        raise refused
    if not credentials.is_public(api_key.prefix):
        report_browser_use(request, api_key)
    set_api_key(request, api_key)


def _find_refusal(request: HttpRequest, key_type: str, view: Any, is_publishable: bool) -> str | None:
    """Return the code with which a view refuses all keys of a type, or ``None``."""
    if is_session_only(view):
        return "session_required"
    if credentials.is_public(key_type) and not (is_publishable and request.method in SAFE_METHODS):
        return "publishable_key_refused"
    return None


def _is_signed_in(request: HttpRequest) -> bool:
    user = getattr(request, "user", None)
    # Django's ``AllowAllUsersModelBackend`` accepts the session of a deactivated user.
    return user is not None and user.is_authenticated and user.is_active


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _require_csrf_token(request: HttpRequest) -> None:
    # Django's middleware skips a view that takes keys, since a key needs no token. A session does.
    check = _CsrfCheck(lambda request: None)  # type: ignore[arg-type]
    check.process_request(request)
    if reason := check.process_view(request, None, (), {}):  # type: ignore[arg-type]
        raise Refused("csrf_failed", f"CSRF Failed: {reason}")
