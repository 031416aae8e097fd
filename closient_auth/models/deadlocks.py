"""Retry database operations after a deadlock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connections

# MariaDB and MySQL: ER_LOCK_DEADLOCK.
DEADLOCK = 1213
TRIES = 10

Result = TypeVar("Result")


def retry_deadlocks(operation: Callable[[], Result], using: str) -> Result:
    """
    Run the operation and return its result; run it up to ``TRIES`` times if InnoDB reports a deadlock.

    Two concurrent inserts of a just-released unique value can deadlock regardless of our locks: both transactions share
    a lock on the deleted row, then each waits for the other (measured: one try in seven). InnoDB rolls back the whole
    transaction. Inside a transaction of the host project we cannot retry, so ``OperationalError`` propagates.
    """
    for _ in range(TRIES - 1):
        try:
            return operation()
        except OperationalError as error:
            if error.args[:1] != (DEADLOCK,) or not connections[using].get_autocommit():
                raise
    return operation()
