"""Writes of ``last_used`` to a SQLite file by real servers with threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tests.factories import make_key
from tests.served.databases import share_database
from tests.served.servers import GUNICORN, UVICORN, serve_host

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite"),
]

KEYS, REQUESTS = 8, 80


@pytest.mark.parametrize("max_age", [0, None])
@pytest.mark.parametrize("environment", [{"SERVED_ATOMIC": "1"}, {}], ids=["atomic requests", "autocommit"])
@pytest.mark.parametrize("command", [[*GUNICORN, "--threads=4"], UVICORN], ids=["gunicorn", "uvicorn"])
def test_it_is_written_for_every_key(tmp_path, command, environment, max_age):
    raw_keys = [make_key()[1] for _ in range(KEYS)]
    make_key()
    database = share_database(tmp_path) | {"CONN_MAX_AGE": max_age}

    with serve_host(command, database, tmp_path, **environment) as server, ThreadPoolExecutor(4) as pool:
        statuses = pool.map(lambda number: server.request("/who/", raw_keys[number % KEYS]).status, range(REQUESTS))

        assert list(statuses) == [200] * REQUESTS
        state = server.request("/state/").json()
        assert (state["keys"], state["used"]) == (KEYS + 1, KEYS)
        assert b"not_written" not in server.log
