"""Require API keys, roles and limits in operations of django-ninja and django-ninja-extra."""

from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError
from ninja.security.apikey import APIKeyHeader

from closient_auth.conf import conf
from closient_auth.core.callers import get_api_key
from closient_auth.core.gate import Gate
from closient_auth.core.refusals import Refused
from closient_auth.core.responses import get_headers, release_connections

_API = TypeVar("_API", bound=NinjaAPI)


class OrganizationAuth(APIKeyHeader):
    """Require a permission in the organization of the request: ``NinjaAPI(auth=OrganizationAuth())``.

    The caller is an API key or a user with a session. By default, safe methods require ``view_organization`` and other
    methods ``contribute_organization``. ``publishable=True`` opens the operation to publishable keys, for safe methods.

    ``request.user`` becomes the key's user or principal, and ``request.auth`` the key or the user. A request without a key
    and without a session is left to the next class in ``auth``; any other refusal ends the request. Limits are counted
    here, because ninja calls its own throttles on the event loop.

    Add ``closient_auth.middleware.ResponseHeadersMiddleware`` to ``MIDDLEWARE``, and pass the API to ``protect()``.
    Django's ``LoginRequiredMiddleware`` redirects requests with a key, because ninja does not exempt its views from it.
    """

    def __init__(self, permission: str | None = None, *, publishable: bool = False) -> None:
        self.param_name = conf.HEADER
        self.closient_auth_gate = Gate(permission, publishable)
        super().__init__()

    def __call__(self, request: HttpRequest) -> Any:
        return self.authenticate(request, None)

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """Return the API key, or the user of a session; ``None`` if the request has neither."""
        kwargs = request.resolver_match.kwargs if request.resolver_match else {}
        try:
            self.closient_auth_gate.admit(request, kwargs)
        except Refused as refused:
            if refused.code == "not_authenticated":
                # The next class may know the caller.
                del get_headers(request)["WWW-Authenticate"]
                return None
            raise OrganizationAuthError(refused) from refused.__cause__
        finally:
            release_connections(request)
        return get_api_key(request) or request.user


class OrganizationAuthError(HttpError):
    """A refused request. Ninja answers with its status, and ``protect()`` adds the other fields of the body."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.status, refused.body["detail"])
        self.refused = refused


def protect(api: _API) -> _API:
    """Answer refused requests of this API as everywhere in this package, with a ``code``. Return the API."""

    def respond(request: HttpRequest, error: Any) -> HttpResponse:
        refused = getattr(error, "refused", None) or Refused("not_authenticated")
        response = api.create_response(request, refused.body, status=refused.status)
        for name, value in refused.headers.items():
            response.headers[name] = value
        return response

    api.add_exception_handler(OrganizationAuthError, respond)
    # Ninja raises this if no class in ``auth`` knows the caller.
    api.add_exception_handler(AuthenticationError, respond)
    return api
