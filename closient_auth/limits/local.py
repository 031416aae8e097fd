"""Count requests in the memory of this process, while the shared store does not respond."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from threading import Lock
from time import monotonic
from zlib import crc32

from closient_auth.limits.windows import Verdict, Window, WindowState

# The most counters in memory. An entry takes about 300 bytes, and the least recently used one is dropped.
CAPACITY = 20_000


@dataclass(slots=True)
class _Counter:
    # The end of the window by ``monotonic()``, so a step of the machine's clock cannot prolong it.
    end: float
    # The last known count of the shared store, and the requests that only this process counted. The shared store is still
    # to be told the owed part of them. It may have counted the others, if only its response was lost.
    shared: int = 0
    own: int = 0
    owed: int = 0

    def renew(self, period: int, now: float) -> None:
        """Start the window that contains ``now``. It ends a whole number of periods after the last one."""
        self.end += period * ((now - self.end) // period + 1)
        self.shared = self.own = self.owed = 0


class LocalStore:
    """A thread-safe counter in this process: a stand-in for the shared store, with the same windows.

    It continues from the counts that it was last told. What it counted itself is kept until the window ends, so several
    short outages in one window together admit the limit at most once more.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: OrderedDict[tuple[str, int], _Counter] = OrderedDict()
        self._was_owing = False

    def count(self, identifier: str, windows: Sequence[Window], *, is_owed: bool = False) -> Verdict:
        """See ``Store.count()``. If ``is_owed``, the shared store is to be told about this request."""
        now = monotonic()
        with self._lock:
            counters = [self._get(identifier, window, now) for window in windows]
            pairs = list(zip(windows, counters, strict=True))
            allowed = all(counter.shared + counter.own < window.limit for window, counter in pairs)
            for counter in counters if allowed else ():
                counter.own += 1
                counter.owed += is_owed
            self._was_owing |= is_owed
            return Verdict(allowed, tuple(_describe(window, counter, now) for window, counter in pairs))

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
        """See ``Store.look()``."""
        now = monotonic()
        with self._lock:
            return tuple(_describe(window, self._get(identifier, window, now), now) for window in windows)

    def take_owed(self, identifier: str, windows: Sequence[Window]) -> list[int]:
        """Return the requests to tell the shared store for each window. They are not returned a second time."""
        owed = [0] * len(windows)
        if not self._was_owing:
            return owed
        now = monotonic()
        with self._lock:
            for index, window in enumerate(windows):
                counter = self._get(identifier, window, now)
                owed[index], counter.owed = counter.owed, 0
        return owed

    def return_owed(self, identifier: str, windows: Sequence[Window], owed: Sequence[int]) -> None:
        """Take back what ``take_owed()`` returned, because the shared store was not told."""
        now = monotonic()
        with self._lock:
            for window, number in zip(windows, owed, strict=True):
                self._get(identifier, window, now).owed += number

    def remember(self, identifier: str, states: Sequence[WindowState], owed: Sequence[int]) -> None:
        """Store the counts and the ends of the shared store's windows, which now include the owed requests."""
        now = monotonic()
        with self._lock:
            for state, number in zip(states, owed, strict=True):
                counter = self._get(identifier, state.window, now)
                end = now + state.reset
                # ``reset`` is in whole seconds, so the end of one window varies by a second.
                if end - counter.end > state.window.period / 2:
                    counter.own = counter.shared = counter.owed = 0
                counter.end = end
                counter.own = max(0, counter.own - number)
                # Threads may call this in another order than the store counted.
                counter.shared = max(counter.shared, state.count)

    def _get(self, identifier: str, window: Window, now: float) -> _Counter:
        key = (window.get_counter(identifier), window.period)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = _Counter(now + _get_seconds_left(*key))
            if len(self._counters) > CAPACITY:
                self._counters.popitem(last=False)
        else:
            self._counters.move_to_end(key)
            if counter.end <= now:
                counter.renew(window.period, now)
        return counter


def _get_seconds_left(name: str, period: int) -> float:
    # As in django-ratelimit and in Redis, a window's last second has the same remainder by the period as the CRC-32.
    clock = time.time()
    return period - (int(clock) - crc32(name.encode()) - 1) % period - clock % 1


def _describe(window: Window, counter: _Counter, now: float) -> WindowState:
    # Rounding removes the error of the subtraction, which ``ceil()`` would turn into a second.
    return WindowState(window, counter.shared + counter.own, max(1, ceil(round(counter.end - now, 3))))
