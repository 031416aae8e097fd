"""The package relies on private functions and on undocumented behaviour of django-ratelimit."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from importlib import metadata

import pytest
import time_machine
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django_ratelimit import ALL
from django_ratelimit.core import _get_window, _make_cache_key, get_usage

from closient_auth.limits.counter import count_request, read_windows
from closient_auth.limits.ratelimit import GROUP, RatelimitStore
from closient_auth.limits.windows import StoreUnavailable, Window
from tests.limits.conftest import LOCAL_MEMORY

WINDOWS = [Window(300, 60), Window(10_000, 86_400)]


class SlowCache(LocMemCache):
    """A cache with slow reads: each takes five seconds."""

    travel: time_machine.Traveller

    def get_many(self, keys, version=None):
        found = super().get_many(keys, version)
        self.travel.shift(5)
        return found


class TripsCache(LocMemCache):
    """A cache with a record of its operations."""

    trips: list[str] = []

    def get_many(self, keys, version=None):
        self.trips.append("get_many")
        return {key: value for key in keys if (value := super(TripsCache, self).get(key)) is not None}

    def add(self, key, value, timeout=None, version=None):
        self.trips.append("add")
        return super().add(key, value, timeout, version)

    def incr(self, key, delta=1, version=None):
        self.trips.append("incr")
        return super().incr(key, delta, version)


class RivalCache(LocMemCache):
    """Simulate other requests: they use up the limit between the read and the count."""

    def get_many(self, keys, version=None):
        found = super().get_many(keys, version)
        self.set(keys[0], 3)
        return found


class DeafCache(LocMemCache):
    """An unavailable cache. It hides its errors, as memcached and django-redis can be configured to do."""

    def get_many(self, keys, version=None):
        return {}

    def add(self, key, value, timeout=None, version=None):
        return False

    def incr(self, key, delta=1, version=None):
        raise ValueError(key)


@pytest.fixture
def use(use_cache):
    def use(cache_class):
        return use_cache(BACKEND=f"{__name__}.{cache_class.__name__}", LOCATION=cache_class.__name__)

    yield use
    caches["default"].clear()


def test_the_private_functions_are_those_we_know():
    assert metadata.version("django-ratelimit").startswith("4.")
    assert list(inspect.signature(_get_window).parameters) == ["value", "period"]
    assert list(inspect.signature(_make_cache_key).parameters) == ["group", "window", "rate", "value", "methods"]


@time_machine.travel(1_800_000_000.5, tick=False)
def test_they_name_the_key_that_it_counts_in(use_cache):
    cache = use_cache(BACKEND="django.core.cache.backends.locmem.LocMemCache", LOCATION="names")
    for count in (1, 2, 3):
        state = get_usage(
            request=None, group=GROUP, key=lambda group, request: "somebody", rate=(1, 60), increment=True
        )
        end = _get_window("somebody", 60)

        assert cache.get(_make_cache_key(GROUP, end, (1, 60), "somebody", ALL)) == count
        assert state["count"] == count
        assert state["time_left"] == end - int(time.time())


def test_no_two_counters_share_a_key():
    names = {
        _make_cache_key(GROUP, end, (1, period), identifier, ALL)
        for identifier in (f"{number:032x}" for number in range(2_000))
        for period, end in ((60, 1_800_000_000), (60, 1_800_000_060), (86_400, 1_800_000_000), (1, 1), (11, 1))
    }

    assert len(names) == 10_000
    assert not GROUP[-1].isdigit()


def test_a_request_takes_six_trips_at_most(use):
    use(TripsCache)
    count_request("somebody", WINDOWS)
    TripsCache.trips.clear()

    count_request("somebody", WINDOWS)
    assert TripsCache.trips == ["get_many", "add", "incr", "add", "incr"]
    TripsCache.trips.clear()
    read_windows("somebody", WINDOWS)
    assert TripsCache.trips == ["get_many"]
    share = Window(9, 60, "10.0.0.1")
    for expected in ("add", "incr"):
        TripsCache.trips.clear()
        count_request("somebody", [share, *WINDOWS])
        assert TripsCache.trips == ["get_many", expected, "add", "incr", "add", "incr"]


def test_django_ratelimit_is_imported_where_it_counts():
    """Its private functions may change, and projects on Redis do not need them."""
    code = "import closient_auth.limits.counter, sys; sys.exit('django_ratelimit' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_it_looks_where_it_counts(settings):
    settings.CACHES = {name: {**LOCAL_MEMORY, "LOCATION": name} for name in ("default", "limits")}
    settings.RATELIMIT_USE_CACHE = "limits"

    count_request("somebody", WINDOWS)

    assert [state.count for state in read_windows("somebody", WINDOWS)] == [1, 1]
    caches["limits"].clear()


def test_a_window_that_ended_while_the_cache_was_asked_is_not_negative(use):
    use(SlowCache)
    # Start in the last second of the minute.
    with time_machine.travel(_get_window("somebody", 60), tick=False) as SlowCache.travel:
        (state,) = read_windows("somebody", [Window(300, 60)])

    assert state.reset == 1


@pytest.mark.parametrize("is_open", [True, False])
def test_a_cache_that_counts_nothing_is_unavailable(use, settings, is_open):
    settings.RATELIMIT_FAIL_OPEN = is_open
    use(DeafCache)

    for window in (Window(3, 60), Window(3, 60, "10.0.0.1")):
        with pytest.raises(StoreUnavailable, match="^the cache did not count$"):
            RatelimitStore("default").count("somebody", [window], [0])


@pytest.mark.parametrize("client", ["", "10.0.0.1"])
def test_who_finds_room_and_is_late_is_refused(use, client):
    use(RivalCache)

    verdict = count_request("somebody", [Window(3, 60, client), Window(10, 86_400)])

    assert verdict.allowed is False
    assert [state.count for state in verdict.states] == [4, 0]
