"""
The database server is down, hangs, is locked or comes back.

The example project shows the recommended response: 503 with ``Retry-After``, never 401, because clients would discard a
valid key. The next request after the outage succeeds without a restart.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from urllib.parse import quote

import pytest
from django.db import connection
from django.db.utils import ConnectionHandler

from tests.proxy import Proxy
from tests.served.servers import ROOT, get_environment, serve

EXAMPLE = ROOT / "example_project"
THREADS = 4
PRODUCTS = "/products/api/v1/products"
SCHEMES = {"postgresql": "postgresql", "mysql": "mysql"}
MAKE_KEY = """
from django.core.management import call_command
from example.demo_keys import make_keys
call_command("migrate", verbosity=0)
call_command("load_demo", verbosity=0)
print("key", make_keys().business)
"""

needs_server = pytest.mark.skipif(connection.vendor not in SCHEMES, reason="needs a database server")


@pytest.fixture(scope="module")
def database(django_db_setup, django_db_blocker):
    """Yield the connection settings of a separate, empty database on the same server."""
    database = {**connection.settings_dict, "NAME": f"{connection.settings_dict['NAME']}_example"}
    with django_db_blocker.unblock(), connection._nodb_cursor() as cursor:
        name = connection.ops.quote_name(database["NAME"])
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
        yield database
    with django_db_blocker.unblock(), connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture(scope="module")
def proxy(database):
    with Proxy(database["HOST"], int(database["PORT"])) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def environment(database, proxy):
    user = f"{quote(database['USER'])}:{quote(database['PASSWORD'])}"
    scheme = SCHEMES[connection.vendor]
    return {"EXAMPLE_DATABASE_URL": f"{scheme}://{user}@127.0.0.1:{proxy.port}/{database['NAME']}"}


@pytest.fixture(scope="module")
def raw_key(environment):
    """Migrate the example project, load its demo data and return one of its keys."""
    process = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity=0", "--command", MAKE_KEY],
        cwd=EXAMPLE,
        env=get_environment(EXAMPLE) | environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.split()[-1]


@pytest.fixture(scope="module")
def server(environment, raw_key, tmp_path_factory):
    """Serve the example project with gunicorn: one worker, ``THREADS`` threads."""
    command = ["gunicorn", "example.wsgi", "--bind=fd://{fd}", f"--threads={THREADS}", "--no-control-socket"]
    with serve(command, tmp_path_factory.mktemp("example"), EXAMPLE, **environment) as server:
        yield server


@pytest.fixture
def ask(server, proxy, raw_key):
    """Return a function to send a valid request; restore the database after the test."""

    def ask(timeout=20):
        return server.request(PRODUCTS, raw_key, timeout=timeout)

    assert ask().status == 200
    yield ask
    proxy.restore()


def assert_unavailable(answer):
    assert answer.status == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert answer.json()["code"] == "database_unavailable"
    assert "www-authenticate" not in answer.headers


def ask_at_once(ask, requests):
    """Send the requests from ``THREADS`` threads; return pairs of response and duration in seconds."""

    def run(_):
        started = time.monotonic()
        return ask(), time.monotonic() - started

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(run, range(requests)))


@needs_server
def test_down(ask, proxy, server):
    proxy.refuse()
    for answer, seconds in ask_at_once(ask, 200):
        assert_unavailable(answer)
        assert seconds < 2.5
    # Requests without database access still work.
    assert server.request("/health").status == 200
    assert server.request(PRODUCTS, "malformed").status == 401

    proxy.restore()
    assert ask().status == 200


@needs_server
def test_hangs_while_connecting(ask, proxy):
    proxy.drop()
    proxy.hang()
    for answer, seconds in ask_at_once(ask, 2 * THREADS):
        assert_unavailable(answer)
        assert seconds < 3

    proxy.restore()
    assert ask().status == 200


@needs_server
def test_hangs_in_the_middle(ask, proxy):
    ask_at_once(ask, 2 * THREADS)
    proxy.hang()
    if connection.vendor == "mysql":
        # Django replaces the unresponsive connection by a new one, so the read and the connect timeout add up.
        answers = ask_at_once(ask, THREADS)
        assert max(seconds for _, seconds in answers) < 5
        answers += ask_at_once(ask, THREADS)
        assert max(seconds for _, seconds in answers[THREADS:]) < 3
        for answer, _ in answers:
            assert_unavailable(answer)
    else:
        # psycopg has no read timeout for a server that accepts the query but never replies.
        with pytest.raises(TimeoutError):
            ask(timeout=3)

    proxy.restore()
    assert ask().status == 200


LOCKS = {
    "postgresql": "LOCK TABLE closient_auth_apikey IN ACCESS EXCLUSIVE MODE",
    "mysql": "LOCK TABLES closient_auth_apikey WRITE",
}


@needs_server
def test_locked(ask, database, django_db_blocker):
    other = ConnectionHandler({"default": database})["default"]
    with django_db_blocker.unblock(), closing(other), other.cursor() as cursor:
        other.set_autocommit(False)
        cursor.execute(LOCKS[connection.vendor])
        answers = ask_at_once(ask, 2 * THREADS)
    for answer, seconds in answers:
        assert_unavailable(answer)
        assert seconds < 3

    assert ask().status == 200


@needs_server
def test_restarts(ask, proxy):
    # Each server thread has its own connection, and all of them are closed now.
    for _ in range(8):
        proxy.drop()
        assert ask().status == 200


@needs_server
def test_restarts_under_load(ask, proxy):
    numbers = count()

    def ask_and_restart():
        if next(numbers) == 50:
            proxy.drop()
        return ask()

    answers = ask_at_once(ask_and_restart, 200)

    failed = [answer for answer, _ in answers if answer.status != 200]
    # At most one request for each thread was in progress and may fail.
    assert len(failed) <= THREADS
    for answer in failed:
        assert_unavailable(answer)


@needs_server
@pytest.mark.parametrize("after", [0, 1, 20])
def test_cut_in_the_middle_of_a_reply(ask, proxy, after):
    proxy.cut(after)
    for _ in range(5):
        assert_unavailable(ask())

    proxy.restore()
    assert ask().status == 200
