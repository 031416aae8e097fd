"""Run operations at the same moment, each in its own thread and database connection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from django.db import connection, connections

ROUNDS = 100

# SQLite allows one writer at a time, so a second writer waits before it reads.
needs_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="needs PostgreSQL or MariaDB")


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
