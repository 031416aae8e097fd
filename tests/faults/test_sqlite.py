"""Concurrent writes to SQLite do not raise "database is locked"."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tests.factories import make_key
from tests.served.databases import share_database
from tests.served.servers import GUNICORN, serve_host

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases do not lock as a whole"),
]

THREADS = 8
REQUESTS = 320


@pytest.mark.parametrize("environment", [{"SERVED_ATOMIC": "1"}, {}], ids=["atomic requests", "autocommit"])
def test_eight_threads_write(tmp_path, environment):
    _, raw_key = make_key("csb", rate_limit_per_minute=10_000)
    command = [*GUNICORN, f"--threads={THREADS}"]
    with serve_host(command, share_database(tmp_path), tmp_path, **environment) as server:

        def write(number):
            return server.request("/projects/", raw_key, method="POST", data={"name": str(number)}).status

        with ThreadPoolExecutor(THREADS) as pool:
            statuses = list(pool.map(write, range(REQUESTS)))

        assert statuses == [201] * REQUESTS
        assert b"not_written" not in server.log
        state = server.request("/state/").json()
        assert (state["projects"], state["used"]) == (REQUESTS, 1)
