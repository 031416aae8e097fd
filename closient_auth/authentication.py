"""Authenticate requests by API key."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from closient_auth.core import credentials, responses
from closient_auth.core.gate import accept, identify
from closient_auth.core.rates import require_rate
from closient_auth.core.refusals import CHALLENGE, Refused
from closient_auth.core.restrictions import UNRESTRICTED
from closient_auth.decorators import is_publishable
from closient_auth.exceptions import get_exception
from closient_auth.headers import get_headers, get_view
from closient_auth.limits.windows import Verdict
from closient_auth.models import ApiKey
from closient_auth.principals import get_principal
from closient_auth.throttling import count_key


class ApiKeyAuthentication(BaseAuthentication):
    """Authenticate a request by the API key in the header ``CLOSIENT_AUTH["HEADER"]``.

    A request without the header is left to the next authentication class. An invalid key is always refused: the request
    never falls back to another credential, such as a valid session.
    """

    keyword = CHALLENGE

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        """Return the key's user or ``OrganizationPrincipal``, and the key; ``None`` if the request has no key.

        The request is counted here if the view has an ``ApiKeyRateThrottle``: REST framework asks its throttles only after
        the permissions, and refused requests would not be limited.

        Raise ``InvalidApiKey`` (401) for an invalid key, ``Throttled`` (429) over a limit, ``SessionRequired`` (403) on a
        view in ``SESSION_ONLY_VIEWS``, and ``PublishableKeyRefused`` (403) for a publishable key with an unsafe method or
        on a view without ``@publishable``.
        """
        # REST framework's request takes longer to look an attribute up.
        django_request, headers = request._request, get_headers(request)
        for name in credentials.get_headers():
            responses.vary_on(headers, name)
        if not credentials.has_key(django_request):
            return None
        responses.forbid_storing(headers, django_request)
        try:
            return self._admit(request)
        except Refused as refused:
            raise get_exception(refused) from refused.__cause__
        finally:
            responses.release_connections(django_request)

    def authenticate_header(self, request: Request) -> str:
        return self.keyword

    def get_hashed_key(self, request: Request) -> str | None:
        """Return the hash of the key in the request, or ``None`` for a malformed key. Override it for other formats."""
        return credentials.hash_presented_key(request._request)

    def _admit(self, request: Request) -> tuple[Any, ApiKey]:
        django_request = request._request
        view, method = get_view(request), django_request.method or ""
        # The client may send any word as its method, also the name of a property that needs the user of the request.
        is_open = method in SAFE_METHODS and is_publishable(view, method)
        hashed_key = self.get_hashed_key(request)
        api_key, refusal = identify(django_request, hashed_key, type(view), is_publishable=is_open)
        if api_key.expires_at is not None:
            get_headers(request).update(responses.get_expiry_headers(api_key.expires_at))
        principal = get_principal(api_key)
        require_rate(django_request, api_key, _count(request, view, principal, api_key))
        # This is not a permission class, so that a view without permission classes refuses publishable keys as well.
        accept(django_request, api_key, refusal, is_unrestricted=getattr(view, UNRESTRICTED, False))
        if credentials.is_public(api_key.prefix):
            # REST framework checks other methods (for browsable API forms and OPTIONS) with copies of this request and
            # does not authenticate them again, so remove the unsafe methods from the view.
            view.http_method_names = [name for name in view.http_method_names if name.upper() in SAFE_METHODS]
        return principal, api_key


def _count(request: Request, view: Any, principal: Any, api_key: ApiKey) -> Verdict | None:
    """Count the request with the user and the key set, because a view may choose its throttles by them.

    REST framework sets them when the authenticator returns.
    """
    django_request = request._request
    before = {"user": django_request.user} if "user" in vars(django_request) else {}
    request.user, request.auth = principal, api_key
    try:
        return count_key(request, view, api_key)
    finally:
        # A subclass may discard the key, and then the session decides.
        del request._user, request._auth, django_request.user  # type: ignore[attr-defined]
        vars(django_request).update(before)
