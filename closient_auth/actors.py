"""The actor of a request, for the ``by`` argument of the models' methods."""

from closient_auth.core.callers import get_actor
from closient_auth.models.actors import Actor, acting

__all__ = ["Actor", "acting", "get_actor"]
