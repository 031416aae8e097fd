"""The database stays consistent when a worker is killed during a request."""

from __future__ import annotations

import http.client

import pytest

from tests.factories import make_key
from tests.served.databases import share_database
from tests.served.servers import GUNICORN, serve_host

pytestmark = pytest.mark.django_db(transaction=True)

NOTHING = {"organizations": 1, "members": 0, "keys": 1, "projects": 0, "used": 0}
# ``last_used`` is written after the transaction, so it stays empty if every request with the key was killed.
ALL = {"organizations": 2, "members": 1, "keys": 2, "projects": 0, "used": 1}


def test_killed_before_each_statement_of_a_transaction(tmp_path):
    _, raw_key = make_key()
    with serve_host(GUNICORN, share_database(tmp_path), tmp_path, SERVED_ATOMIC="1") as server:
        killed = 0
        while True:
            try:
                answer = server.request(f"/dying/?before={killed + 1}", raw_key, method="POST")
            except (ConnectionError, http.client.HTTPException):
                # The new worker responds, and no lock of the killed worker blocks it.
                assert server.request("/state/").json() == NOTHING
                killed += 1
            else:
                break

        assert answer.status == 200
        # There are at least three inserts: the organization, its Owner and the key.
        assert answer.json() == {"statements": killed}
        assert killed >= 3
        assert server.request("/state/").json() == ALL


def test_killed_outside_a_transaction_after_the_key_was_read(tmp_path):
    _, raw_key = make_key()
    with serve_host(GUNICORN, share_database(tmp_path), tmp_path) as server:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            server.request("/dying/?before=1", raw_key, method="POST")

        assert server.request("/state/").json() == {**NOTHING, "used": 1}
        assert server.request("/who/", raw_key).status == 200
