"""Run operations at the same moment, each in its own thread and database connection."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from django.db import connection, connections

FACTOR = float(os.environ.get("CLOSIENT_AUTH_TEST_ROUNDS", "1"))

# SQLite allows one writer at a time, so a second writer waits before it reads.
needs_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="needs PostgreSQL or MariaDB")


def rounds(number):
    """Return the rounds of a race: the number for CI, multiplied by ``CLOSIENT_AUTH_TEST_ROUNDS``."""
    count = round(number * FACTOR)
    assert count > 0, "a race needs a round"
    return range(count)


def attempt(operation):
    """Run the operation, close the thread's connections, and return the exception or ``None``."""
    try:
        operation()
    except Exception as error:
        return error
    finally:
        connections.close_all()


def race(*operations):
    """Start the operations at once and return the exception or ``None`` of each."""
    start = Barrier(len(operations), timeout=30)

    def run(operation):
        # Connect before the start, so all threads begin with their first query.
        connection.ensure_connection()
        start.wait()
        operation()

    with ThreadPoolExecutor(len(operations)) as threads:
        return list(threads.map(attempt, [partial(run, operation) for operation in operations]))
