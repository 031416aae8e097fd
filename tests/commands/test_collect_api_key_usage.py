from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.limits.counter import count_request, read_hours
from closient_auth.limits.windows import Count, StoreUnavailable
from closient_auth.models import ApiKey, ApiKeyUsage, Organization
from closient_auth.models.usage import to_hour, to_moment
from closient_auth.usage import collection
from closient_auth.usage.history import read_history
from tests.factories import make_key
from tests.usage.conftest import forget, own_server, redis_cache  # noqa: F401

NOTE = "The cache records no usage, as each process writes its own. There is nothing to collect.\n"


@pytest.fixture(autouse=True)
def far_from_the_next_hour():
    while time.time() % 3600 > 3570:
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(collection, "PAUSE", 0)


@pytest.fixture
def now():
    return int(time.time()) // 3600


@pytest.fixture
def store(redis_cache):  # noqa: F811
    """Return a function to put numbers into the hash of a key, such as ``{f"{hour}:requests": 7}``."""

    def store(api_key, numbers):
        with redis_cache.connect(1) as client:
            client.hset(f":1:closient_auth:usage:{{{api_key.family}}}", mapping=numbers)

    return store


def get_rows(api_key):
    rows = ApiKeyUsage.objects.filter(family=api_key.family).order_by("hour")
    return {to_hour(moment): Count(*counts) for moment, *counts in rows.values_list("hour", "requests", "refused")}


def get_total(api_key):
    today = datetime.now(UTC)
    points = read_history([api_key.family], today - timedelta(days=3), today)[api_key.family]
    return sum(point.requests for point in points), sum(point.refused for point in points)


def test_finished_hours_are_collected(run, store, now, redis_cache):  # noqa: F811
    api_key, other = make_key()[0], make_key()[0]
    store(api_key, {f"{now - 48}:requests": 1, f"{now - 1}:requests": 20, f"{now - 1}:refused": 3})
    store(api_key, {f"{now}:requests": 400, f"{now - 5}:refused": 5})
    store(other, {f"{now - 1}:requests": 6})

    for collected in (4, 0):
        assert get_total(api_key) == (421, 8)
        finished = run("collect_api_key_usage")
        assert finished.stdout == f"Collected hours of keys: {collected}\nDeleted rows without a key: 0\n"
        assert finished.stderr == ""
        assert get_rows(api_key) == {now - 48: (1, 0), now - 5: (0, 5), now - 1: (20, 3)}
        assert get_rows(other) == {now - 1: (6, 0)}
        assert get_total(api_key) == (421, 8)
    # Requests of a server whose clock is slow.
    store(api_key, {f"{now - 1}:requests": 22})
    assert get_total(api_key) == (423, 8)
    assert run("collect_api_key_usage").stdout.startswith("Collected hours of keys: 1\n")
    assert get_rows(api_key)[now - 1] == (22, 3)


def test_counts_of_processes_are_kept(run, store, now):
    """A process counts by itself in an outage."""
    api_key = make_key()[0]
    store(api_key, {f"{now - 1}:requests": 20})
    ApiKeyUsage.objects.add({(api_key.family, now - 1): Count(3, 1)})
    for _ in range(2):
        assert get_total(api_key) == (23, 1)
        run("collect_api_key_usage")
    assert get_rows(api_key) == {now - 1: (23, 1)}
    assert get_total(api_key) == (23, 1)


def test_a_restart_of_redis_loses_what_was_not_collected(run, store, now, redis_cache):  # noqa: F811
    api_key = make_key()[0]
    store(api_key, {f"{now - 2}:requests": 10, f"{now - 1}:requests": 20})
    run("collect_api_key_usage")
    store(api_key, {f"{now}:requests": 7})
    assert get_total(api_key) == (37, 0)

    redis_cache.stop()
    redis_cache.start()

    assert get_total(api_key) == (30, 0)
    assert count_request(str(api_key.family), [], records=True).is_recorded
    assert get_total(api_key) == (31, 0)
    run("collect_api_key_usage")
    assert get_rows(api_key) == {now - 2: (10, 0), now - 1: (20, 0)}


def test_the_keys_that_are_asked_for(run, store, now, settings, monkeypatch):
    monkeypatch.setattr(collection, "PAGE_SIZE", 2)
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 3600}
    keys = {name: make_key()[0] for name in ("unused", "revoked", "expired", "dead", "long ago", "old", "current")}
    for api_key in keys.values():
        store(api_key, {f"{now - 1}:requests": 1})
    current = timezone.now()

    def change(name, **values):
        ApiKey.objects.filter(pk=keys[name].pk).update(**values)

    change("revoked", is_active=False, last_used=current - timedelta(hours=49, minutes=59))
    change("expired", expires_at=current - timedelta(hours=48))
    change("long ago", is_active=False, last_used=current - timedelta(hours=50, minutes=1))
    change("dead", expires_at=current - timedelta(hours=50))
    # A rotated key and its successor have one family.
    change("old", family=keys["current"].family)

    assert run("collect_api_key_usage").lines[0] == "Collected hours of keys: 4"
    collected = {name for name, api_key in keys.items() if get_rows(api_key)}
    assert collected == {"unused", "revoked", "expired", "current"}


def test_as_many_queries_for_each_page_of_keys(run, store, now, redis_cache):  # noqa: F811
    for number in (1, 20):
        for _ in range(number):
            store(make_key()[0], {f"{now - 1}:requests": 1})
        with CaptureQueriesContext(connection) as queries:
            assert run("collect_api_key_usage").lines[0] == f"Collected hours of keys: {number}"
        if number == 1:
            before = len(queries)
    assert len(queries) == before


def test_old_rows_are_deleted(run, store, now):
    api_key = make_key()[0]
    store(api_key, {f"{now - 1}:requests": 1})
    for days in (399, 401, 500):
        ApiKeyUsage.objects.add({(api_key.family, now - days * 24): Count(1)})
    moment = (timezone.now() - timedelta(days=400)).strftime("%Y-%m-%dT")

    lines = run("collect_api_key_usage", "--keep", "400d").lines

    assert lines[0] == "Collected hours of keys: 1"
    assert lines[1].startswith(f"Deleted rows older than {moment}")
    assert lines[1].endswith("Z: 2")
    assert {*get_rows(api_key)} == {now - 399 * 24, now - 1}
    assert run("collect_api_key_usage", keep=400).lines[1].endswith(": 0")


def test_rows_of_deleted_keys_are_deleted(run, now):
    api_key = make_key()[0]
    for family in (api_key.family, uuid4(), uuid4()):
        ApiKeyUsage.objects.add({(family, now): Count(1)})
    assert run("collect_api_key_usage").lines[-1] == "Deleted rows without a key: 2"
    assert get_rows(api_key) == {now: (1, 0)}
    Organization.objects.all().delete()
    assert run("collect_api_key_usage").lines[-1] == "Deleted rows without a key: 1"
    assert not ApiKeyUsage.objects.exists()


@pytest.mark.parametrize("is_enabled", [True, False])
def test_other_caches_have_nothing_to_collect(run, settings, is_enabled, now):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.RATELIMIT_ENABLE = is_enabled
    api_key = make_key()[0]
    ApiKeyUsage.objects.add({(api_key.family, now - 24 * 5): Count(1)})
    finished = run("collect_api_key_usage", "--keep=4", "--json")
    document = json.loads(finished.stdout)
    assert document.pop("deleted") | {"older_than": ""} == {"older_than": "", "old": 1, "without_key": 0}
    assert document == {"collected": None}
    assert finished.stderr == NOTE


def test_json(run, store, now):
    store(make_key()[0], {f"{now - 1}:requests": 1})
    finished = run("collect_api_key_usage", "--json")
    deleted = {"older_than": None, "old": 0, "without_key": 0}
    assert json.loads(finished.stdout) == {"collected": 1, "deleted": deleted}
    assert finished.stderr == ""


@pytest.mark.parametrize("days", ["", "d", "4w", "-4", "1.5", "٤", "4000000000"])
def test_days_that_are_no_number(refuse, now, days):
    ApiKeyUsage.objects.add({(uuid4(), now - 24 * 500): Count(1)})
    error = "--keep should be a number of days, such as 400 or 400d."
    assert refuse("collect_api_key_usage", f"--keep={days}").error == error
    assert ApiKeyUsage.objects.count() == 1


@pytest.mark.parametrize("days", ["0", "2d", "36501"])
def test_days_out_of_range(refuse, now, days):
    ApiKeyUsage.objects.add({(uuid4(), now - 24 * 500): Count(1)})
    assert refuse("collect_api_key_usage", f"--keep={days}").error == "--keep should be between 3 and 36500 days."
    assert ApiKeyUsage.objects.count() == 1


def test_redis_that_is_away(refuse, cache_away, now):
    ApiKeyUsage.objects.add({(uuid4(), now): Count(1)})
    error = "The cache did not respond: ConnectionError. Run the command again."
    assert refuse("collect_api_key_usage", "--keep=3").error == error
    assert ApiKeyUsage.objects.count() == 1


def test_a_stall_does_not_end_the_command(run, store, now, monkeypatch):
    store(make_key()[0], {f"{now - 1}:requests": 1})
    tries = []

    def stall(identifiers):
        tries.append(identifiers)
        if len(tries) % 3:
            raise StoreUnavailable
        return read_hours(identifiers)

    monkeypatch.setattr(collection, "read_hours", stall)
    assert run("collect_api_key_usage").lines[0] == "Collected hours of keys: 1"
    assert len(tries) == 6


def test_without_time_zones(run, store, now, settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Kolkata"
    api_key = make_key()[0]
    store(api_key, {f"{now - 1}:requests": 1})
    ApiKeyUsage.objects.add({(api_key.family, now - 24 * days): Count(1) for days in (4, 6)})
    assert run("collect_api_key_usage", "--keep=5").lines[1].endswith(": 1")
    assert get_rows(api_key) == {now - 24 * 4: (1, 0), now - 1: (1, 0)}
    assert ApiKeyUsage.objects.filter(hour=to_moment(now - 1)).exists()
