"""The rate limits of API keys: the windows of a key, the count of a request, and the headers."""

import time
from collections.abc import Sequence

from closient_auth.conf import conf
from closient_auth.core.refusals import Refused
from closient_auth.limits.counter import count_request
from closient_auth.limits.windows import StoreUnavailable, Verdict, Window
from closient_auth.models import ApiKey
from closient_auth.roles import KEY_RULES

MINUTE, DAY = 60, 86_400


def get_windows(api_key: ApiKey) -> list[Window]:
    """Return the windows of a key. A limit of 0 on the key means the default; a default of 0 means no window."""
    per_minute = KEY_RULES[api_key.prefix].get_rate_limit()
    windows = [
        Window(api_key.rate_limit_per_minute or per_minute, MINUTE),
        Window(api_key.rate_limit_per_day or conf.RATE_LIMIT_PER_DAY, DAY),
    ]
    return [window for window in windows if window.limit]


def count_key(api_key: ApiKey, address: str) -> Verdict | None:
    windows = get_windows(api_key)
    return count(str(api_key.family), windows) if windows else None


def count(identifier: str, windows: Sequence[Window]) -> Verdict | None:
    """Count a request and return the verdict.

    If it cannot be counted, return ``None`` (the request passes), or raise ``Refused`` (``limits_unavailable``) without
    ``RATE_LIMIT_FAIL_OPEN``.
    """
    try:
        return count_request(identifier, windows)
    except StoreUnavailable as error:
        if not conf.RATE_LIMIT_FAIL_OPEN:
            raise Refused("limits_unavailable", wait=1) from error
        return None


def get_headers(verdict: Verdict) -> dict[str, str]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers-06 and their older ``X-`` aliases.

    The values are those of the window with the fewest requests left. ``RateLimit-Reset`` is in seconds from now,
    ``X-RateLimit-Reset`` is a Unix timestamp.
    """
    tightest = verdict.tightest
    limit, remaining = str(tightest.window.limit), str(tightest.remaining)
    return {
        "RateLimit-Policy": ", ".join(f"{state.window.limit};w={state.window.period}" for state in verdict.states),
        "RateLimit-Limit": limit,
        "RateLimit-Remaining": remaining,
        "RateLimit-Reset": str(tightest.reset),
        "X-RateLimit-Limit": limit,
        "X-RateLimit-Remaining": remaining,
        "X-RateLimit-Reset": str(int(time.time()) + tightest.reset),
    }
