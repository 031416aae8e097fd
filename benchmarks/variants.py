"""The variants to compare: a title, a URL, a credential, and ``LAST_USED_INTERVAL``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    name: str
    path: str
    # A key of the dictionary returned by ``data.load()``.
    credential: str = ""
    # LAST_USED_INTERVAL during the run. It affects only this package.
    interval: int = 0


BARE = Variant("no authentication", "/bare")
TOKEN = Variant("DRF TokenAuthentication", "/token", "token")
TOKEN_THROTTLED = Variant("DRF TokenAuthentication, two throttles", "/token-throttled", "token")
CLOSIENT_60 = Variant("closient-auth, LAST_USED_INTERVAL 60", "/closient", "business", 60)
CLOSIENT_0 = Variant("closient-auth, LAST_USED_INTERVAL 0", "/closient", "business", 0)
USER_60 = Variant("closient-auth, user key, LAST_USED_INTERVAL 60", "/closient", "user", 60)
MALFORMED = Variant("closient-auth, refused by shape", "/closient", "malformed")
MISTYPED = Variant("closient-auth, refused by checksum", "/closient", "mistyped")

VARIANTS = [
    BARE,
    TOKEN,
    TOKEN_THROTTLED,
    Variant("djangorestframework-api-key", "/drf-api-key", "drf_api_key"),
    Variant("djangorestframework-api-key, two throttles", "/drf-api-key-throttled", "drf_api_key"),
    Variant("django-rest-knox", "/knox", "knox"),
    Variant("django-rest-knox, two throttles", "/knox-throttled", "knox"),
    Variant("drf-simple-apikey", "/simple-api-key", "simple_api_key"),
    Variant("drf-simple-apikey, two throttles", "/simple-api-key-throttled", "simple_api_key"),
    CLOSIENT_60,
    CLOSIENT_0,
    USER_60,
    MALFORMED,
    MISTYPED,
]
