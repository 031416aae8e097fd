"""Count requests in this process, and write the counts into the table after a response."""

import atexit
import logging
import os
import time
from contextvars import ContextVar
from functools import cache
from threading import Lock
from time import monotonic
from uuid import UUID

from django.core.signals import request_finished
from django.db import connections, router

from closient_auth.limits.windows import Count
from closient_auth.models import ApiKeyUsage
from closient_auth.models.usage import BATCH_SIZE, HOUR

logger = logging.getLogger("closient_auth")

# Seconds between two writes of a process, and between two lines in the log.
WRITE_INTERVAL: float = 10
LOG_INTERVAL = 60
# The most counts in memory. A count takes about 300 bytes, and further ones are dropped.
CAPACITY = 20_000

# Whether the request of this context was counted.
_counted: ContextVar[bool] = ContextVar("closient_auth_counted", default=False)


def record(family: UUID, *, is_admitted: bool) -> None:
    """Count a request of a family in this process, because the store of the rate limits has not recorded it."""
    _counted.set(True)
    _buffer.add((family, int(time.time()) // HOUR), is_admitted)


class Buffer:
    """The counts of one process that are not in the table yet. It is thread-safe."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all counts."""
        self._lock, self._writing = Lock(), Lock()
        self._counts: dict[tuple[UUID, int], Count] = {}
        # The database of the counts. Test runners replace it for a while, and must not find test data in the real one.
        self._database: object = None
        self._write_due = self._log_due = 0.0

    def add(self, key: tuple[UUID, int], is_admitted: bool) -> None:
        """Count a request of a family in an hour."""
        with self._lock:
            if not self._counts:
                _connect()
                self._database, self._write_due = _get_database(), monotonic() + WRITE_INTERVAL
            count = self._counts.get(key)
            if count is not None:
                self._counts[key] = Count(count[0] + is_admitted, count[1] + (not is_admitted))
            elif len(self._counts) < CAPACITY:
                self._counts[key] = Count(int(is_admitted), int(not is_admitted))
            else:
                self._log("dropped", "the buffer is full")

    def is_due(self) -> bool:
        """Return whether the oldest count is ``WRITE_INTERVAL`` seconds old."""
        return bool(self._counts) and monotonic() >= self._write_due

    def write(self) -> None:
        """Write the counts into the table. Keep them if this fails, or if this thread has an open transaction.

        That transaction could be rolled back, and it would lock the rows of all processes until its end.
        """
        connection = connections[router.db_for_write(ApiKeyUsage)]
        was_open = connection.connection is not None
        if not self._writing.acquire(blocking=False):
            return
        try:
            self._forget_other_database()
            if self._counts and not connection.in_atomic_block and connection.get_autocommit():
                self._write()
        except Exception as error:
            # A database driver may raise other exceptions than Django's, and the response has been sent.
            self._write_due = monotonic() + WRITE_INTERVAL
            self._log("not_written", type(error).__name__)
        finally:
            self._writing.release()
            # Django has closed the connections of the request before.
            if not was_open:
                connection.close_if_unusable_or_obsolete()

    def _forget_other_database(self) -> None:
        with self._lock:
            if self._database != _get_database():
                self._counts = {}

    def _write(self) -> None:
        with self._lock:
            counts, self._counts = sorted(self._counts.items()), {}
            database = self._database
        try:
            while counts:
                # The database executes each statement as a whole or not at all.
                ApiKeyUsage.objects.add(dict(counts[:BATCH_SIZE]))
                del counts[:BATCH_SIZE]
        finally:
            self._return(counts, database)

    def _return(self, counts: list[tuple[tuple[UUID, int], Count]], database: object) -> None:
        with self._lock:
            for key, (requests, refused) in counts:
                more = self._counts.get(key, Count())
                self._counts[key] = Count(requests + more.requests, refused + more.refused)
                self._database = database

    def _log(self, what: str, reason: str) -> None:
        if monotonic() >= self._log_due:
            self._log_due = monotonic() + LOG_INTERVAL
            logger.warning("usage=%s error=%s", what, reason)


def _get_database() -> object:
    alias = router.db_for_write(ApiKeyUsage)
    return alias, connections[alias].settings_dict["NAME"]


def _write_if_due(**kwargs: object) -> None:
    # If the database is down, a request has waited for it once already, and must not wait a second time. A request that was
    # counted has reached it.
    has_counted = _counted.get()
    _counted.set(False)
    if _buffer.is_due() and (has_counted or connections[router.db_for_write(ApiKeyUsage)].connection is not None):
        _buffer.write()


@cache
def _connect() -> None:
    # A process that counts nothing has no receiver.
    request_finished.connect(_write_if_due, dispatch_uid="closient_auth.usage")
    atexit.register(_buffer.write)


_buffer = Buffer()
# A forked child must not write the counts of its parent, and a lock could stay locked there. Windows does not fork.
getattr(os, "register_at_fork", lambda **hooks: None)(after_in_child=_buffer.clear)
