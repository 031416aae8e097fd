"""The number of SQL statements and cache round trips for each request (design, "Budgets")."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.keys import generate_api_key
from closient_auth.usage import buffer
from tests.factories import MembershipFactory, make_key
from tests.requests.counting import CountingCache
from tests.requests.last_used import AT_ONCE, LATER, LOOK_AT_ONCE

pytestmark = pytest.mark.django_db(transaction=True)

# The most round trips of an accepted request in a window, other than the first, on a cache without scripts.
TRIPS = 5


@pytest.fixture
def cost(send, settings):
    """Return a function to send a request; it returns the status, SQL statements and cache round trips."""
    settings.CACHES = {"default": {"BACKEND": "tests.requests.counting.CountingCache"}}
    # The first request opens the connections and fills the caches of SQL.
    send("/open/", make_key("cpk")[1])

    def cost(*args, **kwargs):
        before = CountingCache.trips
        with CaptureQueriesContext(connection) as queries:
            response = send(*args, **kwargs)
        statements = [query["sql"].split()[0] for query in queries]
        # A connection that is opened again sets its time zone and isolation level.
        statements = [verb for verb in statements if verb not in ("BEGIN", "COMMIT", "SET")]
        return response.status_code, statements, CountingCache.trips - before

    return cost


def test_refused_key(cost):
    _, expired = make_key("csb", expires_at=timezone.now() - timedelta(seconds=1))

    for raw_key in (None, "", "junk", "csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_1a2b3c4d"):
        assert cost("/view/", raw_key) == (HTTPStatus.UNAUTHORIZED, [], 0)
    for raw_key in (generate_api_key("csb"), expired):
        assert cost("/view/", raw_key) == (HTTPStatus.UNAUTHORIZED, LOOK_AT_ONCE, 0)


def test_accepted_key(cost, acme, editor, globex, settings):
    """The view asks for the organization many times, and the gate has found it."""
    MembershipFactory.create(user=editor, organization=globex)
    _, business = make_key("csb", organization=acme)
    _, publishable = make_key("cpk", organization=acme)
    _, user_key = make_key("csu", user=editor)

    for raw_key, path, statements in [
        (business, "/view/", AT_ONCE),
        (publishable, "/open/", AT_ONCE),
        (user_key, "/organizations/globex/", [*LATER, "SELECT"]),
    ]:
        for trips in (3, TRIPS):
            assert cost(path, raw_key) == (HTTPStatus.OK, statements, trips)

    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    assert cost("/view/", business) == (HTTPStatus.OK, ["SELECT"], TRIPS)


@pytest.mark.parametrize("is_counted", [True, False])
def test_usage_history_costs_nothing(cost, acme, settings, is_counted):
    """The process writes it after a response, every ten seconds."""
    settings.CLOSIENT_AUTH = {"USAGE_HISTORY": is_counted}
    api_key, raw_key = make_key("csb", organization=acme)
    for trips in (3, TRIPS):
        assert cost("/view/", raw_key) == (HTTPStatus.OK, AT_ONCE, trips)
    counted = {family: count.requests for (family, _), count in buffer._buffer._counts.items()}
    assert counted.get(api_key.family, 0) == (2 if is_counted else 0)


def test_session_costs_no_trip(cost, editor):
    cost("/view/", user=editor)
    status, statements, trips = cost("/view/", user=editor)

    assert (status, trips) == (HTTPStatus.OK, 0)
    # These read the session, its user and the membership. ``auser()`` reads the first two again, because the view calls it.
    assert statements == ["SELECT"] * len(statements)
    assert len(statements) <= 5
