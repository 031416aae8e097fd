"""The actor of a change: a user, an API key or both."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser


@dataclass(frozen=True, slots=True)
class Actor:
    """The user and the API key on whose behalf code runs, with the client address.

    ``is_superuser`` makes Django's superuser status count; ``get_actor()`` sets it for a session, never for a key.
    ``is_staff`` says that Django's admin granted the change: such a user ranks at least as a Manager.
    ``origin`` is the scheme and host of the request, such as ``https://app.example``, for links in mails; it is empty if
    ``ALLOWED_HOSTS`` does not name the host.
    """

    user: Any = None
    api_key: Any = None
    address: str = ""
    is_superuser: bool = False
    is_staff: bool = False
    origin: str = field(default="", compare=False)

    def __str__(self) -> str:
        return str(self.user.get_username() if self.user is not None else self.api_key or "system")

    def is_user(self, pk: Any) -> bool:
        """Return whether the actor is the user with this primary key."""
        return self.user is not None and self.user.pk == pk


# The type of ``by=`` in the methods of the models. ``None`` is trusted code: it skips the permission check.
By: TypeAlias = Actor | AbstractBaseUser | None

SYSTEM = Actor()

# The attribute of a user with the API key that authenticated the request.
API_KEY = "_closient_auth_api_key"

# The actor of the innermost ``acting()`` block.
current_actor: ContextVar[Actor] = ContextVar("closient_auth_actor", default=SYSTEM)


def as_actor(by: Actor | AbstractBaseUser) -> Actor:
    """Return the actor. A bare user is never a superuser, as the user may have been loaded for an API key or a task.

    The user of a request with an API key has no more permissions than the key.
    """
    if isinstance(by, Actor):
        return by
    # Whatever is not a user, such as the principal of an organization's key, has no rank anywhere.
    user = by if isinstance(by, get_user_model()) else None
    return Actor(user, get_api_key_of(user))


def get_restricted_key(by: By) -> Any:
    """Return the API key of an actor if it can do less than its type and its user, or ``None``."""
    if by is None:
        return None
    actor = as_actor(by)
    api_key = actor.api_key or get_api_key_of(actor.user)
    return api_key if api_key is not None and api_key.is_restricted else None


def get_api_key_of(user: Any) -> Any:
    """Return the API key that authenticated the request of this user, or ``None``."""
    return getattr(user, API_KEY, None)


@contextmanager
def acting(by: By) -> Iterator[None]:
    """Attribute the changes in this block to ``by`` in the audit log."""
    # Inside another such block, a bare user or ``None`` changes nothing: the outer actor also has the address.
    if by is None or (not isinstance(by, Actor) and current_actor.get() is not SYSTEM):
        yield
        return
    token = current_actor.set(as_actor(by))
    try:
        yield
    finally:
        current_actor.reset(token)
