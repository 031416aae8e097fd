"""Data types and the store interface of the rate limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol


class StoreUnavailable(Exception):
    """Raised if requests cannot be counted."""


class NotAsked(StoreUnavailable):
    """Raised if the store did not get the request, so that it cannot have counted it."""


class CountRefused(StoreUnavailable):
    """Raised if the store responds but cannot count for one identifier, for example because its counter is invalid."""


class Window(NamedTuple):
    """A limit of ``limit`` requests in ``period`` seconds, of one ``client`` (a network address) or of all clients."""

    limit: int
    period: int
    client: str = ""

    def get_counter(self, identifier: str) -> str:
        """Return the name of the counter. Windows with one name and different periods end by one CRC-32."""
        return f"{identifier}:{self.client}" if self.client else identifier


@dataclass(frozen=True, slots=True)
class WindowState:
    """The state of a window: ``count`` requests so far, and ``reset`` seconds until the next window starts."""

    window: Window
    count: int
    reset: int

    @property
    def remaining(self) -> int:
        """The number of requests left. ``Store.count()`` has already counted the current request."""
        return max(0, self.window.limit - self.count)


@dataclass(frozen=True)
class Verdict:
    """Whether a request is within its limits, and the state of each window."""

    allowed: bool
    states: tuple[WindowState, ...]

    @cached_property
    def tightest(self) -> WindowState:
        """The window with the fewest requests left, or the longest to reset if several have equally few."""
        return min(self.states, key=lambda state: (state.remaining, -state.reset))


class Store(Protocol):
    """Interface of a store to count requests in fixed windows, shared by several processes.

    A window of an identifier ends at the same time in every process. Windows of different identifiers end at different
    times, to spread the resets. Editing a limit keeps the count. The methods may raise any exception.
    """

    def count(self, identifier: str, windows: Sequence[Window], owed: Sequence[int]) -> Verdict:
        """Count one request in all windows, or in none if any of them is used up, and return the verdict.

        ``owed`` are requests that another store admitted in each window. They are added before.
        """

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
        """Return the state of each window without counting a request."""
