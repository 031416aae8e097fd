"""The caller of a request: the user or principal, and the API key."""

from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest

from closient_auth.core.client_address import get_client_address
from closient_auth.models import ApiKey
from closient_auth.models.actors import Actor
from closient_auth.principals import OrganizationPrincipal

# The attribute of Django's request with the API key that authenticated it.
API_KEY = "_closient_auth_api_key"


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
    return Actor(user, api_key, get_client_address(request), is_superuser)
