"""Many requests at once to real servers, with a pool of four database connections."""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection

from tests.faces.faces import FACES
from tests.faces.waiting import TOGETHER
from tests.factories import make_key
from tests.served.databases import share_database
from tests.served.servers import GUNICORN, ROOT, UVICORN, serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Django has a pool for PostgreSQL alone"),
]

POOL, AT_ONCE = 4, 200
# One face of each framework, sync and async.
SERVED = {
    "REST framework function",
    "adrf class",
    "Django function",
    "Django async function",
    "ninja",
    "async ninja",
}
SERVERS = {
    "gunicorn sync": [*GUNICORN, "--workers=2"],
    "gunicorn gthread": [*GUNICORN, "--workers=2", "--threads=8"],
    "uvicorn": UVICORN,
}


@contextmanager
def serve_faces(command, directory, *, pool_timeout):
    pool = {"min_size": 0, "max_size": POOL, "timeout": pool_timeout}
    database = share_database(directory) | {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": pool}}
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.faces.settings",
        "SERVED_DATABASE": json.dumps(database),
        "SERVED_LOG": str(directory / "log"),
    }
    with serve(command, directory, ROOT, **environment) as server:
        yield server


def request_at_once(server, path, raw_key, number):
    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(lambda _: server.request(path, raw_key, timeout=120), range(number)))


def test_waiting_view_holds_no_connection(tmp_path):
    """All requests are in the view at the same time, and there are fewer connections."""
    _, raw_key = make_key()

    with serve_faces(UVICORN, tmp_path, pool_timeout=60) as server:
        for path in ("/waiting/decorator/", "/waiting/ninja/", "/waiting/adrf/"):
            answers = request_at_once(server, path, raw_key, TOGETHER)
            assert [answer.status for answer in answers] == [200] * TOGETHER, server.log
            assert {answer.json()["together"] for answer in answers} == {TOGETHER}


def test_view_that_holds_its_connection_exhausts_the_pool(tmp_path):
    """This shows that the test above can fail."""
    _, raw_key = make_key()

    with serve_faces(UVICORN, tmp_path, pool_timeout=1) as server:
        answers = request_at_once(server, "/waiting/holding/", raw_key, TOGETHER)

        assert Counter(answer.status for answer in answers) == {200: POOL, 500: TOGETHER - POOL}
        assert b"PoolTimeout" in server.log


@pytest.mark.skipif("CLOSIENT_AUTH_TEST_REDIS_URL" not in os.environ, reason="processes share no cache but Redis")
@pytest.mark.parametrize("name", SERVERS)
def test_requests_at_once(tmp_path, name):
    """As many requests pass as the key may make in a day, and not one more."""
    faces = [(number, face) for number, face in enumerate(FACES) if face.name in SERVED]
    if name != "uvicorn":
        faces = [(number, face) for number, face in faces if not face.is_async]
    raw_keys = [make_key(rate_limit_per_minute=10 * AT_ONCE, rate_limit_per_day=AT_ONCE)[1] for _ in faces]

    with serve_faces(SERVERS[name], tmp_path, pool_timeout=120) as server:
        for (number, face), raw_key in zip(faces, raw_keys, strict=True):
            answers = request_at_once(server, f"/{number}/view/", raw_key, AT_ONCE)
            assert Counter(answer.status for answer in answers) == {200: AT_ONCE}, face
            assert len({answer.json()["fresh"] for answer in answers}) == AT_ONCE
            remaining = sorted(int(answer.headers["ratelimit-remaining"]) for answer in answers)
            assert remaining == list(range(AT_ONCE)), face
            answers = request_at_once(server, f"/{number}/view/", raw_key, 10)
            assert Counter(answer.status for answer in answers) == {429: 10}, face
