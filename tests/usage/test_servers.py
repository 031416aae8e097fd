"""Processes of real servers write their counts."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest
from django.db import connection

from closient_auth.usage.buffer import WRITE_INTERVAL
from tests.factories import make_key
from tests.redis_servers import wait_until
from tests.served.databases import share_database
from tests.served.servers import GUNICORN, UVICORN, serve_host

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the database does not matter here"),
]

SERVERS = {"sync": [*GUNICORN, "--workers=2"], "threads": [*GUNICORN, "--threads=4"]}
SUM = "SELECT family, SUM(requests), SUM(refused) FROM closient_auth_apikeyusage GROUP BY family"


@pytest.fixture
def serve(tmp_path):
    """Return a function to start a server whose processes count by themselves."""

    def serve(command):
        return serve_host(command, share_database(tmp_path), tmp_path, CLOSIENT_AUTH_TEST_REDIS_URL="")

    return serve


@pytest.fixture
def read(tmp_path):
    """Return a function to read the table of the server."""

    def read():
        with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as copy:
            return copy.execute(SUM).fetchall()

    return read


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_the_end_of_a_server_writes_the_counts(serve, read, command):
    api_key, raw_key = make_key(rate_limit_per_minute=1000)
    with serve(command) as server:
        for _ in range(20):
            assert server.request("/who/", raw_key).status == 200
    assert read() == [(api_key.family.hex, 20, 0)]


@pytest.mark.parametrize("command", [UVICORN, SERVERS["threads"]], ids=["uvicorn", "gunicorn"])
def test_a_server_writes_after_a_response(serve, read, command):
    """uvicorn ends by the signal that it gets, and so without the code that Python runs at an exit."""
    api_key, raw_key = make_key(rate_limit_per_minute=1000)
    with serve(command) as server:
        for _ in range(5):
            assert server.request("/who/", raw_key).status == 200
        time.sleep(WRITE_INTERVAL)
        assert server.request("/who/", raw_key).status == 200
        wait_until(read, "the process has written its counts")
        assert read() == [(api_key.family.hex, 6, 0)]
