"""Circuit breaker for the rate-limit store."""

import logging
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import ParamSpec, TypeVar

from closient_auth.conf import conf
from closient_auth.limits.windows import CountRefused, StoreUnavailable

logger = logging.getLogger("closient_auth")

# The circuit opens after this many consecutive failures, and one request probes the store after this many seconds.
FAILURES = 3
RETRY_AFTER = 5
# Minimum seconds between two error log lines
LOG_INTERVAL = 60

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Breaker:
    """Fail at once, without waiting, if the store does not respond.

    The circuit opens after ``FAILURES`` consecutive failures. Every ``RETRY_AFTER`` seconds one request probes the store,
    and a success closes the circuit. Use one breaker for each store and process. It is thread-safe.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._failures = 0
        self._retry_at = 0.0
        self._log_at = 0.0
        self._is_reported = False

    def call(self, operation: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return the operation's result. Raise ``StoreUnavailable`` if it fails or the circuit is open."""
        if self._failures >= FAILURES and not self._is_retry_due():
            raise StoreUnavailable("not tried")
        try:
            result = operation(*args, **kwargs)
        except CountRefused as error:
            # The store responds, and other counters may be valid, so close the circuit.
            with self._lock:
                self._failures = 0
            self._report(error)
            raise
        except Exception as error:
            # Each cache client has its own exceptions, and none of them may cause a 500.
            with self._lock:
                self._failures += 1
                self._retry_at = monotonic() + RETRY_AFTER
            self._is_reported = self._report(error) or self._is_reported
            raise StoreUnavailable(_describe(error)) from error
        if self._failures or self._is_reported:
            with self._lock:
                is_reported, self._is_reported, self._failures = self._is_reported, False, 0
            if is_reported:
                logger.warning("rate_limits=available")
        return result

    def _is_retry_due(self) -> bool:
        with self._lock:
            now = monotonic()
            is_due = now >= self._retry_at
            if is_due:
                self._retry_at = now + RETRY_AFTER
            return is_due

    def _report(self, error: Exception) -> bool:
        """Log the error unless one was logged in the last ``LOG_INTERVAL`` seconds. Return whether it was logged."""
        with self._lock:
            now = monotonic()
            is_due = now >= self._log_at
            if is_due:
                self._log_at = now + LOG_INTERVAL
        if is_due:
            logger.error("rate_limits=unavailable fail_open=%s error=%s", conf.RATE_LIMIT_FAIL_OPEN, _describe(error))
        return is_due


def _describe(error: Exception) -> str:
    # The text of a client's exception may contain secrets, such as a URL with a password.
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
