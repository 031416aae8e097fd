"""Run operations at the same moment, each in its own thread and database connection."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from django.db import connection, connections

# The number of rounds of each race lets CI miss its fault on one database in less than one of ten runs. CI runs the races
# on two. We removed one protection at a time and counted the rounds until the race failed, on two busy cores:
#
# - no lock of the organization: 18 to 80 % of the rounds in which two Owners demote, remove or leave (7 % when one of them
#   is deleted with the user), 17 to 100 % when a key is created for an organization that is deleted, 2.5 % on MariaDB when
#   the organization is deleted with its members;
# - no order of these locks: 23 % on PostgreSQL, 43 % on MariaDB;
# - no lock of the row: all rounds of eight requests for one invitation or rotation, half of those with two removals;
# - InnoDB's deadlock over a slug, which the management API turns into 409: 67 % of the rounds that wait for a slug;
# - no check before two slugs are exchanged: all rounds on PostgreSQL, none on MariaDB;
# - no SKIP LOCKED on MariaDB, or all keys revoked in one transaction: 1 % of the rounds of many operations.
#
# `make races` multiplies the rounds by a hundred.
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
