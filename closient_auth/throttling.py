"""Limit the request rate of API keys."""

from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from closient_auth.core import rates
from closient_auth.core.callers import get_api_key
from closient_auth.core.refusals import Refused
from closient_auth.exceptions import raise_api_exceptions
from closient_auth.headers import get_headers
from closient_auth.limits.windows import Verdict, Window
from closient_auth.models import ApiKey

# The key of ``parser_context`` with the verdict about the request.
VERDICT = "closient_auth_verdict"


class WindowThrottle(BaseThrottle):
    """Base class for throttles with fixed windows."""

    verdict: Verdict | None = None

    def count(self, identifier: str, windows: Sequence[Window]) -> bool:
        """Count a request and return whether it is within its limits.

        Raise ``LimitsUnavailable`` (503) in an outage of the cache without ``RATE_LIMIT_FAIL_OPEN``.
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

    ``ApiKeyAuthentication`` counts the request with this class before the permissions of the view can refuse it. Later
    calls for the same request return the same result.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        api_key = get_api_key(request)
        if api_key is None:
            return True
        # REST framework copies its request to check other methods, and the copies share ``parser_context``.
        state: MutableMapping[str, Any] = getattr(request, "parser_context", {})
        if VERDICT not in state:
            with raise_api_exceptions():
                state[VERDICT] = rates.count_key(getattr(request, "_request", request), api_key)
        self.verdict = state[VERDICT]
        if self.verdict is None:
            return True
        get_headers(request).update(rates.get_headers(self.verdict))
        return self.verdict.allowed


def count_key(request: Request, view: Any, api_key: ApiKey) -> Verdict | None:
    """Count the request if the view has an ``ApiKeyRateThrottle``. Return the verdict, or ``None`` without such a throttle.

    The permissions may still refuse the request, so an allowed one has no headers yet: the response for a foreign
    organization must equal that for a missing one. If the request cannot be counted, return ``None``: the permissions come
    first, and then REST framework asks the throttle again.
    """
    verdict = None
    if view is not None and any(map(_counts_once, view.get_throttles())):
        with suppress(Refused):
            verdict = request.parser_context[VERDICT] = rates.count_key(request._request, api_key)
    if verdict is not None and not verdict.allowed:
        get_headers(request).update(rates.get_headers(verdict))
    return verdict


def _counts_once(throttle: BaseThrottle) -> bool:
    # A subclass with code of its own must not run twice, so it runs when REST framework asks it.
    return getattr(type(throttle), "allow_request", None) is ApiKeyRateThrottle.allow_request
