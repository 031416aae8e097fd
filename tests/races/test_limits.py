from __future__ import annotations

import multiprocessing
import time
from zlib import crc32

import pytest
from django.core.cache import cache

from closient_auth.limits import counter
from closient_auth.limits.counter import count_request, read_windows
from closient_auth.limits.ratelimit import RatelimitStore
from closient_auth.limits.windows import Window
from tests.limits.conftest import DJANGO, REDIS_URL, needs_redis

pytestmark = needs_redis

LIMIT, PROCESSES, ROUNDS, TRIES = 500, 4, 25, 10


def count(racer, windows, start, admitted):
    passed = 0
    for _ in range(ROUNDS):
        # Two processes could otherwise reach the limit on a busy machine before the others run.
        start.wait(30)
        passed += sum(count_request(racer, windows).allowed for _ in range(TRIES))
    admitted.put(passed)


@pytest.fixture
def race():
    """Return a function to count in several processes at once and return the admitted requests of each."""
    # Web servers fork after the parent process has connected to Redis.
    context = multiprocessing.get_context("fork")

    def race(racer, windows):
        read_windows(racer, windows)
        start, admitted = context.Barrier(PROCESSES), context.Queue()
        children = [context.Process(target=count, args=(racer, windows, start, admitted)) for _ in range(PROCESSES)]
        for child in children:
            child.start()
        results = [admitted.get(timeout=60) for _ in children]
        for child in children:
            child.join(60)
        return results

    return race


@pytest.fixture
def racer():
    """Yield a name whose window lasts at least 45 s more; a new window would admit more requests."""
    yield next(name for name in map(str, range(1_000)) if (crc32(name.encode()) - int(time.time())) % 60 > 45)
    cache.clear()


@pytest.fixture(params=[{}, {"pool_class": "tests.limits.pools.OddPool"}], ids=["script", "django-ratelimit"])
def counting(request, settings):
    """Count with the Lua script, and with django-ratelimit as the fallback."""
    settings.CACHES = {"default": {"BACKEND": DJANGO, "LOCATION": REDIS_URL, "OPTIONS": request.param}}
    is_ratelimit = isinstance(counter._get_counter().store, RatelimitStore)
    assert is_ratelimit is bool(request.param)
    return "django-ratelimit" if is_ratelimit else "script"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    "windows",
    [[Window(LIMIT, 60), Window(10 * LIMIT, 86_400)], [Window(10 * LIMIT, 60), Window(LIMIT, 86_400)]],
    ids=["minute", "day"],
)
def test_processes_admit_the_limit_together(counting, race, racer, windows):
    admitted = race(racer, windows)

    assert sum(admitted) == LIMIT
    # Each process ran until the limit was reached.
    full_rounds = LIMIT // (PROCESSES * TRIES)
    assert min(admitted) >= full_rounds * TRIES
    counts = [state.count for state in read_windows(racer, windows)]
    # django-ratelimit also counts requests refused during the race.
    assert counts == [LIMIT, LIMIT] if counting == "script" else min(counts) >= LIMIT
