from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connections

# ER_LOCK_DEADLOCK of MariaDB and MySQL.
DEADLOCK = 1213
TRIES = 10

Result = TypeVar("Result")


def retry_deadlocks(operation: Callable[[], Result], using: str) -> Result:
    """
    Return what the operation returns; begin it anew, ten times at most, where InnoDB broke it off for a deadlock.

    Two who insert one value into a unique index deadlock, whatever we lock, where its last row was deleted or rolled
    back a moment ago: InnoDB lets both share a lock on what is left of that row, and both then wait for the other
    (measured: one try in seven). It undoes the whole transaction; where that is the host's, nothing can be begun
    anew here, and ``OperationalError`` is raised.
    """
    for _ in range(TRIES - 1):
        try:
            return operation()
        except OperationalError as error:
            if error.args[:1] != (DEADLOCK,) or not connections[using].get_autocommit():
                raise
    return operation()
