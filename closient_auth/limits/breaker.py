"""Circuit breaker for the rate-limit store."""

import logging
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import ParamSpec, TypeVar

from closient_auth.conf import conf
from closient_auth.limits.windows import CountRefused, NotAsked, StoreUnavailable

logger = logging.getLogger("closient_auth")

# The circuit opens when requests have failed for this time, in seconds, and none succeeded.
OPEN_AFTER = 0.1
# Seconds between two probes of the store while the circuit is open.
PROBE_INTERVAL = 0.25
# A probe that does not return in this time, in seconds, is followed by another.
PROBE_LEASE = 10
# Nothing is known about the store after a silence of this time, in seconds, so a failure after it starts a new outage. It is
# long, because a process with few requests must also find that the store is away.
SILENCE = 60
LOG_INTERVAL = 60

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Breaker:
    """Fail at once, without waiting, if the store does not respond.

    An outage is measured in time. A short stall fails all concurrent requests, so their number says nothing. The circuit
    opens if requests fail for ``OPEN_AFTER`` seconds; those that started before the first failure do not count. While it
    is open, one request probes the store every ``PROBE_INTERVAL`` seconds, and a success closes the circuit. Use one
    breaker for each store and process. It is thread-safe.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._log_due = 0.0
        self._is_reported = False
        self._forget_outage()

    def _forget_outage(self) -> None:
        self._is_failing = self._is_open = False
        # The first and the last failure of the outage, the last start of a request that failed, and the next probe.
        self._first = self._last = self._last_start = self._probe_due = 0.0

    @property
    def away(self) -> float:
        """The seconds for which the store is known to fail: from the first failure to the last failed request's start."""
        return max(0.0, self._last_start - self._first)

    def call(self, operation: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return the operation's result. Raise ``StoreUnavailable`` if it fails, ``NotAsked`` if the circuit is open."""
        start = monotonic()
        if self._is_failing and not self._may_try(start):
            raise NotAsked("not tried")
        try:
            result = operation(*args, **kwargs)
        except CountRefused as error:
            # The store responds, and other counters may be valid, so close the circuit.
            self._succeed()
            self._report(error)
            raise
        except Exception as error:
            # Each cache client has its own exceptions, and none of them may cause a 500.
            self._fail(start)
            self._is_reported = self._report(error) or self._is_reported
            if isinstance(error, NotAsked):
                raise
            raise StoreUnavailable(describe(error)) from error
        if self._is_failing or self._is_reported:
            self._succeed()
        return result

    def _may_try(self, now: float) -> bool:
        with self._lock:
            if self._is_open and now >= self._probe_due:
                if now - self._last > SILENCE:
                    self._forget_outage()
                else:
                    # A probe may take seconds with a cache's own timeouts. Until it returns, the outage goes on.
                    self._probe_due = self._last = now + PROBE_LEASE
                return True
            return not self._is_open

    def _fail(self, start: float) -> None:
        with self._lock:
            now = monotonic()
            if not self._is_failing or start - self._last > SILENCE:
                self._forget_outage()
                self._is_failing, self._first = True, now
            self._last, self._last_start = now, max(self._last_start, start)
            self._is_open = self._is_open or (start >= self._first and now - self._first >= OPEN_AFTER)
            self._probe_due = now + PROBE_INTERVAL

    def _succeed(self) -> None:
        with self._lock:
            is_reported, self._is_reported = self._is_reported, False
            self._forget_outage()
        if is_reported:
            logger.warning("rate_limits=available")

    def _report(self, error: Exception) -> bool:
        """Log the error unless one was logged in the last ``LOG_INTERVAL`` seconds. Return whether it was logged."""
        with self._lock:
            now = monotonic()
            is_due = now >= self._log_due
            if is_due:
                self._log_due = now + LOG_INTERVAL
        if is_due:
            logger.error("rate_limits=unavailable fail_open=%s error=%s", conf.RATE_LIMIT_FAIL_OPEN, describe(error))
        return is_due


def describe(error: Exception) -> str:
    """Return the class of an exception, or the text if it is one of this package."""
    # The text of a client's exception may contain secrets, such as a URL with a password.
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
