"""Circuit breaker for the rate-limit store."""

import logging
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import ParamSpec, TypeVar

from closient_auth.conf import conf
from closient_auth.limits.windows import CountRefused, StoreUnavailable

logger = logging.getLogger("closient_auth")

FAILURES = 3
RETRY_AFTER = 5
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
        self._due = {"retry": 0.0, "log": 0.0}
        self._is_reported = False

    def call(self, operation: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return the operation's result. Raise ``StoreUnavailable`` if it fails or the circuit is open."""
        if self._failures >= FAILURES and not self._take_turn("retry", RETRY_AFTER):
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
                self._due["retry"] = monotonic() + RETRY_AFTER
            self._is_reported = self._report(error) or self._is_reported
            raise StoreUnavailable(_describe(error)) from error
        if self._failures or self._is_reported:
            with self._lock:
                is_reported, self._is_reported, self._failures = self._is_reported, False, 0
            if is_reported:
                logger.warning("rate_limits=available")
        return result

    def _report(self, error: Exception) -> bool:
        """Log the error unless one was logged in the last ``LOG_INTERVAL`` seconds. Return whether it was logged."""
        is_due = self._take_turn("log", LOG_INTERVAL)
        if is_due:
            logger.error("rate_limits=unavailable fail_open=%s error=%s", conf.RATE_LIMIT_FAIL_OPEN, _describe(error))
        return is_due

    def _take_turn(self, name: str, interval: float) -> bool:
        """Return whether the turn is due. If so, the next one is due in ``interval`` seconds."""
        with self._lock:
            now = monotonic()
            is_due = now >= self._due[name]
            if is_due:
                self._due[name] = now + interval
            return is_due


def _describe(error: Exception) -> str:
    # The text of a client's exception may contain secrets, such as a URL with a password.
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
