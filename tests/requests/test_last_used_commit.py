"""On PostgreSQL, the transaction that writes only ``last_used`` commits asynchronously, and no other transaction does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.decorators import method_decorator
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.models import ApiKey, Organization
from tests.factories import OrganizationFactory, make_key

needs_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL")

KEY, ORGANIZATION = ApiKey._meta.db_table, Organization._meta.db_table
# A deferred constraint trigger runs at the commit, when all statements of the transaction are over.
CREATE = f"""
    CREATE TABLE commits (id serial, relation text, synchronous text);
    CREATE FUNCTION record_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO commits (relation, synchronous) VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER record_commit AFTER UPDATE ON {KEY}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION record_commit();
    CREATE CONSTRAINT TRIGGER record_commit AFTER INSERT ON {ORGANIZATION}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION record_commit();
"""
DROP = "DROP FUNCTION IF EXISTS record_commit CASCADE; DROP TABLE IF EXISTS commits"

WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def show():
    return execute("SHOW synchronous_commit")[0][0]


@pytest.fixture
def raw_key(transactional_db):
    return make_key("csb")[1]


@pytest.fixture
def commits(raw_key):
    """Return a function to get the table of each written row, and ``synchronous_commit`` at the commit of that row."""
    assert show() == "on"
    execute(f"{DROP};{CREATE}")
    yield lambda: execute("SELECT relation, synchronous FROM commits ORDER BY id")
    execute(DROP)


class View(APIView):
    """Write a row of the project, then return or raise ``answer``."""

    answer: Exception | None = None

    def get(self, request):
        OrganizationFactory.create()
        if self.answer:
            raise self.answer
        return Response(show())


@needs_postgresql
def test_last_used_alone_commits_asynchronously(call, mount, commits, raw_key):
    mount(View.as_view())

    assert call("/", raw_key).json() == "on"

    assert commits() == [(KEY, "off"), (ORGANIZATION, "on")]
    assert show() == "on"


@needs_postgresql
@pytest.mark.usefixtures("atomic_requests")
def test_transaction_of_the_request_commits_synchronously(call, mount, commits, raw_key):
    mount(View.as_view())

    assert call("/", raw_key).json() == "on"

    assert commits() == [(ORGANIZATION, "on"), (KEY, "off")]
    OrganizationFactory.create()
    assert commits()[2:] == [(ORGANIZATION, "on")]


@needs_postgresql
@pytest.mark.usefixtures("atomic_requests")
def test_after_the_rollback_of_the_request(call, mount, commits, raw_key):
    mount(View.as_view(answer=NotFound()))

    call("/", raw_key)

    assert commits() == [(KEY, "off")]
    assert show() == "on"


@needs_postgresql
def test_view_in_a_transaction_of_its_own(call, mount, commits, raw_key):
    class Atomic(View):
        pass

    mount(method_decorator(transaction.atomic, name="dispatch")(Atomic).as_view())

    assert call("/", raw_key).json() == "on"

    assert commits() == [(ORGANIZATION, "on"), (KEY, "off")]


@needs_postgresql
def test_whole_request_inside_a_transaction(call, mount, commits, raw_key):
    """The write cannot wait for the end of this transaction, for example in a ``TestCase``."""
    mount(View.as_view())

    with transaction.atomic():
        assert call("/", raw_key).json() == "on"
        assert show() == "on"
        with transaction.atomic():
            OrganizationFactory.create()

    assert commits() == [(ORGANIZATION, "on"), (KEY, "on"), (ORGANIZATION, "on")]


@needs_postgresql
def test_connection_without_autocommit(call, mount, commits, raw_key):
    mount(View.as_view())
    transaction.set_autocommit(False)
    try:
        assert call("/", raw_key).json() == "on"
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert commits() == [(KEY, "on"), (ORGANIZATION, "on")]


@needs_postgresql
@pytest.mark.parametrize(
    "options",
    [{"server_side_binding": True}, {"server_side_binding": True, "prepare_threshold": 0}],
    ids=["binding", "prepared"],
)
def test_server_side_parameters(call, mount, commits, raw_key, monkeypatch, options):
    mount(View.as_view())
    with monkeypatch.context() as patch:
        patch.setitem(connections.settings["default"], "OPTIONS", options)
        connection.close()
        try:
            for _ in range(3):
                assert call("/", raw_key).json() == "on"
        finally:
            connection.close()

    assert commits() == [(KEY, "off"), (ORGANIZATION, "on")] * 3


@pytest.fixture
def use_during(call, raw_key):
    """Return a function to change rows, and to use the key before that is committed. It returns the status."""

    def use():
        try:
            return call("/who/", raw_key).status_code
        finally:
            connection.close()

    def use_during(change):
        deadline = time.monotonic() + 60
        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                change()
                response = pool.submit(use)
                while not execute(WAITING):
                    assert not response.done()
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            return response.result()

    return use_during


@needs_postgresql
def test_write_that_waits_for_another_transaction(commits, use_during):
    """PostgreSQL evaluates the condition again for the row that the other transaction committed."""
    assert use_during(lambda: ApiKey.objects.update(name="renamed")) == 200

    assert commits() == [(KEY, "on"), (KEY, "off")]
    assert ApiKey.objects.get().name == "renamed"


@needs_postgresql
def test_write_that_waits_for_a_revocation(call, raw_key, use_during):
    """The request began before. It is accepted, and so it is a use."""
    assert use_during(lambda: ApiKey.objects.get().revoke()) == 200

    assert ApiKey.objects.get().last_used is not None
    assert call("/who/", raw_key).status_code == 401


def test_one_statement_and_only_on_postgresql(call, raw_key):
    with CaptureQueriesContext(connection) as queries:
        call("/who/", raw_key)

    [update] = [query["sql"] for query in queries if "UPDATE" in query["sql"]]
    assert ("synchronous_commit" in update) is (connection.vendor == "postgresql")
