"""The load on Redis, and the responses, during outages of different kinds."""

from __future__ import annotations

import signal
import time
from http import HTTPStatus

import pytest
import redis
import time_machine

from closient_auth.limits import breaker
from tests.factories import make_key
from tests.limits.conftest import DJANGO, PATIENCE, REDIS_URL, in_time, needs_redis, proxied_url
from tests.limits.faults import FAULTS, hang, have_another_type, refuse
from tests.proxy import Proxy

pytestmark = [needs_redis, pytest.mark.django_db]


@pytest.mark.hurried
def test_while_redis_is_away_nobody_asks_it(proxied, proxy, send, monkeypatch):
    # A busy machine may need longer than the interval for the requests below.
    monkeypatch.setattr(breaker, "PROBE_INTERVAL", 60)
    send()
    proxy.hang()
    for _ in range(3):
        send()
    connections = proxy.connections

    for _ in range(5):
        send()

    assert proxy.connections == connections


def test_requests_of_an_outage_are_counted_afterwards(proxied, proxy, send, soon):
    send()
    proxy.refuse()
    assert [send()[0]["RateLimit-Remaining"] for _ in range(20)] == [str(48 - number) for number in range(20)]
    proxy.restore()

    # Redis may have counted the request whose connection was lost, so it is not told about that one.
    assert send()[0]["RateLimit-Remaining"] == str(50 - 1 - 19 - 1)


def test_an_answer_lost_on_its_way_counts_twice_and_never_too_little(proxied, proxy, send):
    send()
    proxy.cut(3, once=True)

    assert send()[0]["RateLimit-Remaining"] == "47"


def test_a_slow_redis_is_waited_for(proxied, proxy, send):
    """The time-out applies to each response, and is not reached here."""
    proxy.delay(0.02)

    assert [send()[0]["RateLimit-Remaining"] for _ in range(3)] == ["49", "48", "47"]


@pytest.mark.hurried
def test_a_redis_that_is_slow_at_every_step_is_given_up(own_server, use_cache, send, lines):
    """Each step is in time, but a lost connection, login, SELECT and an unknown script together exceed the budget."""
    own_server.stop()
    own_server.start("--requirepass", "secret")
    with Proxy("127.0.0.1", own_server.port) as proxy:
        use_cache(BACKEND=DJANGO, LOCATION=f"redis://:secret@127.0.0.1:{proxy.port}/1")
        assert "RateLimit-Limit" in send()[0]
        with redis.Redis(port=own_server.port, password="secret") as server:
            server.script_flush()
        proxy.delay(0.053)
        proxy.cut(once=True)

        response, seconds = send()

    assert response["RateLimit-Remaining"] == "48"
    assert seconds < PATIENCE
    (line,) = lines()
    # On a busy machine a single step may time out first.
    assert line.endswith(("error=no time is left to retry", "error=TimeoutError"))


def test_flushed_counts_start_anew_and_nothing_else_happens(proxied, server, send, lines):
    for _ in range(3):
        send()
    server.flushdb()
    server.script_flush()

    assert [send()[0]["RateLimit-Remaining"] for _ in range(3)] == ["49", "48", "47"]
    assert lines() == []


@pytest.mark.hurried
def test_a_frozen_redis(own_server, use_cache, send, lines, forget, caplog):
    use_cache(BACKEND=DJANGO, LOCATION=own_server.url)

    def freeze():
        forget()
        caplog.clear()
        assert "RateLimit-Limit" in send()[0]
        own_server.process.send_signal(signal.SIGSTOP)
        try:
            return [send() for _ in range(6)]
        finally:
            own_server.process.send_signal(signal.SIGCONT)

    assert {response.status_code for response in in_time(freeze)} == {HTTPStatus.OK}
    assert lines() == ["rate_limits=unavailable fail_open=True error=TimeoutError"]


def test_a_redis_that_takes_no_writes(own_server, use_cache, send, lines, soon):
    """Test a replica after a failover, then a server without memory."""
    use_cache(BACKEND=DJANGO, LOCATION=own_server.url)
    send()
    with redis.Redis.from_url(own_server.url) as server:
        server.replicaof("127.0.0.1", own_server.port)
        assert [send()[0]["RateLimit-Remaining"] for _ in range(4)] == ["48", "47", "46", "45"]
        server.replicaof("NO", "ONE")
        assert send()[0]["RateLimit-Remaining"] == "48"
        assert lines() == ["rate_limits=unavailable fail_open=True error=ReadOnlyError", "rate_limits=available"]

        server.config_set("maxmemory", 1)
        assert [send()[0]["RateLimit-Remaining"] for _ in range(4)] == ["43", "42", "41", "40"]
        server.config_set("maxmemory", 0)
        assert send()[0]["RateLimit-Remaining"] == "47"


def test_one_junk_counter_is_one_key_s_trouble(proxied, server, send, call):
    _, other_key = make_key()
    send()
    have_another_type(None, server)

    for number in range(6):
        assert send()[0]["RateLimit-Remaining"] == str(48 - number)
        assert call("/who/", other_key)["RateLimit-Remaining"] == str(99 - number + 200)


@pytest.mark.parametrize("fault", [refuse, hang])
def test_the_other_path_stops_waiting_as_well(proxy, use_cache, suffer, lines, fault):
    """The time-out of this path is a setting of the cache."""
    options = {"pool_class": "tests.limits.pools.OddPool", "socket_timeout": 0.05, "retry": None}
    use_cache(BACKEND=DJANGO, LOCATION=proxied_url(proxy), OPTIONS=options)

    assert {response.status_code for response in suffer(fault)} == {HTTPStatus.OK}
    assert lines() == [f"rate_limits=unavailable fail_open=True error={FAULTS[fault]}"]


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_clock_that_steps_where_django_ratelimit_counts(use_cache, server, call, seconds):
    use_cache(BACKEND=DJANGO, LOCATION=REDIS_URL, OPTIONS={"pool_class": "tests.limits.pools.OddPool"})
    _, raw_key = make_key(rate_limit_per_minute=2)

    # Move the clock, return to a minute with a used-up limit, then move the clock again.
    for moved, expected in [(0, [200, 200, 429]), (seconds, [200, 200, 429]), (0, [429]), (seconds, [429])]:
        with time_machine.travel(time.time() + moved):
            responses = [call("/who/", raw_key) for _ in expected]
        assert [response.status_code for response in responses] == expected
        assert 1 <= int(responses[-1]["Retry-After"]) <= 60
