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
    Authenticate by the key in the header ``CLOSIENT_AUTH["HEADER"]``.

    A request without that header is none of this class's business. One with it is decided here: a bad key is refused,
    never passed on to a session that happens to be good.
    """

    keyword = "ApiKey"

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser | OrganizationPrincipal, ApiKey] | None:
        """
        Return the principal and the key, or ``None`` without a key header.

        Raise ``InvalidApiKey`` (401) for a key that is not good, whatever the cause, and ``PublishableKeyRefused`` (403)
        for a publishable key where it may not go.
        """
        vary_on(request, conf.HEADER)
        if self._meta_name not in request.META:
            return None
        forbid_storing(request)
        api_key = self.authenticate_credentials(self._get_hashed_key(request))
        if api_key.prefix == KeyType.PUBLISHABLE:
            self._require_publishable(request)
        elif api_key.user is not None:
            # For models that are asked ``by=request.user``: no key acts with more than its user's membership.
            vars(api_key.user)[ACTS_BY_KEY] = True
        record_use(api_key, request._request)
        return api_key.user or OrganizationPrincipal(api_key), api_key

    def authenticate_header(self, request: Request) -> str:
        return self.keyword

    def authenticate_credentials(self, hashed_key: str) -> ApiKey:
        """Return the accepted key with this hash, its holder loaded with it. Raise ``InvalidApiKey``."""
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
        # Error reports show the variables of each frame. None has the raw key: not this one, and those below are cut off.
        name = self._meta_name
        hashed_key = None
        try:
            if verify_api_key(request.META[name]):
                hashed_key = hash_api_key(request.META[name])
        except Exception as error:
            raise error.with_traceback(None) from None
        return hashed_key or _refuse("malformed")

    def _require_publishable(self, request: Request) -> None:
        # Here rather than in a permission: a view that forgot its permission classes is closed as well.
        method = request.method or ""
        view = get_view(request)
        if method not in SAFE_METHODS or not is_publishable(view, method):
            raise PublishableKeyRefused
        # REST framework asks about other methods, for a form or for OPTIONS, by a copy of this request that is not
        # authenticated again.
        view.http_method_names = [name for name in view.http_method_names if name.upper() in SAFE_METHODS]


def _refuse(reason: str) -> NoReturn:
    logger.debug("api_key=refused reason=%s", reason)
    raise InvalidApiKey
