"""Limit the request rate of API keys."""

from collections.abc import Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from closient_auth.core import rates
from closient_auth.core.client_address import get_client_address
from closient_auth.core.credentials import get_api_key
from closient_auth.exceptions import raise_api_exceptions
from closient_auth.headers import get_headers
from closient_auth.limits.windows import Verdict, Window


class WindowThrottle(BaseThrottle):
    """Base class for throttles with fixed windows."""

    verdict: Verdict | None = None

    def count(self, identifier: str, windows: Sequence[Window]) -> bool:
        """Count a request and return whether it is within its limits.

        Without ``RATE_LIMIT_FAIL_OPEN``, raise ``LimitsUnavailable`` (503) if it cannot be counted.
        """
        with raise_api_exceptions():
            self.verdict = rates.count(identifier, windows)
        return self.verdict.allowed

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
        if api_key is None:
            return True
        with raise_api_exceptions():
            self.verdict = rates.count_key(api_key, get_client_address(request._request))
        if self.verdict is None:
            return True
        get_headers(request).update(rates.get_headers(self.verdict))
        return self.verdict.allowed
