"""The counts in the memory of a process, and how they get into the table."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from uuid import uuid4

import pytest
import time_machine
from django.core.signals import request_finished
from django.db import OperationalError, connection, transaction

from closient_auth.limits.windows import Count
from closient_auth.models import ApiKeyUsage
from closient_auth.usage import buffer
from tests.usage.conftest import get_buffer, get_table

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def family():
    return uuid4()


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose only entry is the time of ``monotonic()``."""
    clock = [1000.0]
    monkeypatch.setattr(buffer, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def fail(monkeypatch):
    """Return a function to make the writes raise these errors, one after another."""

    def fail(*errors):
        queue, add = list(errors), ApiKeyUsage.objects.add

        def fail_or_add(counts):
            if queue:
                raise queue.pop(0)
            add(counts)

        monkeypatch.setattr(ApiKeyUsage.objects, "add", fail_or_add)
        return queue

    return fail


def respond():
    """Do what ``request_finished`` does after a request that was counted, without Django's own receiver."""
    buffer._counted.set(True)
    finish()


def finish():
    receivers = [receiver for receiver in request_finished._live_receivers(None)[0] if receiver is buffer._write_if_due]
    assert len(receivers) == 1
    receivers[0](signal=request_finished, sender=None)


def respond_after_failure(monkeypatch):
    """Do what ``request_finished`` does if Django has no connection."""
    connection.ensure_connection()
    kept = connection.connection
    with monkeypatch.context() as patch:
        patch.setattr(connection, "connection", None)
        patch.setattr(connection, "connect", lambda: setattr(connection, "connection", kept))
        patch.setattr(connection, "close_if_unusable_or_obsolete", lambda: None)
        finish()
    connection.connection = kept


def record(family, number=1, *, is_admitted=True):
    for _ in range(number):
        buffer.record(family, is_admitted=is_admitted)


def test_a_request_that_has_not_reached_the_database_writes_nothing(at_once, family, monkeypatch):
    """It has waited for the database once already."""
    record(family)
    respond_after_failure(monkeypatch)
    assert get_buffer() == {}
    record(family, 2)
    # Another request, which ends before this one.
    buffer._counted.set(False)
    respond_after_failure(monkeypatch)
    assert get_buffer() == {family: (2, 0)}
    respond()

    assert get_buffer() == {}
    assert get_table() == {family: (3, 0)}


def test_the_counts_are_written_after_ten_seconds(clock, family, django_assert_num_queries):
    record(family, 3)
    record(family, 2, is_admitted=False)
    clock[0] += 9.9
    with django_assert_num_queries(0):
        respond()
    assert get_buffer() == {family: (3, 2)}
    clock[0] += 0.1
    with django_assert_num_queries(1):
        respond()
    assert get_table() == {family: (3, 2)}
    assert get_buffer() == {}
    clock[0] += 100
    with django_assert_num_queries(0):
        respond()
    record(family)
    respond()
    assert get_table() == {family: (3, 2)}
    clock[0] += 10
    respond()
    assert get_table() == {family: (4, 2)}


def test_a_count_belongs_to_the_hour_of_its_request(at_once, family):
    with time_machine.travel("2031-03-05 12:59:59+00:00", tick=False) as traveller:
        record(family)
        traveller.shift(1)
        record(family, 2)
    respond()
    rows = ApiKeyUsage.objects.order_by("hour").values_list("hour", "requests")
    assert [(hour.isoformat(), requests) for hour, requests in rows] == [
        ("2031-03-05T12:00:00+00:00", 1),
        ("2031-03-05T13:00:00+00:00", 2),
    ]


def test_nothing_is_written_into_an_open_transaction(at_once, family, django_assert_num_queries):
    """It could be rolled back, and would lock the rows for the other processes until its end."""
    record(family)
    with transaction.atomic(), django_assert_num_queries(0):
        respond()
    assert get_buffer() == {family: (1, 0)}
    transaction.set_autocommit(False)
    try:
        with django_assert_num_queries(0):
            respond()
    finally:
        transaction.set_autocommit(True)
    assert get_buffer() == {family: (1, 0)}
    respond()
    assert get_table() == {family: (1, 0)}
    assert get_buffer() == {}


def test_a_failure_keeps_the_counts_and_is_logged_once_a_minute(clock, family, fail, lines):
    other = uuid4()
    queue = fail(*[OperationalError("away")] * 4, ValueError("from a driver"))
    record(family, 2)
    for number in range(4):
        clock[0] += 10
        respond()
        record(family)
        assert get_buffer() == {family: (3 + number, 0)}
        # The next attempt is ten seconds later.
        respond()
        assert len(queue) == 4 - number
    assert lines() == ["usage=not_written error=OperationalError"]
    clock[0] += 60
    respond()
    assert lines()[1:] == ["usage=not_written error=ValueError"]
    record(other)
    clock[0] += 10
    respond()
    assert get_table() == {family: (6, 0), other: (1, 0)}


def test_what_was_written_before_a_failure_is_not_kept(at_once, monkeypatch, fail):
    monkeypatch.setattr(buffer, "BATCH_SIZE", 2)
    families = sorted(uuid4() for _ in range(5))
    add, calls = ApiKeyUsage.objects.add, []

    def fail_the_second_time(counts):
        calls.append(len(counts))
        if len(calls) == 2:
            raise OperationalError
        add(counts)

    monkeypatch.setattr(ApiKeyUsage.objects, "add", fail_the_second_time)
    for family in families:
        record(family)
    respond()
    assert get_table() == dict.fromkeys(families[:2], (1, 0))
    assert get_buffer() == dict.fromkeys(families[2:], (1, 0))
    respond()
    assert calls == [2, 2, 2, 1]
    assert get_table() == dict.fromkeys(families, (1, 0))


@pytest.mark.parametrize(("error", "number"), [((1213, "Deadlock found"), 3), ((1205, "Lock wait timeout"), 1)])
def test_only_a_deadlock_is_tried_again(at_once, family, lines, error, number):
    tries = []

    def fail(execute, sql, *args):
        if not sql.startswith("INSERT"):
            return execute(sql, *args)
        tries.append(sql)
        raise OperationalError(*error)

    record(family)
    # MariaDB is asked for more when it connects.
    connection.ensure_connection()
    with connection.execute_wrapper(fail):
        respond()
        assert len(tries) == number
        # In a transaction, the database has rolled back what came before.
        with pytest.raises(OperationalError), transaction.atomic():
            ApiKeyUsage.objects.add({(family, 1): Count(1)})
        assert len(tries) == number + 1
    assert get_buffer() == {family: (1, 0)}
    assert lines() == ["usage=not_written error=OperationalError"]


def test_a_deadlock_loses_nothing(at_once, family, lines):
    tries = []

    def fail_twice(execute, sql, *args):
        tries.append(sql)
        if len(tries) <= 2:
            raise OperationalError(1213, "Deadlock found")
        return execute(sql, *args)

    record(family)
    # MariaDB is asked for more when it connects.
    connection.ensure_connection()
    with connection.execute_wrapper(fail_twice):
        respond()
    assert (len(tries), get_table(), get_buffer(), lines()) == (3, {family: (1, 0)}, {}, [])


def test_counts_that_arrive_during_a_failure_are_kept(at_once, family, monkeypatch):
    def record_and_fail(counts):
        record(family, 2)
        # Another thread does not write at the same time.
        respond()
        raise OperationalError

    monkeypatch.setattr(ApiKeyUsage.objects, "add", record_and_fail)
    record(family)
    respond()
    assert get_buffer() == {family: (3, 0)}


def test_the_buffer_is_bounded(at_once, monkeypatch, lines):
    monkeypatch.setattr(buffer, "CAPACITY", 2)
    first, second, third = (uuid4() for _ in range(3))
    for family in (first, second, third, first, third):
        record(family)
    assert get_buffer() == {first: (2, 0), second: (1, 0)}
    assert lines() == ["usage=dropped error=the buffer is full"]
    respond()
    record(third)
    respond()
    assert get_table() == {first: (2, 0), second: (1, 0), third: (1, 0)}


def test_counts_of_a_test_database_do_not_get_into_the_real_one(at_once, family, monkeypatch):
    """A test runner restores the name of the database before the process ends."""
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "NAME", "test_of_a_host")
        record(family)
    connection.close()
    respond()
    assert get_buffer() == {}
    # The real database may not exist, so nobody connects to it.
    assert connection.vendor == "sqlite" or connection.connection is None
    record(family)
    respond()
    assert get_table() == {family: (1, 0)}


@pytest.mark.skipif(connection.vendor == "sqlite", reason="Django does not close a database in memory")
def test_a_connection_that_was_closed_is_closed_again(at_once, family, monkeypatch):
    """Django closes the connections of a request before it writes the counts."""

    def respond_and_look():
        record(family)
        respond()
        return connection.connection is not None

    connection.ensure_connection()
    assert respond_and_look() is True
    connection.close()
    assert respond_and_look() is False
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 60)
    assert respond_and_look() is True
    assert get_table() == {family: (3, 0)}


def test_threads_lose_nothing(at_once, family):
    def count():
        for number in range(500):
            record(family, is_admitted=number % 5 != 0)
            if connection.vendor != "sqlite" and number % 50 == 0:
                respond()
        connection.close()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    respond()
    assert get_table() == {family: (3200, 800)}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_write_the_counts_of_its_parent(at_once, family):
    context = multiprocessing.get_context("fork")
    own, results = uuid4(), context.Queue()
    record(family, 2)

    def count():
        record(own)
        results.put(get_buffer())
        # The child has the connection of its parent, and must not use it when it ends.
        buffer._buffer.clear()

    # The parent may fork while another thread holds the lock.
    with buffer._buffer._lock:
        child = context.Process(target=count)
        child.start()
    try:
        assert results.get(timeout=30) == {own: (1, 0)}
    finally:
        child.kill()
        child.join()
    respond()
    assert get_table() == {family: (2, 0)}


END = """
import django, json, os, sqlite3, sys
from django.conf import settings
from uuid import UUID
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "closient_auth"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
)
django.setup()
from django.core.management import call_command
from django.db import connections
from closient_auth.usage import buffer
call_command("migrate", verbosity=0)
for _ in range(3):
    buffer.record(UUID(int=1), is_admitted=True)
# Django closes the connections of a request before that.
connections.close_all()
"""


def test_the_end_of_a_process_writes_its_counts(tmp_path):
    database, read = str(tmp_path / "database"), "SELECT requests, refused FROM closient_auth_apikeyusage"
    for number in (1, 2):
        subprocess.run([sys.executable, "-c", END, database], check=True, timeout=60)
        rows = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import sqlite3; print(sqlite3.connect({database!r}).execute({read!r}).fetchall())",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert rows.stdout == f"[({3 * number}, 0)]\n"
