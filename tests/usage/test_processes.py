"""Several processes count together, and lose nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from tests.factories import make_key
from tests.served.databases import share_database

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.unmeasured]

ROOT = Path(__file__).parents[2]
PROCESSES, REQUESTS, LIMIT = 4, 10_000, 6_000
SUM = "SELECT family, SUM(requests), SUM(refused) FROM closient_auth_apikeyusage GROUP BY family"


@pytest.fixture
def start(tmp_path):
    """Return a function to start a process on the rows of this test."""
    processes: list[subprocess.Popen[str]] = []
    database = ""

    def start(*arguments, redis=""):
        nonlocal database
        database = database or json.dumps(share_database(tmp_path))
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.served.settings",
            "PYTHONPATH": str(ROOT),
            "SERVED_DATABASE": database,
            "SERVED_LOG": str(tmp_path / "log"),
            "CLOSIENT_AUTH_TEST_REDIS_URL": redis,
        }
        command = [sys.executable, "-m", "tests.usage.process", *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def finish(*processes):
    outputs = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return outputs


def read_sums(folder):
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(folder / "db.sqlite3")) as copy:
            return sorted((requests, refused) for _, requests, refused in copy.execute(SUM))
    with connection.cursor() as cursor:
        cursor.execute(SUM)
        return sorted((int(requests), int(refused)) for _, requests, refused in cursor.fetchall())


@pytest.fixture
def api_keys():
    """Return the keys of the processes: three that pass, and one that reaches its limit."""
    limits = [10**9, 10**9, 10**9, LIMIT]
    return [make_key(rate_limit_per_minute=10**9, rate_limit_per_day=limit)[0] for limit in limits]


def test_the_table_has_all_requests(start, tmp_path):
    """Each process has limits of its own, and they write the same rows."""
    api_keys = [make_key(rate_limit_per_minute=10**9, rate_limit_per_day=10**9)[0] for _ in range(5)]
    finish(*[start("count", REQUESTS, *[api_key.pk for api_key in api_keys]) for _ in range(PROCESSES)])

    assert read_sums(tmp_path) == [(PROCESSES * REQUESTS // 5, 0)] * 5
    assert (tmp_path / "log").read_text().count("usage=") == 0


def test_redis_has_all_requests(start, tmp_path, own_server, api_keys):
    finish(
        *[
            start("count", REQUESTS, *[api_key.pk for api_key in api_keys], redis=own_server.url)
            for _ in range(PROCESSES)
        ]
    )
    assert read_sums(tmp_path) == []

    collected = finish(*[start("collect", redis=own_server.url) for _ in range(PROCESSES)])

    number = PROCESSES * REQUESTS // 4
    assert read_sums(tmp_path) == [(LIMIT, number - LIMIT), *[(number, 0)] * 3]
    assert all(int(output) >= 0 for output in collected)
    assert finish(start("collect", redis=own_server.url)) == ["0\n"]
    assert sum(map(sum, read_sums(tmp_path))) == PROCESSES * REQUESTS


def test_redis_that_stops_meanwhile_loses_nothing_that_was_admitted(start, tmp_path, own_server, api_keys):
    """The processes count by themselves from then on, and what Redis had is still there when it resumes."""
    processes = [
        start("count", REQUESTS // 4, *[api_key.pk for api_key in api_keys[:3]], redis=own_server.url) for _ in range(2)
    ]
    while own_server.count_calls("hincrby") < 1_000:
        assert all(process.poll() is None for process in processes)
    own_server.freeze()
    finish(*processes)
    own_server.resume()
    assert sum(map(sum, read_sums(tmp_path))) > 0

    finish(start("collect", redis=own_server.url))

    total = sum(map(sum, read_sums(tmp_path)))
    # A request whose reply was lost may count twice: one for each connection that was stalled.
    assert 2 * (REQUESTS // 4) <= total <= 2 * (REQUESTS // 4) + 10
