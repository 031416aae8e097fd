"""Count requests with django-ratelimit, on any of Django's cache backends."""

import time
from collections.abc import Sequence
from pickle import UnpicklingError

from django.core.cache import caches
from django_ratelimit import ALL
from django_ratelimit.core import EXPIRATION_FUDGE, _get_window, _make_cache_key, get_usage

from closient_auth.limits.windows import CountRefused, Hours, StoreUnavailable, Verdict, Window, WindowState

# django-ratelimit joins group and rate without a separator: a group ending in a digit could share another's counter.
GROUP = "closient_auth:"


class RatelimitStore:
    """A ``Store`` on the cache with this alias. django-ratelimit must use the same cache.

    The windows end by the web server's clock. A concurrent request may be counted in the first window and then refused
    by the second.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def count(
        self, identifier: str, windows: Sequence[Window], owed: Sequence[int], *, records: bool = False
    ) -> Verdict:
        """See ``Store.count()``. This needs 1 round trip to read the counts, 2 for each window and 1 for a client's."""
        if not windows:
            # The caller wants the request to be recorded, and this store records none.
            return Verdict(True, ())
        for window, number in zip(windows, owed, strict=True):
            if number:
                self._add(identifier, window, number)
        states = list(self.look(identifier, windows))
        if any(state.count >= state.window.limit for state in states):
            return Verdict(False, tuple(states))
        for index, state in enumerate(states):
            window = state.window
            if window.client:
                # django-ratelimit would need two round trips, although it is known whether the counter exists.
                count = self._add(identifier, window, 1, is_new=not state.count)
                states[index] = _make_state(window, count, state.reset - 1)
            else:
                states[index] = _increment(identifier, window)
            # Other requests were counted since the read. Each counter is exact, so the limit is still enforced.
            if states[index].count > window.limit:
                return Verdict(False, tuple(states))
        return Verdict(True, tuple(states))

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
        """See ``Store.look()``. This needs 1 round trip."""
        # django-ratelimit's own read needs two round trips per window, and its API for cache keys is private.
        keys = [_make_key(identifier, window) for window in windows]
        try:
            counts = caches[self.alias].get_many([key for key, _ in keys])
        except UnpicklingError as error:
            raise CountRefused(type(error).__name__) from error
        now = int(time.time())
        found = zip(windows, keys, strict=True)
        return tuple(_make_state(window, counts.get(key, 0), end - now) for window, (key, end) in found)

    def read_hours(self, identifiers: Sequence[str]) -> list[Hours] | None:
        """See ``Store.read_hours()``."""
        return None

    def _add(self, identifier: str, window: Window, number: int, *, is_new: bool = True) -> int:
        """Add to a counter, or create it, and return the count."""
        cache = caches[self.alias]
        key, _ = _make_key(identifier, window)
        if is_new and cache.add(key, number, window.period + EXPIRATION_FUDGE):
            return number
        try:
            return cache.incr(key, number)
        except ValueError as error:
            raise StoreUnavailable("the cache did not count") from error


def _make_key(identifier: str, window: Window) -> tuple[str, int]:
    """Return the name of a window's counter in the cache, and the last second of the window."""
    name = window.get_counter(identifier)
    end = _get_window(name, window.period)
    return _make_cache_key(GROUP, end, _rate(window), name, ALL), end


def _increment(identifier: str, window: Window) -> WindowState:
    state = get_usage(None, group=GROUP, key=lambda group, request: identifier, rate=_rate(window), increment=True)
    # If the cache fails, django-ratelimit returns None or a limit of 0, depending on ``RATELIMIT_FAIL_OPEN``.
    if state is None or state["limit"] == 0:
        raise StoreUnavailable("the cache did not count")
    return _make_state(window, state["count"], state["time_left"])


def _make_state(window: Window, count: object, time_left: int) -> WindowState:
    if type(count) is not int or count < 0:
        raise CountRefused("the cache contains an invalid count")
    # A new count starts in the second after the window's last one. That second may have begun during the cache query.
    return WindowState(window, count, max(1, time_left + 1))


def _rate(window: Window) -> tuple[int, int]:
    # The rate is part of django-ratelimit's cache key, so a rate with the real limit would lose the count on an edit. This
    # module compares the count with the limit itself.
    return (1, window.period)
