"""Count with django-ratelimit, on any of Django's caches."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.core.cache import caches
from django_ratelimit import ALL
from django_ratelimit.core import _get_window, _make_cache_key, get_usage

from closient_auth.limits.windows import CountRefused, StoreUnavailable, Usage, Verdict, Window

# It joins group and rate without a separator: a name that ended in a digit could share another's counter.
GROUP = "closient_auth:"


class RatelimitStore:
    """
    A ``Store`` in the cache of this alias, which has to be the one that django-ratelimit uses.

    The windows end by this machine's clock. Several requests at once may each find room in the first window and none in
    the second: those count in the first.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def count(self, identifier: str, windows: Sequence[Window]) -> Verdict:
        """Round trips: 1 to look, and at most 2 for each window."""
        usages = list(self.look(identifier, windows))
        if any(usage.count >= usage.window.limit for usage in usages):
            return Verdict(False, tuple(usages))
        for index, window in enumerate(windows):
            usages[index] = _increment(identifier, window)
            # Others counted since we looked. Each counter is exact, so the limit holds.
            if usages[index].count > window.limit:
                return Verdict(False, tuple(usages))
        return Verdict(True, tuple(usages))

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        # Its own way to look costs two trips a window, and there is no public way to its keys.
        ends = [_get_window(identifier, window.period) for window in windows]
        keys = [
            _make_cache_key(GROUP, end, _rate(window), identifier, ALL)
            for window, end in zip(windows, ends, strict=True)
        ]
        counts = caches[self.alias].get_many(keys)
        now = int(time.time())
        return tuple(
            _make_usage(window, counts.get(key, 0), end - now)
            for window, end, key in zip(windows, ends, keys, strict=True)
        )


def _increment(identifier: str, window: Window) -> Usage:
    usage = get_usage(
        request=None,
        group=GROUP,
        key=lambda group, request: identifier,
        rate=_rate(window),
        increment=True,
    )
    # Without a count its answer is None or a limit of 0, depending on a setting of its own.
    if usage is None or usage["limit"] == 0:
        raise StoreUnavailable("the cache did not count")
    return _make_usage(window, usage["count"], usage["time_left"])


def _make_usage(window: Window, count: object, time_left: int) -> Usage:
    if type(count) is not int:
        raise CountRefused("the cache holds something that is no count")
    # A window ends with its last second: only in the one after it does a new count start. That one may have begun while
    # the cache was asked.
    return Usage(window, count, max(1, time_left + 1))


def _rate(window: Window) -> tuple[int, int]:
    # Constant, and compared by ourselves: the rate is part of its cache key, so an edited limit would forget the count.
    return (1, window.period)
