"""Data types and the store interface of the rate limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, TypeAlias


class StoreUnavailable(Exception):
    """Raised if requests cannot be counted."""


class NotAsked(StoreUnavailable):
    """Raised if the store did not get the request, so that it cannot have counted it."""


class CountRefused(StoreUnavailable):
    """Raised if the store responds but cannot count for one identifier, for example because its counter is invalid."""


# A store keeps the requests of an identifier for the current hour and this number of hours before.
HOURS_KEPT = 48


class Count(NamedTuple):
    """The number of admitted requests, and of requests over a limit. No request is in both."""

    requests: int = 0
    refused: int = 0


# The requests of an identifier by hour: the number of hours since 1970 (UTC)
Hours: TypeAlias = Mapping[int, Count]


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
    """Whether a request is within its limits, and the state of each window.

    ``is_recorded`` says that the store has added the request to the identifier's hours.
    """

    allowed: bool
    states: tuple[WindowState, ...]
    is_recorded: bool = False

    @cached_property
    def tightest(self) -> WindowState:
        """The window with the fewest requests left, or the longest to reset if several have equally few."""
        return min(self.states, key=lambda state: (state.remaining, -state.reset))


class Store(Protocol):
    """Interface of a store to count requests in fixed windows, shared by several processes.

    A window of an identifier ends at the same time in every process. Windows of different identifiers end at different
    times, to spread the resets. Editing a limit keeps the count. The methods may raise any exception.
    """

    def count(
        self, identifier: str, windows: Sequence[Window], owed: Sequence[int], *, records: bool = False
    ) -> Verdict:
        """Count one request in all windows, or in none if any of them is used up, and return the verdict.

        ``owed`` are requests that another store admitted in each window. They are added before. With ``records``, add the
        request to the identifier's hours as well, if the store can do so without a further round trip.
        """

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
        """Return the state of each window without counting a request."""

    def read_hours(self, identifiers: Sequence[str]) -> list[Hours] | None:
        """Return the hours of each identifier, or ``None`` if the store records none."""
