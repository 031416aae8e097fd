"""Limit the request rate of API keys."""

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

# Imported for type checking only: REST framework's views import the classes named in the settings, this one included.
if TYPE_CHECKING:
    from rest_framework.views import APIView

MINUTE, DAY = 60, 86_400


class WindowThrottle(BaseThrottle):
    """Base class for throttles with fixed windows. It applies ``RATE_LIMIT_FAIL_OPEN`` if requests cannot be counted."""

    verdict: Verdict | None = None

    def count(self, identifier: str, windows: Sequence[Window]) -> bool:
        """
        Count a request and return whether it is within its limits.

        If it cannot be counted, return ``True``, or raise ``LimitsUnavailable`` (503) without ``RATE_LIMIT_FAIL_OPEN``.
        """
        try:
            self.verdict = count_request(identifier, windows)
        except StoreUnavailable as error:
            if not conf.RATE_LIMIT_FAIL_OPEN:
                raise LimitsUnavailable from error
            return True
        return self.verdict.allowed

    def wait(self) -> int | None:
        """Return the seconds until a request can pass (the later end if both windows are used up), or ``None``."""
        return self.verdict.tightest.reset if self.verdict else None


class ApiKeyRateThrottle(WindowThrottle):
    """
    Limit the requests of each API key per minute and per day, and send ``RateLimit`` headers.

    Requests without an API key are not limited. A key and its rotated successors share their counters. The windows are
    fixed: in a period around the end of a window, up to twice the limit can pass.
    """

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Return whether the request is within the key's limits. Raise the same errors as ``count()``."""
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
    """Return the windows of a key. A limit of 0 on the key means the default; a default of 0 means no window."""
    is_publishable = api_key.prefix == KeyType.PUBLISHABLE
    per_minute = conf.PUBLISHABLE_RATE_LIMIT_PER_MINUTE if is_publishable else conf.RATE_LIMIT_PER_MINUTE
    windows = [
        Window(api_key.rate_limit_per_minute or per_minute, MINUTE),
        Window(api_key.rate_limit_per_day or conf.RATE_LIMIT_PER_DAY, DAY),
    ]
    return [window for window in windows if window.limit]


def get_headers(verdict: Verdict) -> dict[str, str]:
    """
    Return the headers of draft-ietf-httpapi-ratelimit-headers-06 and their older ``X-`` aliases.

    The values are those of the window with the fewest requests left. ``RateLimit-Reset`` is in seconds from now,
    ``X-RateLimit-Reset`` is a Unix timestamp.
    """
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
