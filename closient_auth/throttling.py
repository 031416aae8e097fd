from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from closient_auth.conf import conf
from closient_auth.exceptions import LimitsUnavailable
from closient_auth.headers import set_headers
from closient_auth.keys import KeyType
from closient_auth.limits.counter import count_request
from closient_auth.limits.windows import StoreUnavailable, Verdict, Window
from closient_auth.models import ApiKey

# REST framework's views import the classes that settings name, this one among them: at run time it would be a circle.
if TYPE_CHECKING:
    from rest_framework.views import APIView

MINUTE, DAY = 60, 86_400


class WindowThrottle(BaseThrottle):
    """Count requests in windows; what happens where they cannot be counted is decided here."""

    verdict: Verdict | None = None

    def count(self, identifier: str, windows: Sequence[Window]) -> bool:
        """Return whether the request may pass; raise ``LimitsUnavailable`` (503) where ``RATE_LIMIT_FAIL_OPEN`` is off."""
        try:
            self.verdict = count_request(identifier, windows)
        except StoreUnavailable as error:
            if not conf.RATE_LIMIT_FAIL_OPEN:
                raise LimitsUnavailable from error
            return True
        return self.verdict.allowed

    def wait(self) -> int | None:
        """Return the seconds until a request can pass: the later of the ends, where both windows are used up."""
        return self.verdict.tightest.reset if self.verdict else None


class ApiKeyRateThrottle(WindowThrottle):
    """
    Hold each key to its requests a minute and a day, and tell it in ``RateLimit`` headers.

    Requests without a key pass. Fixed windows: around the edge of one, twice the limit may pass within its length.
    """

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request of a key. Raises as ``count()`` does."""
        if not isinstance(request.auth, ApiKey):
            return True
        windows = get_windows(request.auth)
        if not windows:
            return True
        is_allowed = self.count(str(request.auth.family), windows)
        if self.verdict is not None:
            set_headers(request, get_headers(self.verdict))
        return is_allowed


def get_windows(api_key: ApiKey) -> list[Window]:
    """Return the windows that hold for a key; its own limits, or the defaults where it says 0. Unlimited ones are left out."""
    is_publishable = api_key.prefix == KeyType.PUBLISHABLE
    per_minute = conf.PUBLISHABLE_RATE_LIMIT_PER_MINUTE if is_publishable else conf.RATE_LIMIT_PER_MINUTE
    windows = [
        Window(api_key.rate_limit_per_minute or per_minute, MINUTE),
        Window(api_key.rate_limit_per_day or conf.RATE_LIMIT_PER_DAY, DAY),
    ]
    return [window for window in windows if window.limit]


def get_headers(verdict: Verdict) -> dict[str, str]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers-06 and their older ``X-`` aliases."""
    tightest = verdict.tightest
    limit, remaining = str(tightest.window.limit), str(tightest.remaining)
    return {
        "RateLimit-Policy": ", ".join(f"{usage.window.limit};w={usage.window.period}" for usage in verdict.usages),
        "RateLimit-Limit": limit,
        "RateLimit-Remaining": remaining,
        "RateLimit-Reset": str(tightest.reset),
        "X-RateLimit-Limit": limit,
        "X-RateLimit-Remaining": remaining,
        "X-RateLimit-Reset": str(int(time.time()) + tightest.reset),
    }
