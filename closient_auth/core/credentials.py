"""Authenticate an API key."""

import re
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

from django.http import HttpRequest
from django.utils import timezone

from closient_auth.conf import conf
from closient_auth.core.last_used import find_and_record_use
from closient_auth.core.lookup import find_key
from closient_auth.core.refusals import Refused
from closient_auth.core.reports import count_unrecognised, report_refusal
from closient_auth.keys import KeyType, hash_api_key, verify_api_key
from closient_auth.models import ApiKey
from closient_auth.models.api_keys import KeyState
from closient_auth.roles import KEY_RULES, KeyHolder

_T = TypeVar("_T")

# The attribute of Django's request with the hash and the type of the presented key.
PRESENTED = "_closient_auth_presented"

# The start of a bearer token that is one of our keys. The scheme has no case (RFC 9110, section 11.1).
BEARER = re.compile(rf"\s*(?i:bearer)\s+(?=(?:{'|'.join(KeyType)})_)")


def get_meta_name() -> str:
    """Return the name of the key header in ``request.META``."""
    return _to_meta_name(conf.HEADER)


@lru_cache
def _to_meta_name(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}"


def get_headers() -> tuple[str, ...]:
    """Return the names of the request headers that may have a key; a response must vary on all of them."""
    return (conf.HEADER, "Authorization") if conf.ACCEPT_BEARER else (conf.HEADER,)


def has_key(request: HttpRequest) -> bool:
    """Return whether a request has the key header, or with ``ACCEPT_BEARER`` a bearer token that begins like a key.

    Such a request never falls back to another credential. Other bearer tokens (RFC 6750) are not ours.
    """
    return get_meta_name() in request.META or _has_bearer_key(request)


def _without_frames(read: Callable[[Any], _T]) -> Callable[[Any], _T]:
    """Remove the frames of a function from tracebacks: error reports show their variables, which have the raw key."""

    @wraps(read)
    def read_without_frames(request: Any) -> _T:
        try:
            return read(request)
        except Exception as error:
            raise error.with_traceback(None) from None

    return read_without_frames


@_without_frames
def hash_presented_key(request: HttpRequest) -> str | None:
    """Return the hash of the key in the headers of a request, or ``None`` if it is malformed.

    Two different keys are malformed. The type of the key is noted on the request for ``get_presented_type()``.
    """
    presented = _get_presented(request)
    text = presented.pop()
    if not verify_api_key(text) or presented:
        return None
    hashed_key = hash_api_key(text)
    setattr(request, PRESENTED, (hashed_key, text.partition("_")[0]))
    return hashed_key


def get_presented_type(request: HttpRequest, hashed_key: str | None) -> str | None:
    """Return the type of the key that has this hash, or ``None`` if another function than ``hash_presented_key()`` made it.

    The hash includes the type, so no other type is stored with it.
    """
    presented, key_type = vars(request).get(PRESENTED, (None, None))
    return key_type if presented == hashed_key else None


def find_active_key(request: HttpRequest, hashed_key: str | None, *, may_record: bool = False) -> ApiKey:
    """Return the active key with this hash, with its organization or user loaded.

    ``may_record`` says that the view takes keys of this type: then the use of the key may be recorded at once.

    Raise ``Refused`` (``invalid_api_key``) for ``None``, and for an unknown, revoked or expired key or an inactive user.
    The log has the cause (OWASP ASVS 5.0, 16.3.1).
    """
    now = timezone.now()
    rules = KEY_RULES.get(get_presented_type(request, hashed_key) or "")
    holder = rules.holder if rules else None
    api_key = None
    # A user key is not active if its user is not, so its use is recorded later.
    if may_record and hashed_key is not None and holder == KeyHolder.ORGANIZATION:
        api_key = find_and_record_use(request, hashed_key, now)
    elif hashed_key is not None:
        api_key = find_key(hashed_key, holder)
    if api_key is None:
        count_unrecognised("malformed" if hashed_key is None else "unknown")
    elif (state := api_key.get_state(now)) == KeyState.ACTIVE:
        return api_key
    else:
        report_refusal(request, api_key, state.value)
    raise Refused("invalid_api_key")


def is_public(key_type: str) -> bool:
    """Return whether everybody can read such keys on a web page: then they only reach views opened to them."""
    return KEY_RULES[key_type].is_public


def _has_bearer_key(request: HttpRequest) -> bool:
    # No variable of this frame has the token: error reports show the variables.
    return conf.ACCEPT_BEARER and BEARER.match(request.META.get("HTTP_AUTHORIZATION", "")) is not None


def _get_presented(request: HttpRequest) -> set[str]:
    name = get_meta_name()
    presented = {request.META[name]} if name in request.META else set()
    if _has_bearer_key(request):
        presented.add(BEARER.sub("", request.META["HTTP_AUTHORIZATION"], count=1))
    return presented
