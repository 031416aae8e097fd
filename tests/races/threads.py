"""Operations that begin at the same moment, each in a thread and a database connection of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from django.db import connection, connections

ROUNDS = 100

# SQLite has one writer at a time: the second waits before it reads.
needs_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="needs PostgreSQL or MariaDB")


def attempt(operation):
    """Do it, and close the connections of this thread; return what it raised, or ``None``."""
    try:
        operation()
    except Exception as error:
        return error
    finally:
        connections.close_all()


def race(*operations):
    """Start the operations at once; return what each raised, or ``None``."""
    start = Barrier(len(operations), timeout=30)

    def run(operation):
        # Connected before the start, so that all begin with their first query.
        connection.ensure_connection()
        start.wait()
        operation()

    with ThreadPoolExecutor(len(operations)) as threads:
        return list(threads.map(attempt, [partial(run, operation) for operation in operations]))
