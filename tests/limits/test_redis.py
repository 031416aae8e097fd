"""The behaviour of the Redis store and its script."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import count

import pytest
import time_machine

from closient_auth.limits import counter
from closient_auth.limits.counter import count_request, read_windows
from closient_auth.limits.ratelimit import RatelimitStore
from closient_auth.limits.redis import BUDGET, TIMEOUT, Server
from closient_auth.limits.windows import CountRefused, StoreUnavailable, Window
from tests.limits.conftest import DJANGO, DJANGO_REDIS, needs_redis, proxied_url

pytestmark = needs_redis

WINDOWS = [Window(300, 60), Window(10_000, 86_400)]
KEY = b":1:closient_auth:limits:{somebody}"
ODD_POOL = "tests.limits.pools.OddPool"


def store():
    return type(counter._get_counter().store)


def counts(states):
    return [state.count for state in states]


@pytest.mark.parametrize("backend", [DJANGO, DJANGO_REDIS])
def test_a_request_is_one_round_trip(proxy, server, use_cache, backend):
    use_cache(BACKEND=backend, LOCATION=proxied_url(proxy))
    count_request("somebody", WINDOWS)
    proxy.turns = 0
    before = server.info("commandstats")

    for _ in range(10):
        count_request("somebody", WINDOWS)
    read_windows("somebody", WINDOWS)

    assert proxy.turns == 11
    assert proxy.connections == 1
    after = server.info("commandstats")
    assert after["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"] >= 11


def test_a_new_connection_asks_for_little_more(proxied, proxy, server):
    server.script_flush()

    count_request("somebody", WINDOWS)

    # The round trips are SELECT, EVALSHA, and EVAL because this Redis does not know the script yet.
    assert proxy.turns <= 3


def test_elsewhere_it_takes_six_at_most(proxy, server, use_cache):
    use_cache(BACKEND=DJANGO_REDIS, LOCATION=proxied_url(proxy), OPTIONS={"CONNECTION_POOL_CLASS": ODD_POOL})
    assert store() is RatelimitStore
    for _ in range(2):
        count_request("somebody", WINDOWS)
    proxy.turns = 0

    count_request("somebody", WINDOWS)

    assert proxy.turns <= 6


def test_all_windows_are_one_key_and_those_of_a_client_another(proxied, proxy, server):
    """The braces put both into one slot of a Redis Cluster."""
    count_request("somebody", WINDOWS)
    assert server.keys() == [KEY]
    proxy.turns = 0

    count_request("somebody", [Window(5, 60, "10.0.0.1"), *WINDOWS])

    assert proxy.turns == 1
    assert sorted(server.keys()) == [KEY, KEY + b":10.0.0.1"]
    assert 0 < server.ttl(KEY + b":10.0.0.1") <= 60


def test_the_key_ends_with_its_longest_window(proxied, server):
    states = count_request("somebody", WINDOWS).states
    count_request("other", WINDOWS[::-1])

    assert server.ttl(KEY) in {states[1].reset, states[1].reset - 1}
    assert server.ttl(KEY.replace(b"somebody", b"other")) > 60
    server.persist(KEY)
    server.hset(KEY, "60:end", 1)
    count_request("somebody", WINDOWS)
    assert 0 < server.ttl(KEY) <= states[1].reset


@pytest.mark.parametrize("seconds", [-300, 300, -30])
def test_a_clock_that_was_set_starts_a_new_count(proxied, server, seconds):
    """The stored end of the window is then not the end of the current window."""
    windows = [Window(2, 60)]
    for _ in range(3):
        count_request("somebody", windows)
    server.hset(KEY, "60:end", int(server.hget(KEY, "60:end")) - seconds)

    verdict = count_request("somebody", windows)

    assert verdict.allowed
    assert counts(verdict.states) == [1]
    assert 1 <= verdict.tightest.reset <= 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("60:count", "many"),
        ("60:count", ""),
        ("60:count", "nan"),
        ("60:count", "-1000000"),
        ("60:count", "1.5"),
        ("60:count", "0x10"),
        ("60:end", "soon"),
        ("86400:count", None),
    ],
)
def test_a_field_with_junk_is_no_count(proxied, server, field, value):
    windows = [Window(3, 60), Window(10, 86_400)]
    count_request("somebody", windows)
    server.hdel(KEY, field) if value is None else server.hset(KEY, field, value)

    store = counter._get_counter().store
    for ask in (lambda: store.count("somebody", windows, [0, 0]), lambda: store.look("somebody", windows)):
        with pytest.raises(CountRefused, match="contains an invalid count"):
            ask()
    assert [count_request("somebody", windows).allowed for _ in range(4)] == [True, True, False, False]
    assert counts(count_request("somebody else", windows).states) == [1, 1]


def test_an_answer_of_another_length_is_no_count(proxied, monkeypatch, lines):
    monkeypatch.setattr(Server, "evaluate", lambda *args: [1, 5, 60])

    assert counts(count_request("somebody", WINDOWS).states) == [1, 1]
    assert lines() == ["rate_limits=unavailable fail_open=True error=ValueError"]


def test_a_forgotten_script_is_sent_again(proxied, server):
    count_request("somebody", WINDOWS)
    server.script_flush()

    assert counts(count_request("somebody", WINDOWS).states) == [2, 2]
    server.flushdb()
    assert counts(count_request("somebody", WINDOWS).states) == [1, 1]


def test_a_restarted_server_costs_no_request(own_server, use_cache):
    use_cache(BACKEND=DJANGO, LOCATION=own_server.url)
    count_request("somebody", WINDOWS)
    own_server.stop()
    own_server.start()

    assert counts(count_request("somebody", WINDOWS).states) == [1, 1]


def test_connections_that_ended_are_replaced(proxied, proxy):
    count_request("somebody", WINDOWS)
    proxy.drop()

    assert counts(count_request("somebody", WINDOWS).states) == [2, 2]
    assert proxy.connections == 2


@pytest.mark.parametrize("is_refusal", [False, True])
def test_an_answer_counts_however_late_it_is_read(proxied, monkeypatch, is_refusal):
    """A delayed thread is not an outage. Otherwise a flood of requests would switch off its own limits."""
    windows = [Window(1, 60)] if is_refusal else WINDOWS
    count_request("somebody", windows)
    clock = count(0, 3600)
    monkeypatch.setattr("closient_auth.limits.redis.monotonic", lambda: next(clock))

    verdict = count_request("somebody", windows)

    assert (verdict.allowed, verdict.states[0].count) == ((False, 1) if is_refusal else (True, 2))


@pytest.mark.parametrize(
    ("asked_again_at", "expected"),
    [(BUDGET - TIMEOUT, None), (BUDGET - TIMEOUT + 0.001, "no time is left to retry")],
)
@pytest.mark.parametrize("lost", ["connection", "script"])
@pytest.mark.hurried
def test_the_budget_is_for_all_that_is_waited_for(proxied, proxy, monkeypatch, server, lost, asked_again_at, expected):
    count_request("somebody", WINDOWS)
    proxy.drop() if lost == "connection" else server.script_flush()
    store = counter._get_counter().store
    clock = iter([0, asked_again_at])
    monkeypatch.setattr("closient_auth.limits.redis.monotonic", lambda: next(clock))

    with pytest.raises(StoreUnavailable, match=f"^{expected}$") if expected else nullcontext():
        store.count("somebody", WINDOWS, [0, 0])


def test_threads_share_the_client_and_no_connection(proxied, proxy):
    count_request("somebody", WINDOWS)
    start = threading.Barrier(8)

    def count():
        start.wait()
        for _ in range(50):
            assert count_request("somebody", [Window(10_000, 60)]).allowed

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts(read_windows("somebody", [Window(10_000, 60)])) == [401]
    assert proxy.connections <= 8


def test_a_server_that_is_emptied_under_load_fails_no_request(proxied, server):
    done = threading.Event()

    def flush():
        while not done.wait(0.002):
            server.flushdb()
            server.script_flush()

    def use(_):
        return {count_request("somebody", [Window(10_000, 60), Window(10_000, 86_400)]).allowed for _ in range(200)}

    flusher = threading.Thread(target=flush)
    flusher.start()
    with ThreadPoolExecutor(4) as threads:
        # An error in a thread is raised here.
        answers = list(threads.map(use, range(4)))
    done.set()
    flusher.join()

    assert answers == [{True}] * 4
    assert counts(read_windows("somebody", WINDOWS))[0] < 800


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_connects_by_itself(proxied, proxy):
    count_request("somebody", WINDOWS)

    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if counts(count_request("somebody", WINDOWS).states) == [2, 2] else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert counts(count_request("somebody", WINDOWS).states) == [3, 3]
    assert proxy.connections == 2


def test_redis_tells_the_time(proxied):
    """Web servers with different clocks share their windows."""
    verdict = count_request("somebody", WINDOWS)
    for seconds in (-30, 30, 86_400):
        with time_machine.travel(time.time() + seconds):
            again = count_request("somebody", WINDOWS)
        assert again.tightest.reset in {verdict.tightest.reset, verdict.tightest.reset - 1}
    assert counts(again.states) == [4, 4]
