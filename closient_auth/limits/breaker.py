from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import ParamSpec, TypeVar

from closient_auth.conf import conf
from closient_auth.limits.windows import CountRefused, StoreUnavailable

logger = logging.getLogger("closient_auth")

# So many failures in a row until nobody waits any more, and seconds until one request tries again.
FAILURES = 3
RETRY_AFTER = 5
# Seconds between two log lines.
LOG_INTERVAL = 60

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Breaker:
    """
    Spares requests the wait for a store that does not answer.

    After a few failures in a row requests fail at once; every few seconds one of them tries, and the first to succeed
    ends it. For one store and one process; threads may share it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._failures = 0
        self._retry_at = 0.0
        self._log_at = 0.0
        self._is_reported = False

    def call(self, operation: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what the operation does. Raise ``StoreUnavailable`` for any error of it, and where it is not tried."""
        if self._failures >= FAILURES and not self._is_retry_due():
            raise StoreUnavailable("not tried")
        try:
            result = operation(*args, **kwargs)
        except CountRefused as error:
            # It answered: no reason to spare the others, whose counters may be sound.
            self._reset()
            self._report(error)
            raise
        except Exception as error:
            # Each cache client raises errors of its own, and none of them may become a 500.
            self._fail(error)
            raise StoreUnavailable(_describe(error)) from error
        if self._failures or self._is_reported:
            self._recover()
        return result

    def _is_retry_due(self) -> bool:
        with self._lock:
            now = monotonic()
            is_due = now >= self._retry_at
            if is_due:
                self._retry_at = now + RETRY_AFTER
            return is_due

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._failures += 1
            self._retry_at = monotonic() + RETRY_AFTER
        self._is_reported = self._report(error) or self._is_reported

    def _reset(self) -> None:
        with self._lock:
            self._failures = 0

    def _recover(self) -> None:
        with self._lock:
            is_reported, self._is_reported = self._is_reported, False
            self._failures = 0
        if is_reported:
            logger.warning("rate_limits=available")

    def _report(self, error: Exception) -> bool:
        """Log the error, if none was logged of late; return whether it was."""
        with self._lock:
            now = monotonic()
            is_due = now >= self._log_at
            if is_due:
                self._log_at = now + LOG_INTERVAL
        if is_due:
            logger.error("rate_limits=unavailable fail_open=%s error=%s", conf.RATE_LIMIT_FAIL_OPEN, _describe(error))
        return is_due


def _describe(error: Exception) -> str:
    # What a foreign error says may hold anything, an address with its password too.
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
