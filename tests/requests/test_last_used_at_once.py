"""On PostgreSQL, one statement finds the key of an organization and records its use, if the view takes such keys."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import closing, contextmanager
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID, uuid4
from zlib import crc32

import pytest
import time_machine
from django.db import OperationalError, connection, connections, transaction
from django.db.utils import ConnectionHandler
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.contrib.django import organization_permission_required
from closient_auth.core import last_used
from closient_auth.decorators import publishable
from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey
from tests.factories import UserFactory, make_key
from tests.requests.last_used import AT_ONCE, LATER, LOOK, LOOK_AT_ONCE, NOW, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

ON_POSTGRESQL = connection.vendor == "postgresql"
needs_postgresql = pytest.mark.skipif(not ON_POSTGRESQL, reason="is about PostgreSQL")

OK, UNAUTHORIZED, FORBIDDEN, LIMITED = (
    HTTPStatus.OK,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
)


@publishable
class View(APIView):
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response()

    post = get


class ClosedView(APIView):
    def get(self, request):
        return Response()


class AccountView(View):
    pass


@pytest.fixture
def send(call):
    """Return a function to send a request; it returns the status and the verbs of its statements."""

    def send(raw_key, method="get"):
        with CaptureQueriesContext(connection) as queries:
            response = call("/", raw_key, method=method)
        verbs = [query["sql"].split()[0] for query in queries]
        return response.status_code, [verb for verb in verbs if verb not in ("BEGIN", "COMMIT", "ROLLBACK")]

    return send


def expired(prefix):
    return make_key(prefix, expires_at=NOW)


def inactive(prefix):
    return make_key(prefix, user=UserFactory.create(is_active=False))


@pytest.mark.parametrize(
    ("make", "prefix", "view", "method", "status", "statements"),
    [
        (make_key, "csb", View, "get", OK, AT_ONCE),
        (make_key, "csb", View, "post", OK, AT_ONCE),
        (make_key, "csb", ClosedView, "get", OK, AT_ONCE),
        (make_key, "csb", AccountView, "get", FORBIDDEN, LOOK),
        (make_key, "cpk", View, "get", OK, AT_ONCE),
        (make_key, "cpk", View, "post", FORBIDDEN, LOOK),
        (make_key, "cpk", ClosedView, "get", FORBIDDEN, LOOK),
        (make_key, "cpk", AccountView, "get", FORBIDDEN, LOOK),
        (make_key, "csu", View, "get", OK, LATER),
        (make_key, "csu", AccountView, "get", FORBIDDEN, LOOK),
        (expired, "csb", View, "get", UNAUTHORIZED, LOOK_AT_ONCE),
        (expired, "cpk", View, "get", UNAUTHORIZED, LOOK_AT_ONCE),
        (expired, "csu", View, "get", UNAUTHORIZED, LOOK),
        (inactive, "csu", View, "get", UNAUTHORIZED, LOOK),
    ],
)
def test_request(send, mount, settings, make, prefix, view, method, status, statements):
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": [f"{__name__}.AccountView"]}
    mount(view.as_view())
    neighbour, _ = make_key(prefix)
    api_key, raw_key = make(prefix)

    assert send(raw_key, method) == (status, statements)
    assert stored(api_key) == (NOW if status == OK else None)
    assert stored(neighbour) is None


@pytest.mark.parametrize(
    ("prefix", "method", "status", "statements"),
    [
        ("csb", "post", OK, AT_ONCE),
        ("cpk", "get", OK, AT_ONCE),
        ("cpk", "post", FORBIDDEN, LOOK),
    ],
)
def test_view_outside_rest_framework(send, mount, prefix, method, status, statements):
    mount(
        organization_permission_required("organization.view_organization", publishable=True)(lambda _: HttpResponse())
    )
    api_key, raw_key = make_key(prefix)

    assert send(raw_key, method) == (status, statements)
    assert stored(api_key) == (NOW if status == OK else None)


def test_unknown_key(send, mount):
    mount(View.as_view())
    neighbour, _ = make_key("csb")

    assert send(generate_api_key("csb")) == (UNAUTHORIZED, LOOK_AT_ONCE)
    assert stored(neighbour) is None


def test_revoked_key_is_not_used(send, mount):
    mount(View.as_view())
    api_key, raw_key = make_key("csb")
    api_key.revoke()
    send(raw_key)

    assert send(raw_key) == (UNAUTHORIZED, LOOK_AT_ONCE)
    assert stored(api_key) is None


def test_key_that_expires_later_is_used(send, mount):
    mount(View.as_view())
    api_key, raw_key = make_key("csb", expires_at=NOW + timedelta(microseconds=1))

    assert send(raw_key) == (OK, AT_ONCE)
    assert stored(api_key) == NOW


def test_key_has_the_time_of_its_use_before(call, mount):
    class LastUse(APIView):
        def get(self, request):
            return Response(str(request.auth.last_used))

    mount(LastUse.as_view())
    api_key, raw_key = make_key("csb")
    assert call("/", raw_key).json() == "None"

    with time_machine.travel(NOW + timedelta(seconds=1), tick=False):
        assert call("/", raw_key).json() == str(NOW)

    assert stored(api_key) == NOW + timedelta(seconds=1)


def test_interval(send, mount, settings):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    mount(View.as_view())
    _, raw_key = make_key("csb")

    assert [send(raw_key), send(raw_key)] == [(OK, LATER), (OK, LOOK)]


def test_inside_a_transaction(send, mount):
    mount(View.as_view())
    api_key, raw_key = make_key("csb")

    with transaction.atomic():
        assert send(raw_key) == (OK, LATER)

    assert stored(api_key) == NOW


def test_without_autocommit(send, mount):
    mount(View.as_view())
    _, raw_key = make_key("csb")
    transaction.set_autocommit(False)
    try:
        assert send(raw_key) == (OK, LATER)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.parametrize(
    "options", [{"server_side_binding": True}, {"server_side_binding": True, "prepare_threshold": 0}]
)
@needs_postgresql
def test_server_side_parameters(call, mount, monkeypatch, options):
    mount(View.as_view())
    api_key, raw_key = make_key("csb", expires_at=NOW + timedelta(days=1))
    with monkeypatch.context() as patch:
        patch.setitem(connections.settings["default"], "OPTIONS", options)
        connection.close()
        try:
            for seconds in range(3):
                with time_machine.travel(NOW + timedelta(seconds=seconds), tick=False):
                    assert call("/", raw_key).status_code == OK
                assert stored(api_key) == NOW + timedelta(seconds=seconds)
        finally:
            connection.close()


def test_naive_times(send, mount, settings):
    settings.USE_TZ = False
    mount(View.as_view())
    now = timezone.now()
    api_key, raw_key = make_key("csb", expires_at=now + timedelta(seconds=1))
    old, old_key = make_key("csb", expires_at=now)

    assert send(raw_key) == (OK, AT_ONCE)
    assert send(old_key) == (UNAUTHORIZED, LOOK_AT_ONCE)
    assert (stored(api_key), stored(old)) == (now, None)


def test_view_that_calls_another_one(send, mount):
    """Each of them authenticates the key, and that is a use of its own."""

    class Outer(View):
        def get(self, request):
            return View.as_view()(request._request)

    mount(Outer.as_view())
    _, raw_key = make_key("csb")

    assert send(raw_key) == (OK, AT_ONCE * 2 if ON_POSTGRESQL else [*LATER, "SELECT"])


@pytest.fixture
def limited(mount, settings):
    """Serve a view, and return a key with two requests a minute and its raw key. Its windows end at half minutes."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid4().hex}}
    mount(View.as_view())
    api_key, raw_key = make_key("csb", rate_limit_per_minute=2)
    family = next(
        family
        for family in (UUID(int=number) for number in range(1_000))
        if (NOW.timestamp() - crc32(str(family).encode())) % 60 == 30
    )
    ApiKey.objects.filter(pk=api_key.pk).update(family=family)
    return api_key, raw_key


def test_key_without_requests_is_only_read_at_first(send, limited):
    """A flood of refused requests writes once a second, until the next window."""
    api_key, raw_key = limited
    answers = []

    for seconds in (0, 0.1, 0.2, 1.2, 1.5, 40):
        with time_machine.travel(NOW + timedelta(seconds=seconds), tick=False):
            answers.append((seconds, *send(raw_key)))

    assert answers == [
        (0, OK, AT_ONCE),
        (0.1, OK, AT_ONCE),
        (0.2, LIMITED, LOOK),
        (1.2, LIMITED, LATER),
        (1.5, LIMITED, LOOK),
        (40, OK, AT_ONCE),
    ]
    assert stored(api_key) == NOW + timedelta(seconds=40)


def test_limit_that_another_process_used_up(send, limited):
    """This process does not know it, so its first refusal is a use that is written."""
    api_key, raw_key = limited
    send(raw_key), send(raw_key)
    last_used._exhausted.clear()
    answers = []

    for seconds in (0.1, 0.2, 0.9, 1.1):
        with time_machine.travel(NOW + timedelta(seconds=seconds), tick=False):
            answers.append((*send(raw_key), stored(api_key)))

    first = (LIMITED, AT_ONCE, NOW + timedelta(seconds=0.1)) if ON_POSTGRESQL else (LIMITED, LOOK, NOW)
    assert answers[:3] == [first, (LIMITED, LOOK, first[2]), (LIMITED, LOOK, first[2])]
    assert answers[3] == (LIMITED, LATER, NOW + timedelta(seconds=1.1))


def test_unlimited_key(send, mount, settings):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0}
    mount(View.as_view())
    _, raw_key = make_key("csb")

    assert send(raw_key) == (OK, AT_ONCE)


def test_memory_of_exhausted_keys_is_bounded(monkeypatch):
    """The key that was exhausted first is forgotten first, unless it was so again."""
    monkeypatch.setattr(last_used, "MAX_EXHAUSTED", 2)
    monkeypatch.setattr(last_used, "_exhausted", OrderedDict())

    for name in ("first", "second", "first", "third"):
        last_used.note_exhausted(ApiKey(hashed_key=name), 30)

    assert last_used._exhausted == {"first": NOW.timestamp() + 30, "third": NOW.timestamp() + 30}


def test_flood_of_one_client_beside_another(mount, settings):
    """Of a publishable key, one client may be over its limit while the others are not."""
    settings.CLOSIENT_AUTH = {"PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE": 1}
    mount(View.as_view())
    _, raw_key = make_key("cpk")
    statuses = []

    def request(address):
        statuses.append(APIClient(REMOTE_ADDR=address).get("/", headers={"X-API-Key": raw_key}).status_code)

    request("192.0.2.1")
    with CaptureQueriesContext(connection) as queries:
        for number in range(2, 7):
            request(f"192.0.2.{number}")
            request("192.0.2.1")

    assert statuses == [OK, *[OK, LIMITED] * 5]
    # The clock stands still, so the refused requests write nothing, and the others nothing again.
    assert not [query for query in queries if "UPDATE" in query["sql"]]


class OtherKey(ApiKeyAuthentication):
    """Take each key for another one, as a host that replaces keys."""

    to: ApiKey

    def get_hashed_key(self, request):
        return super().get_hashed_key(request) and self.to.hashed_key


@pytest.mark.parametrize(
    ("make", "prefix", "view", "status"),
    [
        (inactive, "csu", View, UNAUTHORIZED),
        (make_key, "cpk", ClosedView, FORBIDDEN),
        (make_key, "csu", View, OK),
    ],
)
def test_key_of_another_type_than_the_presented_one(send, mount, monkeypatch, make, prefix, view, status):
    api_key, _ = make(prefix)
    monkeypatch.setattr(OtherKey, "to", api_key, raising=False)
    mount(view.as_view(authentication_classes=[OtherKey]))
    presented, raw_key = make_key("csb")

    assert send(raw_key) == (status, LATER if status == OK else LOOK)
    assert stored(api_key) == (NOW if status == OK else None)
    assert stored(presented) is None


def test_key_that_expires_during_the_statement(call, mount):
    """Both the statement and the package judge the expiry by one moment."""
    mount(View.as_view())
    api_key, raw_key = make_key("csb", expires_at=NOW + timedelta(seconds=1))

    def wait(execute, *args):
        result = execute(*args)
        clock.shift(2)
        return result

    with time_machine.travel(NOW, tick=False) as clock:
        with connection.execute_wrapper(wait):
            status = call("/", raw_key).status_code
        assert (status, stored(api_key) is not None) == (OK, True)
        assert call("/", raw_key).status_code == UNAUTHORIZED


@needs_postgresql
@pytest.mark.parametrize("is_known", [True, False])
def test_read_only_database(send, mount, caplog, is_known):
    mount(View.as_view())
    api_key, raw_key = make_key("csb")
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    try:
        answer = send(raw_key if is_known else generate_api_key("csb"))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")

    assert answer == (OK if is_known else UNAUTHORIZED, ["WITH", "SELECT"])
    lines = [record.getMessage() for record in caplog.records if record.name == "closient_auth"]
    line = f"last_used=not_written api_key={api_key.pk} error=InternalError"
    assert [text for text in lines if text.startswith("last_used")] == [line] * is_known
    assert stored(api_key) is None


@contextmanager
def locked(sql, *parameters, timeout="200ms"):
    """Execute a statement in a transaction of its own and hold its locks. Others wait for them until the timeout."""
    other = ConnectionHandler({"default": connection.settings_dict})["default"]
    with closing(other), connection.cursor() as cursor:
        other.set_autocommit(False)
        with other.cursor() as cursor_of_other:
            cursor_of_other.execute(sql, parameters)
        cursor.execute(f"SET statement_timeout = '{timeout}'")
        try:
            yield
            assert cursor.connection.info.transaction_status.name == "IDLE"
            assert show_timeout() == timeout
        finally:
            cursor.execute("RESET statement_timeout")


def show_timeout():
    # Not with Django's cursor, so that no wrapper sees the statement.
    return connection.connection.execute("SHOW statement_timeout").fetchone()[0]


@needs_postgresql
def test_key_that_is_locked_until_the_timeout(send, mount, caplog):
    mount(View.as_view())
    api_key, raw_key = make_key("csb")

    with locked(f"SELECT 1 FROM {ApiKey._meta.db_table} WHERE id = %s FOR UPDATE", api_key.pk):
        assert send(raw_key) == (OK, ["WITH", "SELECT", "SELECT"])

    lines = [record.getMessage() for record in caplog.records if record.name == "closient_auth"]
    assert lines == [f"last_used=not_written api_key={api_key.pk} error=OperationalError"]
    assert stored(api_key) is None


@needs_postgresql
@pytest.mark.parametrize(("timeout", "second"), [("200ms", "200ms"), ("700ms", "500ms")])
def test_table_that_is_locked_until_the_timeout(mount, call, timeout, second):
    """The second statement waits for half a second at most."""
    mount(View.as_view())
    api_key, raw_key = make_key("csb")
    timeouts = []

    def note_timeout(execute, sql, *args):
        if ApiKey._meta.db_table in sql:
            timeouts.append((sql.split()[0], show_timeout()))
        return execute(sql, *args)

    with (
        locked(f"LOCK TABLE {ApiKey._meta.db_table} IN ACCESS EXCLUSIVE MODE", timeout=timeout),
        connection.execute_wrapper(note_timeout),
        pytest.raises(OperationalError, match="statement timeout"),
    ):
        call("/", raw_key)

    assert timeouts == [("WITH", timeout), ("SELECT", second)]
    assert stored(api_key) is None


@needs_postgresql
def test_no_timeout_of_the_project(send, mount):
    """A lock has a timeout of its own, and the second statement does not wait for ever."""
    mount(View.as_view())
    api_key, raw_key = make_key("csb")
    timeouts = []

    def note_timeout(execute, sql, *args):
        timeouts.append(show_timeout())
        return execute(sql, *args)

    with locked(f"SELECT 1 FROM {ApiKey._meta.db_table} WHERE id = %s FOR UPDATE", api_key.pk, timeout="0"):
        connection.connection.execute("SET lock_timeout = '200ms'")
        try:
            with connection.execute_wrapper(note_timeout):
                assert send(raw_key) == (OK, ["WITH", "SELECT", "SELECT"])
        finally:
            connection.connection.execute("RESET lock_timeout")

    assert timeouts == ["0", "0", "500ms"]


@needs_postgresql
def test_connection_that_is_lost_during_the_statement(mount, call):
    """A project tells a lost connection by its ``OperationalError``, and answers with 503."""
    mount(View.as_view())
    api_key, raw_key = make_key("csb")
    verbs = []
    other = ConnectionHandler({"default": connection.settings_dict})["default"]

    def lose(execute, sql, *args):
        verbs.append(sql.split()[0])
        pid = connection.connection.info.backend_pid
        with closing(other), other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
            assert cursor.fetchone() == (True,)
        return execute(sql, *args)

    with connection.execute_wrapper(lose), pytest.raises(OperationalError):
        call("/", raw_key)
    connection.close()

    assert verbs == ["WITH"]
    assert stored(api_key) is None


@needs_postgresql
def test_database_that_cannot_be_reached(mount, call, monkeypatch):
    """A request waits once for a connection, also where Django finds out that its old one is dead."""
    mount(View.as_view())
    _, raw_key = make_key("csb")
    monkeypatch.setattr(connection, "health_check_enabled", True)
    monkeypatch.setattr(connection, "health_check_done", False)
    connection.connection.close()
    attempts = []

    def fail(parameters):
        attempts.append(1)
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(connection, "get_new_connection", fail)
        with pytest.raises(OperationalError):
            call("/", raw_key)

    assert attempts == [1]
