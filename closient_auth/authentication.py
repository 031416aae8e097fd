"""Authenticate requests by API key."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NoReturn

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from closient_auth.conf import conf
from closient_auth.decorators import is_publishable
from closient_auth.exceptions import InvalidApiKey, PublishableKeyRefused
from closient_auth.headers import forbid_storing, get_view, vary_on
from closient_auth.keys import KeyType, hash_api_key, verify_api_key
from closient_auth.lookup import find_key
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import KeyState
from closient_auth.models.organizations import ACTS_BY_KEY
from closient_auth.principals import OrganizationPrincipal
from closient_auth.usage import record_use

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

logger = logging.getLogger("closient_auth")


class ApiKeyAuthentication(BaseAuthentication):
    """
    Authenticate a request by the API key in the header ``CLOSIENT_AUTH["HEADER"]``.

    A request without the header is left to the next authentication class. An invalid key is always refused: the request
    never falls back to another credential, such as a valid session.
    """

    keyword = "ApiKey"

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser | OrganizationPrincipal, ApiKey] | None:
        """
        Return the principal and the API key, or ``None`` if the request has no key header.

        The principal is the user of a user key, or an ``OrganizationPrincipal`` for any other key.

        Raise ``InvalidApiKey`` (401) for an invalid key, and ``PublishableKeyRefused`` (403) for a publishable key with
        an unsafe method or on a view without ``@publishable``.
        """
        vary_on(request, conf.HEADER)
        if self._meta_name not in request.META:
            return None
        forbid_storing(request)
        api_key = self.authenticate_credentials(self._get_hashed_key(request))
        if api_key.prefix == KeyType.PUBLISHABLE:
            self._require_publishable(request)
        elif api_key.user is not None:
            # Superuser status is ignored for API keys, also by model methods called with ``by=request.user``.
            vars(api_key.user)[ACTS_BY_KEY] = True
        record_use(api_key, request._request)
        return api_key.user or OrganizationPrincipal(api_key), api_key

    def authenticate_header(self, request: Request) -> str:
        """Return the ``WWW-Authenticate`` header of a 401 response."""
        return self.keyword

    def authenticate_credentials(self, hashed_key: str) -> ApiKey:
        """Return the active key with this hash and load its organization or user, or raise ``InvalidApiKey``."""
        api_key = find_key(hashed_key)
        if api_key is None:
            _refuse("unknown")
        if api_key.state != KeyState.ACTIVE:
            _refuse(f"{api_key.state} api_key={api_key.pk}")
        return api_key

    @property
    def _meta_name(self) -> str:
        return f"HTTP_{conf.HEADER.upper().replace('-', '_')}"

    def _get_hashed_key(self, request: Request) -> str:
        # Error reports show the local variables of every frame in a traceback. This frame stores only the hash, and the
        # frames below, which store the raw key, are removed from the traceback.
        name = self._meta_name
        hashed_key = None
        try:
            if verify_api_key(request.META[name]):
                hashed_key = hash_api_key(request.META[name])
        except Exception as error:
            raise error.with_traceback(None) from None
        return hashed_key or _refuse("malformed")

    def _require_publishable(self, request: Request) -> None:
        # This is not a permission class, so that a view without permission classes refuses publishable keys as well.
        method = request.method or ""
        view = get_view(request)
        if method not in SAFE_METHODS or not is_publishable(view, method):
            raise PublishableKeyRefused
        # REST framework checks other methods (for browsable API forms and OPTIONS) with copies of this request and does
        # not authenticate them again, so remove the unsafe methods from the view.
        view.http_method_names = [name for name in view.http_method_names if name.upper() in SAFE_METHODS]


def _refuse(reason: str) -> NoReturn:
    logger.debug("api_key=refused reason=%s", reason)
    raise InvalidApiKey
