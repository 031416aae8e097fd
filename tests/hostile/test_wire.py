"""Send each malformed or forged credential over a socket to gunicorn (WSGI) and uvicorn (ASGI)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from tests.hostile.cases import LIVE, UNHELD, get_cases
from tests.served.databases import share_database
from tests.served.servers import GUNICORN, UVICORN, serve_host

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured, pytest.mark.django_db(transaction=True)]

# Every server reads a request head up to this size in bytes.
READ = 4096


def to_bytes(case):
    """Return the request as HTTP/1.1 bytes."""
    target = b"/who/" + (b"?" + case.query if case.query else b"")
    lines = [
        b"%s %s HTTP/1.1" % (b"POST" if case.body else b"GET", target),
        b"Host: 127.0.0.1",
        b"Connection: close",
        b"Content-Length: %d" % len(case.body),
        *(name + b": " + value for name, value in case.headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + case.body


def find_wrong(case, answer):
    """Return the problem found in a response, or None."""
    if not answer:
        # A server may close the connection after an oversized request head, and the response is then lost.
        return None if len(to_bytes(case)) > READ else "no answer"
    status = int(answer[9:12])
    if status not in (400, 401, 431):
        return answer[:200]
    queries = re.search(rb"^X-Queries: (\d+)", answer, re.M | re.I)
    # A response without X-Queries comes from the server itself.
    if queries and (status != 401 or int(queries[1]) != case.queries):
        return status, queries[0]
    if any(secret in answer for secret in case.secrets):
        return "repeated", answer
    return None


@pytest.mark.parametrize(
    ("command", "boot", "max_age"),
    # Under ASGI, each request has its own thread and would otherwise leave its connection open.
    [(GUNICORN, b"Booting worker", None), (UVICORN, b"Started server process", 0)],
    ids=["gunicorn", "uvicorn"],
)
def test_refused_without_a_trace(command, boot, max_age, live_key, tmp_path):
    cases = [case for raw_key in (UNHELD, LIVE) for case in get_cases(raw_key) if case.is_whole_on_the_wire]
    # Most requests never reach the database, so the servers repeat only a part.
    step = 1 if connection.vendor == "sqlite" else 4
    cases = cases[::step]
    bodies = [raw_key[4:36].encode() for raw_key in (UNHELD, LIVE)]
    with (
        serve_host(command, share_database(tmp_path) | {"CONN_MAX_AGE": max_age}, tmp_path) as server,
        ThreadPoolExecutor(4) as pool,
    ):
        answers = list(pool.map(server.exchange, map(to_bytes, cases)))

        problems = ((case.name, find_wrong(case, answer)) for case, answer in zip(cases, answers, strict=True))
        assert [(name, problem) for name, problem in problems if problem] == []
        # The servers passed most of these requests on, so the package refused them.
        assert sum(b"x-queries" in answer.lower() for answer in answers) > 1000 / step
        log = server.log
        assert [case.name for case in cases if any(secret in log for secret in case.secrets)] == []
        for body in bodies:
            assert body not in b"".join([log, server.output, *answers])
        assert server.request("/state/").json()["used"] == 0

        assert server.request("/who/", LIVE).status == 200
        assert server.request("/state/").json()["used"] == 1
        assert b"api_key=refused cause=unknown" in server.log
        # The worker did not crash and restart.
        assert server.output.count(boot) == 1
