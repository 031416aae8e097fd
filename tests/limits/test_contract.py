"""The behaviour of all stores."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import redis
from django.core.cache import caches

from closient_auth.limits import counter
from closient_auth.limits.counter import count_request, read_windows
from closient_auth.limits.windows import Window
from tests.limits.conftest import DJANGO, DJANGO_REDIS, LOCAL_MEMORY, REDIS_URL, needs_redis, seconds_left

CACHES: dict[str, dict[str, Any]] = {
    "local memory": LOCAL_MEMORY,
    "redis": {"BACKEND": DJANGO, "LOCATION": REDIS_URL},
    "redis, counted by django-ratelimit": {
        "BACKEND": DJANGO,
        "LOCATION": REDIS_URL,
        "OPTIONS": {"pool_class": "tests.limits.pools.OddPool"},
    },
    "django-redis": {"BACKEND": DJANGO_REDIS, "LOCATION": REDIS_URL},
    "django-redis, counted by django-ratelimit": {
        "BACKEND": DJANGO_REDIS,
        # django-redis caches a pool for each address, with the class of its first use. This address is used only here.
        "LOCATION": f"{REDIS_URL}?client_name=odd",
        "OPTIONS": {"CONNECTION_POOL_CLASS": "tests.limits.pools.OddPool"},
    },
}
DAY = 86_400
# Errors of the package, of Django's cache and of Redis.
NO_COUNT = "the cache contains an invalid count|UnpicklingError|WRONGTYPE .*"


class LocalMemory:
    """Direct access to the data of the local memory cache."""

    def lifetimes(self):
        now = time.time()
        return [expires_at and expires_at - now for expires_at in vars(caches["default"])["_expire_info"].values()]

    def spoil(self):
        for key in list(vars(caches["default"])["_cache"]):
            caches["default"].set(key.removeprefix(":1:"), "junk")


class Redis:
    """Direct access to the data of Redis."""

    def __init__(self):
        self.client = redis.Redis.from_url(REDIS_URL)

    def lifetimes(self):
        return [self.client.ttl(key) for key in self.client.scan_iter()]

    def spoil(self):
        for key in self.client.scan_iter():
            self.client.set(key, "junk", ex=60)


@pytest.fixture(params=[pytest.param(name, marks=needs_redis if "redis" in name else ()) for name in CACHES])
def kept(request, use_cache):
    """Return access to the stored data. Each test runs once for each kind of cache."""
    cache = use_cache(**CACHES[request.param])
    cache.clear()
    yield LocalMemory() if request.param == "local memory" else Redis()
    cache.clear()


def counts(states):
    return [state.count for state in states]


@pytest.mark.parametrize("limit", [1, 2, 59, 60, 61])
def test_it_admits_as_many_as_the_limit_and_no_more(kept, limit):
    windows = [Window(limit, 60), Window(10_000, 86_400)]

    assert [count_request("somebody", windows).allowed for _ in range(limit + 2)] == [True] * limit + [False] * 2


def test_the_day_holds_as_the_minute_does(kept):
    windows = [Window(300, 60), Window(3, 86_400)]

    assert [count_request("somebody", windows).allowed for _ in range(5)] == [True] * 3 + [False] * 2


def test_a_request_refused_by_the_minute_leaves_the_day_as_it_is(kept):
    windows = [Window(2, 60), Window(5, 86_400)]

    verdicts = [count_request("somebody", windows) for _ in range(9)]

    assert [verdict.allowed for verdict in verdicts] == [True] * 2 + [False] * 7
    assert counts(verdicts[-1].states) == [2, 2]
    assert counts(read_windows("somebody", windows)) == [2, 2]


def test_a_request_refused_by_the_day_leaves_the_minute_as_it_is(kept):
    windows = [Window(5, 60), Window(2, 86_400)]

    verdicts = [count_request("somebody", windows) for _ in range(9)]

    assert [verdict.allowed for verdict in verdicts] == [True] * 2 + [False] * 7
    assert counts(read_windows("somebody", windows)) == [2, 2]


def test_states_tell_what_is_left_and_until_when(kept):
    windows = [Window(300, 60), Window(10_000, 86_400)]
    count_request("somebody", windows)

    before = [seconds_left("somebody", window.period) for window in windows]
    verdict = count_request("somebody", windows)
    after = [seconds_left("somebody", window.period) for window in windows]

    assert [state.window for state in verdict.states] == windows
    assert [state.remaining for state in verdict.states] == [298, 9_998]
    for state, first, last in zip(verdict.states, before, after, strict=True):
        assert last <= state.reset <= first


def test_looking_counts_nothing(kept):
    windows = [Window(2, 60), Window(10, 86_400)]

    assert counts(read_windows("somebody", windows)) == [0, 0]
    assert kept.lifetimes() == []
    count_request("somebody", windows)

    looks = [read_windows("somebody", windows) for _ in range(5)]

    assert {tuple(counts(look)) for look in looks} == {(1, 1)}
    assert [state.remaining for state in looks[-1]] == [1, 9]


def test_no_window_is_nothing_to_look_at(kept):
    assert read_windows("somebody", []) == ()


def test_an_edited_limit_keeps_the_count(kept):
    for _ in range(3):
        count_request("somebody", [Window(3, 60), Window(10, 86_400)])

    assert not count_request("somebody", [Window(3, 60), Window(10, 86_400)]).allowed
    assert not count_request("somebody", [Window(2, 60), Window(10, 86_400)]).allowed
    raised = count_request("somebody", [Window(5, 60), Window(10, 86_400)])
    assert raised.allowed
    assert counts(raised.states) == [4, 4]


def test_an_unlimited_window_is_left_out_and_the_other_goes_on(kept):
    count_request("somebody", [Window(5, 60), Window(10, 86_400)])

    verdict = count_request("somebody", [Window(10, 86_400)])

    assert counts(verdict.states) == [2]
    assert counts(count_request("somebody", [Window(5, 60), Window(10, 86_400)]).states) == [2, 3]


def test_a_day_is_not_forgotten_while_only_the_shorter_window_is_counted(kept):
    windows = [Window(5, 1), Window(10, 86_400)]
    count_request("somebody", windows)
    time.sleep(1)

    count_request("somebody", windows[:1])

    assert max(kept.lifetimes()) > 2
    assert count_request("somebody", windows).states[1].count == 2


def test_a_longer_window_that_begins_later_is_kept_to_its_end(kept):
    count_request("somebody", [Window(5, 60)])

    (state,) = count_request("somebody", [Window(5, 3_600)]).states

    assert max(kept.lifetimes()) >= state.reset - 1


def test_nobody_counts_for_another(kept):
    windows = [Window(1, 60), Window(10, 86_400)]
    count_request("somebody", windows)

    assert not count_request("somebody", windows).allowed
    assert count_request("somebody else", windows).allowed


def test_who_waits_as_long_as_told_may_pass(kept):
    windows = [Window(1, 1)]
    while (verdict := count_request("somebody", windows)).allowed:
        continue

    time.sleep(verdict.tightest.reset)

    again = count_request("somebody", windows)
    assert again.allowed
    assert counts(again.states) == [1]


def test_counters_never_live_without_an_end(kept):
    windows = [Window(2, 60), Window(10, 86_400)]

    for _ in range(4):
        count_request("somebody", windows)
        read_windows("somebody", windows)
        lifetimes = kept.lifetimes()
        assert lifetimes
        assert all(lifetime is not None and 0 < lifetime <= 86_400 + 5 for lifetime in lifetimes)


@pytest.mark.parametrize("is_open", [True, False])
def test_junk_does_not_make_its_identifier_unlimited(kept, settings, lines, is_open):
    """This process counts instead, whatever the policy. The counters of others are not affected."""
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": is_open}
    windows = [Window(2, 60), Window(10, 86_400)]
    count_request("somebody", windows)
    kept.spoil()

    assert [count_request("somebody", windows).allowed for _ in range(5)] == [True] + [False] * 4
    assert counts(read_windows("somebody", windows)) == [2, 2]
    assert counts(count_request("somebody else", windows).states) == [1, 1]
    (line,) = lines()
    assert re.fullmatch(rf"rate_limits=unavailable fail_open={is_open} error=({NO_COUNT})", line)


@pytest.mark.parametrize("is_open", [True, False])
def test_limits_that_are_switched_off_are_not_unlimited(kept, settings, lines, is_open):
    settings.RATELIMIT_ENABLE = False
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": is_open}

    assert [count_request("somebody", [Window(2, 60)]).allowed for _ in range(4)] == [True, True, False, False]
    assert counts(read_windows("somebody", [Window(2, 60)])) == [2]
    assert kept.lifetimes() == []
    assert lines() == [f"rate_limits=unavailable fail_open={is_open} error=RATELIMIT_ENABLE is False"]


def test_a_client_s_share(kept):
    """Its window is in the same count as the others, and a client over its share does not use up theirs."""
    shared = [Window(5, 60), Window(100, 86_400)]

    def ask(client):
        verdict = count_request("somebody", [Window(3, 60, client), *shared])
        return verdict.allowed, verdict.tightest.window.client

    greedy = [ask("10.0.0.1") for _ in range(6)]
    assert greedy[:3] == [(True, "10.0.0.1")] * 3
    assert greedy[3:] == [(False, "10.0.0.1")] * 3
    assert counts(read_windows("somebody", shared)) == [3, 3]
    assert [ask("2001:db8::/64") for _ in range(4)] == [(True, ""), (True, ""), (False, ""), (False, "")]
    assert counts(read_windows("somebody", [Window(3, 60, "2001:db8::/64"), *shared])) == [2, 5, 5]
    assert counts(count_request("somebody else", [Window(3, 60, "10.0.0.1")]).states) == [1]


def test_requests_that_were_counted_elsewhere_are_added(kept):
    store = counter._get_counter().store
    windows = [Window(2, DAY, "10.0.0.1"), Window(5, 60), Window(100, DAY)]

    assert counts(store.count("somebody", windows, [1, 0, 1]).states) == [2, 1, 2]
    verdict = store.count("somebody", windows, [2, 3, 4])
    assert not verdict.allowed
    assert counts(verdict.states) == counts(store.look("somebody", windows)) == [4, 4, 6]
    # Nobody asks the store for this one again until the next window.
    assert store.count("somebody else", [Window(3, DAY)], [3]).allowed is False
    assert counts(store.look("somebody else", [Window(3, DAY)])) == [3]
    assert all(0 < lifetime <= DAY + 5 for lifetime in kept.lifetimes())


def test_a_client_s_window_ends_by_its_own_name(kept):
    window = Window(3, 60, "10.0.0.1")
    before = seconds_left("somebody:10.0.0.1", 60)
    (state,) = count_request("somebody", [window]).states
    after = seconds_left("somebody:10.0.0.1", 60)

    assert after <= state.reset <= before
