"""The caller of a request: the user or principal, and the API key."""

from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.utils.functional import SimpleLazyObject

from closient_auth.core.client_address import get_client_address
from closient_auth.models import ApiKey
from closient_auth.models.actors import Actor
from closient_auth.principals import OrganizationPrincipal

# The attribute of Django's request with the API key that authenticated it.
API_KEY = "_closient_auth_api_key"

# The hosts, besides the subdomains of localhost, that Django allows with ``DEBUG`` and without ``ALLOWED_HOSTS``.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def set_api_key(request: HttpRequest, api_key: ApiKey) -> None:
    """Note the API key on Django's request. ``auser()`` returns its ``user``, which is not that of the session any more."""
    setattr(request, API_KEY, api_key)
    # Django's middleware has set it to the user of the session.
    request.auser = partial(_get_user, request)


async def _get_user(request: HttpRequest) -> Any:
    return request.user


def get_api_key(request: Any) -> ApiKey | None:
    """Return the API key that authenticated a request, of Django or of a framework around it, or ``None``."""
    accepted: ApiKey | None = getattr(getattr(request, "_request", request), API_KEY, None)
    # REST framework's ``request.auth`` is the last word: a subclass may discard the key that this package accepted.
    auth = getattr(request, "auth", None) if hasattr(request, "_request") else accepted
    if isinstance(auth, ApiKey):
        return auth
    # ``SessionAuthentication`` takes the user that a key set on Django's request for that of a session, for example in a
    # view that another one calls.
    if accepted is not None and (isinstance(request.user, OrganizationPrincipal) or request.user is accepted.user):
        return accepted
    return None


def get_actor(request: Any) -> Actor:
    """Return the user, the API key and the client address of a Django or REST framework request.

    Superuser status counts for a session, never for a key (specification, "Key Types").
    """
    api_key = get_api_key(request)
    user = request.user if isinstance(request.user, get_user_model()) else None
    is_superuser = api_key is None and user is not None and user.is_active and getattr(user, "is_superuser", False)
    # Each request with a key asks for its actor, and only a mail needs the host.
    origin: Any = SimpleLazyObject(lambda: get_origin(request))
    return Actor(user, api_key, get_client_address(request), is_superuser, origin=origin)


def get_origin(request: Any) -> str:
    """Return the scheme and host of a request for links in mails, or an empty text if the host is not certain.

    The sender of a request chooses its ``Host``. With a pattern in ``ALLOWED_HOSTS``, such as ``*`` or ``.example.com``,
    anybody who may invite could put a link to a host of their own into the project's mail. So the list must name the host.
    """
    try:
        host = request.get_host()
    except (DisallowedHost, KeyError):
        # A request that no server has received has no host.
        return ""
    allowed = settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else ())
    # Django ignores upper case and a final dot.
    domain, port = split_domain_port(host)
    return f"{request.scheme}://{domain}{port and f':{port}'}" if domain in map(str.lower, allowed) else ""
