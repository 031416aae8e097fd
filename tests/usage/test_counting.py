"""What is counted, and where, with and without Redis."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

import pytest
from django.core.signals import request_finished
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from closient_auth.models import ApiKeyUsage
from closient_auth.usage import buffer
from closient_auth.usage.history import read_history
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.usage.conftest import get_buffer, get_table, get_today

pytestmark = pytest.mark.django_db(transaction=True)


def get_history(*families):
    return {family: point[1:] for family, (point,) in read_history(families, *get_today()).items()}


@pytest.fixture(params=["table", "redis"])
def counted(request, settings):
    """Return a function to read the requests of a family; they are in Redis, or in the table after each response."""
    if request.param == "redis":
        request.getfixturevalue("redis_cache")
    else:
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
        request.getfixturevalue("at_once")
    yield lambda api_key: get_history(api_key.family)[api_key.family]
    assert bool(ApiKeyUsage.objects.count()) is (request.param == "table")


def test_admitted_and_refused_requests(counted, call):
    api_key, raw_key = make_key(rate_limit_per_minute=2)
    other, other_raw_key = make_key()
    statuses = [call("/who/", raw_key).status_code for _ in range(5)]
    call("/who/", other_raw_key)

    assert statuses == [HTTPStatus.OK] * 2 + [HTTPStatus.TOO_MANY_REQUESTS] * 3
    assert counted(api_key) == (2, 3)
    assert counted(other) == (1, 0)


def test_a_request_that_the_view_refuses_is_a_request(counted, call, acme, globex):
    api_key, raw_key = make_key(organization=acme)
    assert call("/organizations/globex/", raw_key).status_code == HTTPStatus.NOT_FOUND
    assert call("/who/", raw_key).status_code == HTTPStatus.OK
    assert counted(api_key) == (2, 0)


def test_a_rotated_key_continues_the_line(counted, call):
    api_key, raw_key = make_key()
    call("/who/", raw_key)
    successor, new_raw_key = api_key.rotate()
    call("/who/", new_raw_key)
    assert successor.family == api_key.family
    assert counted(successor) == (2, 0)


def test_an_unlimited_key_is_counted(counted, call, settings):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0}
    api_key, raw_key = make_key()
    responses = [call("/who/", raw_key) for _ in range(3)]
    assert {response.status_code for response in responses} == {HTTPStatus.OK}
    assert "RateLimit" not in responses[0]
    assert counted(api_key) == (3, 0)


def test_the_clients_of_a_publishable_key_are_counted_once(counted, call, settings):
    settings.CLOSIENT_AUTH = {"PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE": 2, "TRUSTED_PROXIES": 1}
    api_key, raw_key = make_key("cpk")
    for address in ["192.0.2.1"] * 3 + ["192.0.2.2"]:
        call("/open-who/", raw_key, x_forwarded_for=address)
    assert counted(api_key) == (3, 1)


def test_only_recognised_keys_are_counted(counted, call):
    api_key, raw_key = make_key()
    revoked, revoked_raw_key = make_key()
    revoked.revoke()
    call("/who/")
    call("/who/", revoked_raw_key)
    call("/who/", user=UserFactory.create())
    call("/who/", raw_key[:-1] + ("a" if raw_key[-1] != "a" else "b"))
    call("/who/", raw_key)
    assert counted(api_key) == (1, 0)
    assert counted(revoked) == (0, 0)


def test_a_person_who_creates_keys_is_not_counted(counted, call, acme, mount):
    """The limit of changes uses the same counter."""
    mount(path("", include("closient_auth.urls")))
    api_key, raw_key = make_key(organization=acme)
    owner = MembershipFactory.create(organization=acme, role="owner").user
    created = call(f"/organizations/{acme.pk}/keys", user=owner, method="post", data={"prefix": "csb"})
    assert created.status_code == HTTPStatus.CREATED
    assert call("/me", raw_key).status_code == HTTPStatus.OK

    assert counted(api_key) == (1, 0)
    assert get_buffer() == {}
    assert not ApiKeyUsage.objects.exclude(family=api_key.family).exists()


def test_an_outage_of_redis_loses_nothing(redis_cache, call, at_once):
    api_key, raw_key = make_key(rate_limit_per_minute=4)
    call("/who/", raw_key)
    redis_cache.stop()
    statuses = [call("/who/", raw_key).status_code for _ in range(5)]

    assert statuses == [HTTPStatus.OK] * 3 + [HTTPStatus.TOO_MANY_REQUESTS] * 2
    assert get_table() == {api_key.family: (3, 2)}


def test_unavailable_limits_count_no_request(settings, call, cache_away, at_once):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": False}
    _, raw_key = make_key()
    assert call("/who/", raw_key).status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert get_table() == get_buffer() == {}


def test_a_corrupt_hash_loses_nothing(redis_cache, call, at_once):
    api_key, raw_key = make_key(rate_limit_per_minute=2)
    with redis_cache.connect(1) as client:
        client.set(f":1:closient_auth:usage:{{{api_key.family}}}", "junk")
    assert [call("/who/", raw_key).status_code for _ in range(3)] == [HTTPStatus.OK] * 2 + [
        HTTPStatus.TOO_MANY_REQUESTS
    ]
    assert get_table() == {api_key.family: (2, 1)}
    assert get_history(api_key.family) == {api_key.family: (2, 1)}


@pytest.mark.parametrize("cache", ["django.core.cache.backends.locmem.LocMemCache", "redis"])
def test_without_the_history_nothing_is_counted(request, settings, call, at_once, cache, monkeypatch):
    if cache == "redis":
        server = request.getfixturevalue("redis_cache")
    settings.CLOSIENT_AUTH = {"USAGE_HISTORY": False, "RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0}
    _, unlimited = make_key()
    _, limited = make_key(rate_limit_per_minute=1)
    buffer._connect.cache_clear()
    request_finished.disconnect(dispatch_uid="closient_auth.usage")
    receivers = len(request_finished.receivers)

    with CaptureQueriesContext(connection) as queries:
        assert call("/who/", unlimited).status_code == HTTPStatus.OK
        assert call("/who/", limited).status_code == HTTPStatus.OK
        assert call("/who/", limited).status_code == HTTPStatus.TOO_MANY_REQUESTS

    assert not [query for query in queries if "usage" in query["sql"]]
    assert len(request_finished.receivers) == receivers
    assert get_buffer() == {}
    if cache == "redis":
        # An unlimited key does not ask Redis.
        assert server.count_calls("evalsha") + server.count_calls("eval") == 3
        assert server.count_calls("hincrby") == server.count_calls("hkeys") == 0
        with server.connect(1) as client:
            assert not client.keys("*usage*")


def test_the_parts_of_the_history(redis_cache, call, at_once, lines, monkeypatch):
    """The table and Redis have parts of one hour, and each may be unavailable."""
    (mine, raw_key), (other, other_raw_key) = make_key(), make_key()
    call("/who/", raw_key)
    buffer.record(mine.family, is_admitted=True)
    buffer.record(mine.family, is_admitted=False)
    call("/who/", raw_key)
    for _ in range(2):
        call("/who/", other_raw_key)
    assert get_table() == {mine.family: (1, 1)}
    with redis_cache.connect(1) as client:
        # Hours outside the range.
        client.hset(f":1:closient_auth:usage:{{{mine.family}}}", mapping={"1:requests": 50, "9999999:refused": 60})

    assert get_history(mine.family, other.family) == {mine.family: (3, 1), other.family: (2, 0)}
    assert lines() == []

    def fail(execute, *args):
        raise OperationalError

    with connection.execute_wrapper(fail):
        assert get_history(mine.family, other.family) == {mine.family: (2, 0), other.family: (2, 0)}
    assert lines() == ["usage=not_read part=table error=OperationalError"]
    redis_cache.stop()
    assert get_history(mine.family, other.family) == {mine.family: (1, 1), other.family: (0, 0)}
    assert lines()[1:] == ["usage=not_read part=cache error=StoreUnavailable"]


@pytest.mark.parametrize("number", [1, 100])
def test_the_cost_of_reading(redis_cache, number):
    families = [UUID(int=value) for value in range(number)]
    get_history(*families)
    before = redis_cache.count_calls("hgetall")
    with CaptureQueriesContext(connection) as queries:
        assert get_history(*families) == dict.fromkeys(families, (0, 0))
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"]
    assert redis_cache.count_calls("hgetall") - before == number


def test_an_old_day_does_not_ask_redis(redis_cache):
    start, end = get_today()
    before = redis_cache.count_calls("hgetall")
    read_history([UUID(int=1)], start.replace(year=2020), end.replace(year=2020))
    read_history([UUID(int=1)], start.replace(year=2090), end.replace(year=2090))
    assert read_history([], start, end) == {}
    assert redis_cache.count_calls("hgetall") == before
