"""Authenticate an API key."""

import logging
from typing import Any

from closient_auth.conf import conf
from closient_auth.core.lookup import find_key
from closient_auth.core.refusals import Refused
from closient_auth.keys import hash_api_key, verify_api_key
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import KeyState
from closient_auth.roles import KEY_RULES, KeyHolder

logger = logging.getLogger("closient_auth")

# The attribute of Django's request with the API key that authenticated it.
API_KEY = "_closient_auth_api_key"


def get_meta_name() -> str:
    """Return the name of the key header in ``request.META``."""
    return f"HTTP_{conf.HEADER.upper().replace('-', '_')}"


def hash_presented_key(request: Any) -> str | None:
    """Return the hash of the key in the key header of a request (its ``META``), or ``None`` if it is malformed."""
    # Error reports show the local variables of every frame in a traceback. No variable of this frame shows the raw key,
    # and the frames below, which do, are removed from the traceback.
    name = get_meta_name()
    try:
        return hash_api_key(request.META[name]) if verify_api_key(request.META[name]) else None
    except Exception as error:
        raise error.with_traceback(None) from None


def get_holder(request: Any) -> KeyHolder | None:
    """Return the holder of the presented key's type, or ``None`` if the text in the key header does not begin with one."""
    rules = KEY_RULES.get(str(request.META[get_meta_name()]).partition("_")[0])
    return rules.holder if rules else None


def find_active_key(hashed_key: str | None, holder: KeyHolder | None = None) -> ApiKey:
    """Return the active key with this hash, with its organization or user loaded. ``holder`` is that of ``find_key()``.

    Raise ``Refused`` (``invalid_api_key``) for ``None``, and for an unknown, revoked or expired key or an inactive user.
    """
    api_key = None if hashed_key is None else find_key(hashed_key, holder)
    if api_key is not None:
        if (state := api_key.state) == KeyState.ACTIVE:
            return api_key
        reason = f"{state} api_key={api_key.pk}"
    else:
        reason = "malformed" if hashed_key is None else "unknown"
    logger.debug("api_key=refused reason=%s", reason)
    raise Refused("invalid_api_key")


def is_public(api_key: ApiKey) -> bool:
    """Return whether everybody can read the key on a web page: then it only reaches views opened to such keys."""
    return KEY_RULES[api_key.prefix].is_public


def get_api_key(request: Any) -> ApiKey | None:
    """Return the API key that authenticated a request, of Django or of a framework around it, or ``None``."""
    # REST framework's ``request.auth`` is the last word: a subclass may discard the key that this package accepted.
    auth = getattr(request, "auth", None) if hasattr(request, "_request") else getattr(request, API_KEY, None)
    return auth if isinstance(auth, ApiKey) else None
