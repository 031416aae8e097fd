"""The stand-in that counts in this process."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
import time_machine

from closient_auth.limits import local as module
from closient_auth.limits.local import LocalStore
from closient_auth.limits.windows import Window, WindowState
from tests.limits.conftest import seconds_left

MINUTE, DAY = Window(3, 60), Window(10, 86_400)


@pytest.fixture(params=[0, 17.5, 38, 59.999])
def clock(monkeypatch, request):
    """Return a clock; a test sets it by assigning to ``clock.now``. The tests start at several moments of a minute."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    with time_machine.travel(1_800_000_000 + request.param, tick=False):
        yield clock


@pytest.fixture
def store(clock):
    return LocalStore()


def admit(store, tries, windows=(MINUTE, DAY), identifier="somebody"):
    return sum(store.count(identifier, windows).allowed for _ in range(tries))


def counts(states):
    return [state.count for state in states]


def test_it_admits_the_limit_and_counts_in_all_windows_or_in_none(store):
    assert admit(store, 5) == 3
    assert counts(store.look("somebody", [MINUTE, DAY])) == [3, 3]
    assert admit(store, 1, identifier="somebody else") == 1


def test_windows_end_as_in_the_shared_stores(store):
    for identifier in map(str, range(100)):
        for window in (MINUTE, DAY):
            (state,) = store.count(identifier, [window]).states
            assert state.reset == seconds_left(identifier, window.period)


def test_the_next_window_starts_at_the_end_of_this_one(store, clock):
    (state,) = store.look("somebody", [MINUTE])
    # The clock may be within its second.
    clock.now -= time.time() % 1
    assert admit(store, 5) == 3

    clock.now += state.reset - 0.1
    assert admit(store, 5) == 0
    clock.now += 0.1
    assert admit(store, 5) == 3
    assert store.look("somebody", [MINUTE])[0].reset == 60
    clock.now += 150
    assert store.look("somebody", [MINUTE]) == (WindowState(MINUTE, 0, 30),)


def test_it_continues_from_the_last_known_count(store):
    store.remember("somebody", [WindowState(MINUTE, 2, 40), WindowState(DAY, 7, 4_000)], [0, 0])

    assert store.look("somebody", [MINUTE, DAY]) == (WindowState(MINUTE, 2, 40), WindowState(DAY, 7, 4_000))
    assert admit(store, 5) == 1


def test_a_late_answer_does_not_lower_the_count(store):
    store.remember("somebody", [WindowState(MINUTE, 3, 40)], [0])
    store.remember("somebody", [WindowState(MINUTE, 1, 40)], [0])

    assert admit(store, 5) == 0


def test_several_stalls_in_one_window_admit_the_limit_once(store, clock):
    admitted = 0
    for number in range(10):
        # The shared store does not know what this process counted.
        store.remember("somebody", [WindowState(MINUTE, 1, 50 - number)], [0])
        admitted += admit(store, 5, [MINUTE])
        clock.now += 1

    assert admitted == 2


def test_a_new_window_of_the_shared_store_starts_a_new_count(store, clock):
    store.remember("somebody", [WindowState(MINUTE, 1, 1)], [0])
    assert admit(store, 5, [MINUTE]) == 2
    # The shared store's window ends up to a second earlier than its whole seconds say.
    clock.now += 0.5
    store.remember("somebody", [WindowState(MINUTE, 1, 60)], [0])

    assert admit(store, 5, [MINUTE]) == 2


def test_the_shared_store_s_clock_is_followed(store, clock):
    """Web servers with another clock would otherwise start a window in the middle."""
    store.remember("somebody", [WindowState(MINUTE, 3, 20)], [0])
    clock.now += 20.5

    assert admit(store, 5, [MINUTE]) == 3
    assert store.look("somebody", [MINUTE])[0].reset == 60


def test_the_shared_store_is_told_once_what_it_does_not_know(store):
    windows = [MINUTE, DAY]
    assert store.take_owed("somebody", windows) == [0, 0]
    store.count("somebody", windows, is_owed=True)
    store.count("somebody", windows, is_owed=True)
    # The shared store may have counted this one, and only its response was lost.
    store.count("somebody", windows)
    assert store.take_owed("somebody else", windows) == [0, 0]

    owed = store.take_owed("somebody", windows)
    assert owed == [2, 2]
    assert store.take_owed("somebody", windows) == [0, 0]
    # Until it is told, the requests stay counted.
    assert admit(store, 2) == 0
    store.return_owed("somebody", windows, owed)
    assert store.take_owed("somebody", windows) == owed
    minute, day = (state.reset for state in store.look("somebody", windows))
    store.remember("somebody", [WindowState(MINUTE, 2, minute), WindowState(DAY, 8, day)], owed)

    assert counts(store.look("somebody", windows)) == [3, 9]
    assert store.take_owed("somebody", windows) == [0, 0]


def test_nothing_is_owed_after_the_window(store, clock):
    store.count("somebody", [MINUTE], is_owed=True)
    clock.now += 60
    assert store.take_owed("somebody", [MINUTE]) == [0]

    store.count("somebody", [MINUTE], is_owed=True)
    owed = store.take_owed("somebody", [MINUTE])
    clock.now += 60
    store.remember("somebody", [WindowState(MINUTE, 2, 60)], owed)
    assert counts(store.look("somebody", [MINUTE])) == [2]


def test_a_client_has_a_counter_of_its_own(store):
    share = Window(1, 60, "10.0.0.1")

    assert admit(store, 3, [share, MINUTE]) == 1
    assert admit(store, 3, [Window(1, 60, "10.0.0.2"), MINUTE]) == 1
    assert counts(store.look("somebody", [share, MINUTE])) == [1, 2]


def test_memory_is_bounded_and_keeps_the_counters_in_use(store, monkeypatch):
    monkeypatch.setattr(module, "CAPACITY", 100)
    admit(store, 3)

    for number in range(1_000):
        admit(store, 1, identifier=str(number))
        store.look("somebody", [MINUTE, DAY])

    assert len(store._counters) == 100
    assert admit(store, 3) == 0


def test_threads_admit_the_limit_together():
    store, window, admitted = LocalStore(), Window(1_000, 86_400), []
    start = threading.Barrier(8)

    def count():
        start.wait()
        admitted.append(admit(store, 300, [window]))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(admitted) == 1_000
