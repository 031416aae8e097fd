"""The rate limits of API keys: the windows of a key, the count of a request, and the headers."""

import time
from collections.abc import Sequence
from functools import lru_cache

from django.http import HttpRequest
from django.utils.translation import ngettext

from closient_auth.conf import conf
from closient_auth.core.client_address import get_client_address, get_client_network
from closient_auth.core.last_used import note_exhausted, record_use
from closient_auth.core.refusals import Refused
from closient_auth.limits.counter import count_request
from closient_auth.limits.windows import StoreUnavailable, Verdict, Window
from closient_auth.models import ApiKey
from closient_auth.roles import KEY_RULES
from closient_auth.usage import buffer

MINUTE, DAY = 60, 86_400
NAMES = {MINUTE: "minute", DAY: "day"}
# How much a signed-in user may create and change of each kind.
CHANGE_WINDOWS = (Window(60, MINUTE), Window(1000, DAY))


def get_windows(api_key: ApiKey) -> tuple[Window, ...]:
    """Return the windows of a key.

    A limit of 0 on the key means the default, and a default of 0 means no window. No limit is above
    ``MAX_RATE_LIMIT_PER_MINUTE`` and ``MAX_RATE_LIMIT_PER_DAY``, whoever created the key.
    """
    per_minute = api_key.rate_limit_per_minute or KEY_RULES[api_key.prefix].get_rate_limit()
    per_day = api_key.rate_limit_per_day or conf.RATE_LIMIT_PER_DAY
    return _get_windows(_cap(per_minute, conf.MAX_RATE_LIMIT_PER_MINUTE), _cap(per_day, conf.MAX_RATE_LIMIT_PER_DAY))


def _cap(limit: int, maximum: int) -> int:
    return min(limit or maximum, maximum) if maximum else limit


# Most keys have the same limits.
@lru_cache(maxsize=1024)
def _get_windows(per_minute: int, per_day: int) -> tuple[Window, ...]:
    return tuple(window for window in (Window(per_minute, MINUTE), Window(per_day, DAY)) if window.limit)


def count_key(request: HttpRequest, api_key: ApiKey) -> Verdict | None:
    """Count a request of a key in all windows, and return the verdict.

    A publishable key may have a window for each client as well. If it is used up, the request does not count in the
    other windows. Return ``None`` if the key has no window. Raise ``Refused`` like ``count()``.

    With ``USAGE_HISTORY``, the request is also added to the usage of the key: as refused if it is over a limit, else as a
    request, whatever the view responds.
    """
    windows = get_windows(api_key)
    if KEY_RULES[api_key.prefix].is_public and (share := conf.PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE):
        windows = (Window(share, MINUTE, get_client_network(get_client_address(request))), *windows)
    records = conf.USAGE_HISTORY
    if not windows and not records:
        return None
    verdict = count(str(api_key.family), windows, records=records)
    if records and not verdict.is_recorded:
        buffer.record(api_key.family, is_admitted=verdict.allowed)
    return verdict if windows else None


def count(identifier: str, windows: Sequence[Window], *, records: bool = False) -> Verdict:
    """Count a request and return the verdict. ``records`` is that of ``count_request()``.

    While the cache is unavailable, this process counts by itself. Raise ``Refused`` (``limits_unavailable``) after a
    second without the cache if ``RATE_LIMIT_FAIL_OPEN`` is ``False``.
    """
    try:
        return count_request(identifier, windows, records=records)
    except StoreUnavailable as error:
        raise Refused("limits_unavailable", wait=1) from error


def require_rate(request: HttpRequest, api_key: ApiKey, verdict: Verdict | None) -> None:
    """Raise ``Refused`` (``throttled``) for a request of a valid key over its limits.

    The key was used, but a flood of such requests writes ``last_used`` at most once a second.
    """
    if verdict is None:
        return
    if not verdict.tightest.remaining:
        note_exhausted(api_key, verdict.tightest.reset)
    if not verdict.allowed:
        record_use(request, api_key, at_most_every=1)
        # The client waits for the later window if both are used up.
        wait = verdict.tightest.reset
        text = ngettext(
            "Too many requests. Try again in %d second.", "Too many requests. Try again in %d seconds.", wait
        )
        raise Refused("throttled", text % wait, wait=wait, headers=get_headers(verdict))


def get_headers(verdict: Verdict) -> dict[str, str]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers-06 and their older ``X-`` aliases.

    With ``RATE_LIMIT_POLICY`` set to ``"structured"``, ``RateLimit-Policy`` has the syntax of draft 11.

    The values are those of the window with the fewest requests left. ``RateLimit-Reset`` is in seconds from now,
    ``X-RateLimit-Reset`` is a Unix timestamp. ``RateLimit`` lists all windows, as later drafts do: ``r`` is the number of
    requests left, ``t`` the seconds until the window ends.
    """
    tightest = verdict.tightest
    limit, remaining = str(tightest.window.limit), str(tightest.remaining)
    return {
        "RateLimit": ", ".join(
            [f'"{_get_name(state.window)}";r={state.remaining};t={state.reset}' for state in verdict.states]
        ),
        "RateLimit-Policy": _get_policy(tuple([state.window for state in verdict.states]), conf.RATE_LIMIT_POLICY),
        "RateLimit-Limit": limit,
        "RateLimit-Remaining": remaining,
        "RateLimit-Reset": str(tightest.reset),
        "X-RateLimit-Limit": limit,
        "X-RateLimit-Remaining": remaining,
        "X-RateLimit-Reset": str(int(time.time()) + tightest.reset),
    }


# Most keys have the same limits.
@lru_cache(maxsize=1024)
def _get_policy(windows: tuple[Window, ...], syntax: str) -> str:
    if syntax == "structured":
        return ", ".join(f'"{_get_name(window)}";q={window.limit};w={window.period}' for window in windows)
    return ", ".join(f"{window.limit};w={window.period}" for window in windows)


def _get_name(window: Window) -> str:
    return "client" if window.client else NAMES.get(window.period, f"{window.period}s")
