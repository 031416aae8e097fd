"""Writes of ``last_used``."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
import time_machine
from django.db import connection, transaction
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.core.last_used import record_use
from closient_auth.models import ApiKey
from tests.factories import make_key
from tests.requests.last_used import NOW, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    ),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


@pytest.mark.parametrize(
    ("interval", "elapsed", "written"),
    [(0, 0, False), (0, 0.000_001, True), (60, 59.999_999, False), (60, 60, True), (60, 3600, True)],
)
def test_interval(call, settings, atomic, interval, elapsed, written):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": interval}
    api_key, raw_key = make_key("csb")
    call("/who/", raw_key)
    assert stored(api_key) == NOW

    later = NOW + timedelta(seconds=elapsed)
    with time_machine.travel(later, tick=False):
        call("/who/", raw_key)

    assert stored(api_key) == (later if written else NOW)


def test_not_written_within_the_interval_is_not_tried(call, settings):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    _, raw_key = make_key("csb")
    call("/who/", raw_key)

    with CaptureQueriesContext(connection) as queries:
        call("/who/", raw_key)

    assert not [query for query in queries if "UPDATE" in query["sql"]]


def use(api_key, **options):
    """Record a use as a request that has just read the row; return the number of statements."""
    found = ApiKey.objects.get(pk=api_key.pk)
    with CaptureQueriesContext(connection) as queries:
        record_use(RequestFactory().get("/"), found, **options)
    return len(queries)


@pytest.mark.parametrize(
    ("interval", "at_most_every", "elapsed", "written"),
    [
        (0, 1, 0.999_999, False),
        (0, 1, 1, True),
        (60, 1, 59.999_999, False),
        (60, 1, 60, True),
        (1, 60, 59.999_999, False),
        (1, 60, 60, True),
        (0, 0, 0.000_001, True),
    ],
)
def test_longer_interval_of_one_call(settings, interval, at_most_every, elapsed, written):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": interval}
    api_key, _ = make_key("csb")
    assert use(api_key, at_most_every=at_most_every) == 1
    assert stored(api_key) == NOW

    later = NOW + timedelta(seconds=elapsed)
    with time_machine.travel(later, tick=False):
        assert use(api_key, at_most_every=at_most_every) == written

    assert stored(api_key) == (later if written else NOW)


def test_flood_on_one_key_writes_once_a_second():
    api_key, _ = make_key("csb")
    statements = 0

    for tenth in range(30):
        with time_machine.travel(NOW + timedelta(seconds=tenth / 10), tick=False):
            statements += use(api_key, at_most_every=1)

    assert statements == 3
    assert stored(api_key) == NOW + timedelta(seconds=2)


def test_longer_interval_is_that_of_the_row():
    """The process remembers nothing: another server may write or restore the row."""
    api_key, _ = make_key("csb")
    stale = ApiKey.objects.get(pk=api_key.pk)
    assert use(api_key, at_most_every=1) == 1

    half = NOW + timedelta(seconds=0.5)
    with time_machine.travel(half, tick=False):
        record_use(RequestFactory().get("/"), stale, at_most_every=1)
        assert stored(api_key) == NOW
        ApiKey.objects.filter(pk=api_key.pk).update(last_used=None)
        assert use(api_key, at_most_every=1) == 1

    assert stored(api_key) == half


def test_longer_interval_after_a_transaction():
    api_key, _ = make_key("csb")
    request = RequestFactory().get("/")
    with transaction.atomic():
        record_use(request, api_key, at_most_every=1)
    ApiKey.objects.filter(pk=api_key.pk).update(last_used=NOW - timedelta(seconds=0.5))

    request.close()

    assert stored(api_key) == NOW - timedelta(seconds=0.5)


def test_it_never_moves_backwards(call, atomic):
    """The clock may have been set back, or the clock of another server may be ahead."""
    api_key, raw_key = make_key("csb")
    ahead = NOW + timedelta(minutes=5)
    ApiKey.objects.filter(pk=api_key.pk).update(last_used=ahead)

    assert call("/who/", raw_key).status_code == HTTPStatus.OK

    assert stored(api_key) == ahead


@pytest.mark.usefixtures("atomic_requests")
def test_slower_request_does_not_overwrite_a_faster_one(call, mount):
    """A request may start later and finish earlier."""
    ahead = NOW + timedelta(seconds=1)

    class Slow(APIView):
        def get(self, request):
            ApiKey.objects.filter(pk=request.auth.pk).update(last_used=ahead)
            return Response()

    mount(Slow.as_view())
    api_key, raw_key = make_key("csb")
    call("/", raw_key)

    assert stored(api_key) == ahead


@pytest.mark.usefixtures("atomic_requests")
def test_of_many_at_once_within_the_interval_one_writes(call, mount, settings):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    earlier = NOW - timedelta(seconds=30)

    class Overtaken(APIView):
        def get(self, request):
            ApiKey.objects.filter(pk=request.auth.pk).update(last_used=earlier)
            return Response()

    mount(Overtaken.as_view())
    api_key, raw_key = make_key("csb")
    call("/", raw_key)

    assert stored(api_key) == earlier


def test_no_other_column_is_written(call, mount, atomic):
    """Saving the whole row would reactivate a key revoked during the request."""

    class Revoking(APIView):
        def get(self, request):
            ApiKey.objects.filter(pk=request.auth.pk).update(is_active=False, name="leaked")
            return Response()

    mount(Revoking.as_view())
    api_key, raw_key = make_key("csb")

    with CaptureQueriesContext(connection) as queries:
        assert call("/", raw_key).status_code == HTTPStatus.OK

    api_key.refresh_from_db()
    assert (api_key.is_active, api_key.name, api_key.last_used) == (False, "leaked", NOW)
    changes = [
        query["sql"].partition(" SET ")[2].partition(" WHERE ")[0] for query in queries if " SET " in query["sql"]
    ]
    [change] = [change for change in changes if "is_active" not in change]
    assert change.count("=") == 1
    assert "last_used" in change


@pytest.fixture
def read_only():
    """Return a function to make the database read-only, as after a failover."""
    on, off = READ_ONLY[connection.vendor]

    def read_only():
        with connection.cursor() as cursor:
            cursor.execute(on)

    yield read_only
    with connection.cursor() as cursor:
        cursor.execute(off)


def assert_not_written(api_key, caplog):
    """``last_used`` was not written, and one line says so."""
    lines = [record.getMessage() for record in caplog.records if record.name == "closient_auth"]
    assert len(lines) == 1
    assert lines[0].startswith(f"last_used=not_written api_key={api_key.pk} error=")
    assert stored(api_key) is None


@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_read_only_database_still_authenticates(call, caplog, read_only, prefix):
    api_key, raw_key = make_key(prefix)
    read_only()

    assert call("/who/", raw_key).status_code == HTTPStatus.OK
    assert_not_written(api_key, caplog)


def test_read_only_database_is_logged_once_a_minute(call, caplog, read_only, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("closient_auth.core.reports.monotonic", lambda: now[0])
    keys = [make_key("csb") for _ in range(2)]
    read_only()

    for seconds in (0, 59, 1, 0):
        now[0] += seconds
        for _, raw_key in keys:
            assert call("/who/", raw_key).status_code == HTTPStatus.OK

    lines = [record.getMessage() for record in caplog.records if record.name == "closient_auth"]
    assert [line.partition(" error=")[0] for line in lines] == [f"last_used=not_written api_key={keys[0][0].pk}"] * 2
    assert {stored(api_key) for api_key, _ in keys} == {None}


@pytest.mark.usefixtures("atomic_requests")
def test_database_that_turns_read_only_during_the_request(call, mount, caplog, read_only):
    class View(APIView):
        def get(self, request):
            read_only()
            return Response()

    mount(View.as_view())
    api_key, raw_key = make_key("csb")

    assert call("/", raw_key).status_code == HTTPStatus.OK
    assert_not_written(api_key, caplog)


def test_refused_key_is_not_used(call):
    api_key, raw_key = make_key("csb")
    api_key.revoke()

    call("/who/", raw_key)

    assert stored(api_key) is None


def test_good_key_over_its_limit_is_used_all_the_same(call):
    api_key, raw_key = make_key("csb", rate_limit_per_minute=1)
    call("/who/", raw_key)

    later = NOW + timedelta(seconds=1)
    with time_machine.travel(later, tick=False):
        assert call("/who/", raw_key).status_code == HTTPStatus.TOO_MANY_REQUESTS

    assert stored(api_key) == later
