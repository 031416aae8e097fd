"""Authenticate requests by API key."""

from functools import partial
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from closient_auth.conf import conf
from closient_auth.core import credentials
from closient_auth.core.last_used import record_use
from closient_auth.core.responses import after_request
from closient_auth.decorators import is_publishable
from closient_auth.exceptions import PublishableKeyRefused, raise_api_exceptions
from closient_auth.headers import forbid_storing, get_view, vary_on
from closient_auth.models import ApiKey
from closient_auth.principals import get_principal


class ApiKeyAuthentication(BaseAuthentication):
    """Authenticate a request by the API key in the header ``CLOSIENT_AUTH["HEADER"]``.

    A request without the header is left to the next authentication class. An invalid key is always refused: the request
    never falls back to another credential, such as a valid session.
    """

    keyword = "ApiKey"

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        """Return the key's user or ``OrganizationPrincipal``, and the key; ``None`` if the request has no key header.

        Raise ``InvalidApiKey`` (401) for an invalid key, and ``PublishableKeyRefused`` (403) for a publishable key with
        an unsafe method or on a view without ``@publishable``.
        """
        vary_on(request, conf.HEADER)
        if credentials.get_meta_name() not in request.META:
            return None
        forbid_storing(request)
        with raise_api_exceptions():
            api_key = credentials.find_active_key(self.get_hashed_key(request), credentials.get_holder(request))
        if credentials.is_public(api_key):
            self._require_publishable(request)
        setattr(request._request, credentials.API_KEY, api_key)
        record_use(api_key, partial(after_request, request._request))
        return get_principal(api_key), api_key

    def authenticate_header(self, request: Request) -> str:
        return self.keyword

    def get_hashed_key(self, request: Request) -> str | None:
        """Return the hash of the key in the request, or ``None`` for a malformed key. Override it for other formats."""
        return credentials.hash_presented_key(request)

    def _require_publishable(self, request: Request) -> None:
        # This is not a permission class, so that a view without permission classes refuses publishable keys as well.
        method = request.method or ""
        view = get_view(request)
        if method not in SAFE_METHODS or not is_publishable(view, method):
            raise PublishableKeyRefused
        # REST framework checks other methods (for browsable API forms and OPTIONS) with copies of this request and does
        # not authenticate them again, so remove the unsafe methods from the view.
        view.http_method_names = [name for name in view.http_method_names if name.upper() in SAFE_METHODS]
