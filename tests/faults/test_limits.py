"""
Rate limits under real servers while Redis stalls or dies, and during a flood.

The servers use the real timeouts. The tests count responses, and measure no time.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from django.db import connection

from tests.factories import make_key
from tests.limits.conftest import seconds_left
from tests.redis_servers import Server, require_redis_server
from tests.served.databases import share_database
from tests.served.servers import GUNICORN, UVICORN, serve_host

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the database does not matter here"),
]

DAY = 86_400
LIMIT = 5
# The command and the number of processes.
SERVERS = {
    "gunicorn sync": ([*GUNICORN, "--workers=2"], 2),
    "gunicorn threads": ([*GUNICORN, "--threads=16"], 1),
    "uvicorn": (UVICORN, 1),
}
STALLS = [0.06, 0.15, 0.25, 1]


@contextmanager
def serve(kind, folder, redis, **settings):
    command, _ = SERVERS[kind]
    environment = {
        "CLOSIENT_AUTH_TEST_REDIS_URL": redis.url,
        "SERVED_SETTINGS": json.dumps({"LAST_USED_INTERVAL": 3_600, **settings}),
    }
    with serve_host(command, share_database(folder), folder, **environment) as server:
        yield server


def make_limited_key(per_day):
    """Return a raw key whose day does not end during the test."""
    while True:
        api_key, raw_key = make_key(rate_limit_per_minute=1_000_000, rate_limit_per_day=per_day)
        if seconds_left(str(api_key.family), DAY) > 600:
            return raw_key


@contextmanager
def flood(server, raw_key, threads=8):
    """Send requests with this key from several threads, and yield the number of responses by status."""
    statuses: Counter[int] = Counter()
    done = threading.Event()

    def send():
        while not done.is_set():
            status = server.request("/who/", raw_key).status
            with lock:
                statuses[status] += 1

    lock = threading.Lock()
    senders = [threading.Thread(target=send) for _ in range(threads)]
    for sender in senders:
        sender.start()
    try:
        yield statuses
    finally:
        done.set()
        for sender in senders:
            sender.join()


def wait_for(statuses, number=20):
    """Wait until the flood got so many more responses."""
    before, deadline = sum(statuses.values()), time.monotonic() + 60
    while sum(statuses.values()) < before + number:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def redis(tmp_path):
    require_redis_server()
    with Server(tmp_path) as server:
        yield server


@pytest.mark.parametrize("kind", SERVERS)
def test_a_stall_admits_the_limit_once_for_each_process(tmp_path, redis, kind):
    """The requests that passed a stall are known to Redis or to a process."""
    _, processes = SERVERS[kind]
    raw_keys = [make_limited_key(LIMIT) for _ in [*STALLS, "killed"]]
    flooder, raw_key = make_limited_key(LIMIT), make_limited_key(30)
    with serve(kind, tmp_path, redis) as server:
        with flood(server, flooder) as statuses:
            wait_for(statuses)
            answers = [server.request("/who/", raw_key).status for _ in range(40)]
        # A flood on one key leaves another key's requests exact.
        assert answers == [200] * 30 + [429] * 10
        assert statuses[200] == LIMIT

        for seconds, raw_key in zip([*STALLS, None], raw_keys, strict=True):
            redis.run("CLIENT", "PAUSE", int(seconds * 1_000)) if seconds else redis.stop()
            with flood(server, raw_key) as statuses:
                time.sleep((seconds or 0.5) + 0.3)
                wait_for(statuses)

            # A request whose reply was lost is sent again, and counts twice.
            assert LIMIT // 2 <= statuses[200] <= LIMIT * (processes + 1), seconds
            assert statuses.keys() == {200, 429}, seconds


@pytest.mark.parametrize("kind", SERVERS)
def test_a_stall_under_a_second_turns_nobody_away(tmp_path, redis, kind):
    """One tenant floods, and Redis stalls again and again. Another tenant stays within its limits."""
    _, processes = SERVERS[kind]
    flooder, raw_key = make_limited_key(LIMIT), make_limited_key(100_000)
    statuses = []
    with (
        serve(kind, tmp_path, redis, RATE_LIMIT_FAIL_OPEN=False) as server,
        flood(server, flooder) as flooded,
    ):
        for seconds in (0.15, 0.7, 0.25):
            redis.run("CLIENT", "PAUSE", int(seconds * 1_000))
            # Every process has to see that Redis is back before the next stall.
            end = time.monotonic() + seconds + 1
            while time.monotonic() < end:
                statuses.append(server.request("/who/", raw_key).status)
                time.sleep(0.01)
        assert set(statuses) == {200}
        assert flooded.keys() == {200, 429}

        redis.stop()
        deadline = time.monotonic() + 60
        while flooded[503] < 20:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        admitted = flooded[200]
        assert LIMIT <= admitted <= LIMIT * (processes + 1)
        wait_for(flooded)
    assert flooded[200] == admitted
