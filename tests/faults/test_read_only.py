"""Authentication works with a read-only database, for example after a failover."""

from __future__ import annotations

import logging

import pytest
from django.db import connection, connections

from closient_auth.models import ApiKey, AuditEntry
from tests.factories import make_key

READ_ONLY = {
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
    "sqlite": ("PRAGMA query_only = on", "PRAGMA query_only = off"),
}


CREATE_READER = {
    "postgresql": ["CREATE USER {user} PASSWORD %s", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}"],
    "mysql": ["CREATE USER {user} IDENTIFIED BY %s", "GRANT SELECT ON {database}.* TO {user}"],
}
DROP_READER = {"postgresql": ["DROP OWNED BY {user}", "DROP USER {user}"], "mysql": ["DROP USER {user}"]}


@pytest.fixture
def read_only():
    """Return a function to make the database read-only."""
    on, off = READ_ONLY[connection.vendor]
    yield lambda: connection.cursor().execute(on)
    connection.cursor().execute(off)


@pytest.fixture
def only_selecting(monkeypatch):
    """Return a function to switch to a database user with only the SELECT privilege."""
    if connection.vendor == "sqlite":
        pytest.skip("has no users")
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    user = connection.ops.quote_name(f"{connection.settings_dict['NAME']}_reader")

    def execute(statements):
        with connection.cursor() as cursor:
            for statement in statements[connection.vendor]:
                parameters = [connection.settings_dict["PASSWORD"]] if "%s" in statement else None
                cursor.execute(statement.format(user=user, database=database), parameters)

    def enter():
        execute(CREATE_READER)
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "USER", f"{connection.settings_dict['NAME']}_reader")

    yield enter
    connection.close()
    monkeypatch.undo()
    execute(DROP_READER)


@pytest.fixture(params=["read_only", "only_selecting"])
def refuse_writes(request):
    return request.getfixturevalue(request.param)


each_mode = pytest.mark.parametrize(
    "is_atomic",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(connection.vendor == "sqlite", reason="begins with the write lock")
        ),
    ],
    ids=["autocommit", "atomic requests"],
)


@pytest.mark.django_db(transaction=True)
@each_mode
def test_it_still_authenticates(call, refuse_writes, is_atomic, monkeypatch, caplog):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", is_atomic)
    api_key, raw_key = make_key()
    refuse_writes()

    with caplog.at_level(logging.WARNING, "closient_auth"):
        response = call("/who/", raw_key)

    assert (response.status_code, response.json()["key"]) == (200, str(api_key.pk))
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"last_used=not_written api_key={api_key.pk} error=")
    assert ApiKey.objects.get(pk=api_key.pk).last_used is None
    # The failed write must not break the connection for later requests.
    assert call("/who/", raw_key).status_code == 200
    assert call("/who/", raw_key[:-1]).status_code == 401


@pytest.mark.django_db(transaction=True)
@each_mode
def test_it_still_refuses_a_revoked_key(call, refuse_writes, is_atomic, monkeypatch, caplog):
    """The audit entry cannot be written. One attempt a minute is enough, and its failure is logged."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", is_atomic)
    now = [1000.0]
    monkeypatch.setattr("closient_auth.core.reports.monotonic", lambda: now[0])
    api_key, raw_key = make_key()
    api_key.revoke()
    refuse_writes()

    for seconds in (0, 0, 59, 1):
        now[0] += seconds
        with caplog.at_level(logging.WARNING, "closient_auth"):
            assert call("/who/", raw_key).status_code == 401

    messages = [record.getMessage() for record in caplog.records if record.name == "closient_auth"]
    failures = [message for message in messages if message.startswith("audit=not_written")]
    assert len(failures) == 2
    assert {message.rpartition("=")[0] for message in failures} == {
        f"audit=not_written event=revoked_api_key_used id={api_key.pk} error"
    }
    assert len([message for message in messages if "cause=revoked" in message]) == 2
    assert not AuditEntry.objects.filter(event="revoked_api_key_used").exists()
    assert ApiKey.objects.get(pk=api_key.pk).exposure_reported_at is None
