from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreUnavailable(Exception):
    """Raised where requests cannot be counted."""


class CountRefused(StoreUnavailable):
    """Raised where the store is there and still gives no count: a counter that holds junk, a server that takes no writes."""


@dataclass(frozen=True, slots=True)
class Window:
    """So many requests (``limit``) in so many seconds (``period``)."""

    limit: int
    period: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What of a window is used: ``count`` requests, and ``reset`` seconds until it starts anew."""

    window: Window
    count: int
    reset: int

    @property
    def remaining(self) -> int:
        """Requests that are left, this one counted."""
        return max(0, self.window.limit - self.count)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is within its limits, and the usage of each window."""

    allowed: bool
    usages: tuple[Usage, ...]

    @property
    def tightest(self) -> Usage:
        """The window that will trip first; of two that have, the one that holds longer."""
        return min(self.usages, key=lambda usage: (usage.remaining, -usage.reset))


class Store(Protocol):
    """
    Counts requests in fixed windows, for all processes that share it.

    A window of an identifier ends for everyone at the same time, and its edge lies elsewhere for each identifier, so that
    not all begin anew in one second. Its count outlives an edited limit. Any error may come out of these methods.
    """

    def count(self, identifier: str, windows: Sequence[Window]) -> Verdict:
        """Count one request in all windows, or in none if one of them is used up."""
        ...

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """Return what is used, and count nothing."""
        ...
