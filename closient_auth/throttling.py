"""Limit the request rate of API keys."""

from collections.abc import Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from closient_auth.core import rates
from closient_auth.core.credentials import get_api_key
from closient_auth.exceptions import raise_api_exceptions
from closient_auth.headers import get_headers
from closient_auth.limits.windows import Verdict, Window


class WindowThrottle(BaseThrottle):
    """Base class for throttles with fixed windows. It applies ``RATE_LIMIT_FAIL_OPEN`` if requests cannot be counted."""

    verdict: Verdict | None = None

    def count(self, identifier: str, windows: Sequence[Window]) -> bool:
        """Count a request and return whether it is within its limits.

        If it cannot be counted, return ``True``, or raise ``LimitsUnavailable`` (503) without ``RATE_LIMIT_FAIL_OPEN``.
        """
        with raise_api_exceptions():
            self.verdict = rates.count(identifier, windows)
        return self.verdict is None or self.verdict.allowed

    def wait(self) -> int | None:
        """Return the seconds until a request can pass (the later end if both windows are used up), or ``None``."""
        return self.verdict.tightest.reset if self.verdict else None


class ApiKeyRateThrottle(WindowThrottle):
    """Limit the requests of each API key per minute and per day, and send ``RateLimit`` headers.

    Requests without an API key are not limited. A key and its rotated successors share their counters. The windows are
    fixed: in a period around the end of a window, up to twice the limit can pass.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        api_key = get_api_key(request)
        windows = rates.get_windows(api_key) if api_key else []
        if api_key is None or not windows:
            return True
        is_allowed = self.count(str(api_key.family), windows)
        if self.verdict is not None:
            get_headers(request).update(rates.get_headers(self.verdict))
        return is_allowed
