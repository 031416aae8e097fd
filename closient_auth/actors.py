"""The actor of a request, for the ``by`` argument of the models' methods."""

from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest

from closient_auth.core.credentials import get_api_key
from closient_auth.models.actors import Actor, acting

__all__ = ["Actor", "acting", "get_actor"]


def get_actor(request: HttpRequest | Any) -> Actor:
    """Return the user, the API key and the client address (``REMOTE_ADDR``) of a Django or REST framework request.

    Superuser status counts for a session, never for a key (specification, "Key Types"). Behind a proxy, ``REMOTE_ADDR`` is
    the address of the proxy unless the host project sets it to the client's address.
    """
    api_key = get_api_key(request)
    user = request.user if isinstance(request.user, get_user_model()) else None
    is_superuser = api_key is None and user is not None and user.is_active and getattr(user, "is_superuser", False)
    return Actor(user, api_key, request.META.get("REMOTE_ADDR") or "", is_superuser)
