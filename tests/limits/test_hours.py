"""The usage that Redis records in the round trip of the limits."""

from __future__ import annotations

import time

import pytest

from closient_auth.limits import counter
from closient_auth.limits.counter import count_request, read_hours, read_windows
from closient_auth.limits.windows import Count, StoreUnavailable, Window
from tests.limits.conftest import DJANGO, DJANGO_REDIS, LOCAL_MEMORY, needs_redis, proxied_url

WINDOWS = [Window(3, 60), Window(10_000, 86_400)]
CLIENT = Window(2, 60, "10.0.0.1")
KEY = b":1:closient_auth:usage:{somebody}"


def send(number, windows=WINDOWS, identifier="somebody"):
    return [count_request(identifier, windows, records=True) for _ in range(number)]


def get_hour():
    return int(time.time()) // 3600


@pytest.fixture(autouse=True)
def far_from_the_next_hour():
    while time.time() % 3600 > 3590:
        time.sleep(0.1)


@needs_redis
@pytest.mark.parametrize("backend", [DJANGO, DJANGO_REDIS])
def test_a_request_is_recorded_in_the_same_round_trip(proxy, server, use_cache, backend):
    use_cache(BACKEND=backend, LOCATION=proxied_url(proxy))
    read_windows("somebody", WINDOWS)
    proxy.turns = 0

    verdicts = send(5)

    assert proxy.turns == 5
    assert [(verdict.allowed, verdict.is_recorded) for verdict in verdicts] == [(True, True)] * 3 + [(False, True)] * 2
    assert read_hours(["somebody", "other"]) == [{get_hour(): Count(3, 2)}, {}]
    assert proxy.turns == 6


@needs_redis
def test_what_is_not_to_be_recorded_is_not(proxied, server):
    assert not count_request("somebody", WINDOWS).is_recorded
    read_windows("somebody", WINDOWS)

    assert not server.exists(KEY)
    assert read_hours(["somebody"]) == [{}]


@needs_redis
def test_a_request_without_windows_is_recorded(proxied, server, proxy):
    verdicts = send(2, [])
    assert [(verdict.allowed, verdict.states, verdict.is_recorded) for verdict in verdicts] == [(True, (), True)] * 2
    assert server.keys() == [KEY]
    assert read_hours(["somebody"]) == [{get_hour(): Count(2, 0)}]


@needs_redis
def test_a_request_with_windows_of_a_client_is_recorded_once(proxied, server):
    send(3, [CLIENT, *WINDOWS])
    assert read_hours(["somebody"]) == [{get_hour(): Count(2, 1)}]


@needs_redis
def test_old_hours_are_deleted_and_the_hash_expires(proxied, server):
    hour = get_hour()
    kept = {f"{hour - 48}:requests": 7, f"{hour - 48}:refused": 1}
    server.hset(KEY, mapping={**kept, f"{hour - 49}:requests": 8, "junk": "junk", "": ""})

    send(1)

    fields = {name.decode(): int(value) for name, value in server.hgetall(KEY).items()}
    assert fields == {**kept, f"{hour}:requests": 1}
    assert 48 * 3600 < server.ttl(KEY) <= 49 * 3600
    # The other requests of the hour do not look at the other fields.
    server.hset(KEY, "junk", "junk")
    server.persist(KEY)
    send(1)
    assert server.hexists(KEY, "junk")
    assert read_hours(["somebody"]) == [{hour - 48: Count(7, 1), hour: Count(2, 0)}]


@needs_redis
@pytest.mark.parametrize("fault", ["type", "field", "full", "forbidden"])
def test_a_fault_of_the_hash_is_no_fault_of_the_limits(own_server, use_cache, fault, lines):
    use_cache(BACKEND=DJANGO, LOCATION=own_server.url)
    hour = get_hour()
    with own_server.connect(1) as client:
        if fault == "type":
            client.set(KEY, "text")
        elif fault == "field":
            client.hset(KEY, f"{hour}:requests", "many")
        elif fault == "full":
            client.hset(KEY, f"{hour}:requests", 2**63 - 1)
        else:
            own_server.run("ACL", "SETUSER", "default", "-hkeys", "-hdel")

    verdicts = send(3)

    assert [(verdict.allowed, verdict.states[0].count) for verdict in verdicts] == [(True, 1), (True, 2), (True, 3)]
    assert {verdict.is_recorded for verdict in verdicts} == {fault == "forbidden"}
    assert read_hours(["somebody"]) == [{hour: Count(3)} if fault == "forbidden" else {}]
    assert lines() == []


@needs_redis
def test_fields_that_the_script_does_not_write_are_ignored(proxied, server):
    hour = get_hour()
    send(1)
    fields = {
        f"{hour - 1}": 1,
        "requests": 1,
        f"{hour - 1}:other": 1,
        f"x{hour - 1}:requests": 1,
        "1" * 8 + ":requests": 1,
    }
    values = {f"{hour - 1}:requests": "many", f"{hour - 2}:requests": "-1", f"{hour - 3}:refused": "9" * 19}
    server.hset(KEY, mapping={**fields, **values})
    assert read_hours(["somebody"]) == [{hour: Count(1, 0)}]


@needs_redis
def test_many_identifiers_are_one_round_trip(proxied, proxy, server):
    names = [f"name {number}" for number in range(50)]
    for name in names[::10]:
        send(1, identifier=name)
    proxy.turns = 0

    hours = read_hours(names)

    assert hours is not None
    assert [len(found) for found in hours] == [1, *[0] * 9] * 5
    assert proxy.turns == 1
    assert proxy.connections == 1


@needs_redis
def test_a_read_that_fails_does_not_open_the_circuit(own_server, use_cache, soon):
    use_cache(BACKEND=DJANGO, LOCATION=own_server.url)
    send(1)
    own_server.run("ACL", "SETUSER", "default", "-hgetall")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"^NoPermissionError$"):
            read_hours(["somebody"])
    assert counter._get_counter().breaker._is_failing is False
    own_server.run("ACL", "SETUSER", "default", "+hgetall")
    assert read_hours(["somebody"]) == [{get_hour(): Count(1, 0)}]


@needs_redis
def test_a_stalled_server_costs_a_timeout_and_no_count(own_server, use_cache, monkeypatch):
    monkeypatch.setattr("closient_auth.limits.redis.TIMEOUT", 0.06)
    use_cache(BACKEND=DJANGO, LOCATION=own_server.url)
    own_server.freeze()
    for records, windows in [(True, []), (True, WINDOWS)]:
        verdict = count_request("somebody", windows, records=records)
        assert (verdict.allowed, verdict.is_recorded) == (True, False)
    with pytest.raises(StoreUnavailable, match="TimeoutError"):
        read_hours(["somebody"])


def test_without_a_window_an_outage_refuses_no_request(cache_away, settings):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": False}
    with pytest.raises(StoreUnavailable):
        count_request("somebody", WINDOWS, records=True)
    verdict = count_request("somebody", [], records=True)
    assert (verdict.allowed, verdict.states, verdict.is_recorded) == (True, (), False)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_other_caches_record_nothing(use_cache, settings, is_enabled):
    use_cache(**LOCAL_MEMORY, LOCATION="hours")
    settings.RATELIMIT_ENABLE = is_enabled
    assert [(verdict.allowed, verdict.is_recorded) for verdict in send(1)] == [(True, False)]
    assert [(verdict.allowed, verdict.is_recorded) for verdict in send(1, [])] == [(True, False)]
    assert read_hours(["somebody"]) is None
