from __future__ import annotations

import logging
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest

from closient_auth.limits import breaker as module
from closient_auth.limits.breaker import Breaker
from closient_auth.limits.windows import CountRefused, StoreUnavailable

DOWN = "rate_limits=unavailable fail_open=True error=ConnectionRefusedError"
REFUSED = "rate_limits=unavailable fail_open=True error=junk"
UP = "rate_limits=available"


class Store:
    """A fake store: it returns its argument or raises ``error``, and counts its calls."""

    def __init__(self):
        self.error = None
        self.asked = 0

    def answer(self, question=None):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return question


@pytest.fixture
def clock(monkeypatch):
    """Return a clock; a test sets it by assigning to ``clock.now``."""

    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def breaker(clock):
    return Breaker()


def fail(breaker, store, times=1):
    for _ in range(times):
        with pytest.raises(StoreUnavailable):
            breaker.call(store.answer)


def open_circuit(breaker, store, clock):
    fail(breaker, store)
    clock.now += 0.11
    fail(breaker, store)
    store.asked = 0


def test_an_answer_is_passed_on(breaker, store, lines):
    assert breaker.call(store.answer, 42) == 42
    assert breaker.call(store.answer, question=43) == 43
    assert lines() == []


def test_an_error_of_any_kind_becomes_one(breaker, store):
    store.error = ConnectionRefusedError("of 10.0.0.1")

    with pytest.raises(StoreUnavailable, match=r"^ConnectionRefusedError$") as caught:
        breaker.call(store.answer)
    assert caught.value.__cause__ is store.error


def test_requests_of_one_stall_are_one_failure(breaker, store, clock):
    """They started before the first failure, so the circuit stays closed however many they are."""
    store.error = ConnectionRefusedError()
    started = threading.Barrier(9)
    may_fail = threading.Event()

    def wait():
        started.wait(5)
        assert may_fail.wait(5)
        store.answer()

    def request():
        with suppress(StoreUnavailable):
            breaker.call(wait)

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait(5)
    clock.now += 0.5
    fail(breaker, store)
    clock.now += 0.5
    may_fail.set()
    for thread in threads:
        thread.join()

    fail(breaker, store)
    assert store.asked == 8 + 2
    assert breaker.away == 0.5


def test_the_circuit_opens_when_failures_last_a_tenth_of_a_second(breaker, store, clock):
    store.error = ConnectionRefusedError()

    fail(breaker, store, times=10)
    clock.now += 0.09
    fail(breaker, store, times=10)
    assert store.asked == 20
    clock.now += 0.02
    fail(breaker, store, times=10)
    assert store.asked == 21


def test_while_it_is_open_one_request_asks_every_quarter_of_a_second(breaker, store, clock):
    store.error = ConnectionRefusedError()
    open_circuit(breaker, store, clock)

    for _ in range(100):
        clock.now += 0.01
        fail(breaker, store, times=3)
    # The design demands two probes a second.
    assert store.asked in {3, 4}


def test_an_answer_ends_it_for_everyone(breaker, store, clock):
    store.error = ConnectionRefusedError()
    open_circuit(breaker, store, clock)
    clock.now += 0.3
    store.error = None

    assert [breaker.call(store.answer, number) for number in range(5)] == [0, 1, 2, 3, 4]
    assert breaker.away == 0
    store.error = ConnectionRefusedError()
    fail(breaker, store, times=2)
    assert store.asked == 5 + 2


@pytest.mark.parametrize("error", [None, CountRefused("junk")])
def test_failures_open_it_only_without_a_success_between(breaker, store, clock, error):
    for _ in range(5):
        store.error = ConnectionRefusedError()
        fail(breaker, store, times=2)
        store.error = error
        with suppress(CountRefused):
            breaker.call(store.answer)
        clock.now += 0.09

    assert store.asked == 15
    assert breaker.away == 0


def test_the_store_is_away_from_the_first_failure_to_the_start_of_the_last(breaker, store, clock):
    store.error = ConnectionRefusedError()
    assert breaker.away == 0
    fail(breaker, store)
    assert breaker.away == 0

    clock.now += 0.7
    fail(breaker, store)
    assert breaker.away == pytest.approx(0.7)
    # Nobody asked since, so nothing is known.
    clock.now += 0.2
    fail(breaker, store)
    assert breaker.away == pytest.approx(0.7)


@pytest.mark.parametrize("seconds", [0, 0.9], ids=["closed", "open"])
def test_a_failure_after_a_silence_is_a_new_outage(breaker, store, clock, seconds):
    store.error = ConnectionRefusedError()
    fail(breaker, store)
    clock.now += seconds
    fail(breaker, store)
    assert breaker.away == pytest.approx(seconds)
    asked = store.asked

    clock.now += 61
    fail(breaker, store, times=5)

    assert breaker.away == 0
    assert store.asked == asked + 5


def test_few_requests_find_an_outage_as_well(breaker, store, clock):
    store.error = ConnectionRefusedError()
    fail(breaker, store)
    clock.now += 20
    fail(breaker, store)

    assert breaker.away == 20


def test_while_one_tries_the_others_do_not_wait(breaker, store, clock):
    store.error = ConnectionRefusedError()
    open_circuit(breaker, store, clock)
    clock.now += 0.3
    store.error = None
    is_asked, may_answer, answers = threading.Event(), threading.Event(), []

    def wait():
        is_asked.set()
        assert may_answer.wait(5)
        return "late"

    probe = threading.Thread(target=lambda: answers.append(breaker.call(wait)))
    probe.start()
    assert is_asked.wait(5)
    for _ in range(4):
        # The cache's own timeouts may be seconds.
        clock.now += 2
        fail(breaker, store)
    may_answer.set()
    probe.join()

    assert store.asked == 0
    assert answers == ["late"]
    assert breaker.call(store.answer, "again") == "again"


def test_one_that_tries_and_never_comes_back_is_followed_by_another(breaker, store, clock):
    store.error = ConnectionRefusedError()
    open_circuit(breaker, store, clock)
    clock.now += 0.3
    # The end of the worker is not an error of the store.
    store.error = SystemExit()
    with pytest.raises(SystemExit):
        breaker.call(store.answer)
    store.error = None

    clock.now += 9.9
    fail(breaker, store)
    clock.now += 0.2
    assert breaker.call(store.answer, "back") == "back"


def test_a_store_that_refuses_one_count_is_asked_for_the_next(breaker, store, lines):
    store.error = CountRefused("junk")

    for _ in range(10):
        with pytest.raises(CountRefused):
            breaker.call(store.answer)

    assert store.asked == 10
    assert lines() == [REFUSED]


def test_a_refused_count_ends_an_outage_for_the_others(breaker, store, clock, lines):
    store.error = ConnectionRefusedError()
    open_circuit(breaker, store, clock)
    clock.now += 0.3
    store.error = CountRefused("junk")
    with pytest.raises(CountRefused):
        breaker.call(store.answer)
    assert lines() == [DOWN, UP]
    store.error = None

    assert breaker.call(store.answer, "sound") == "sound"
    assert lines() == [DOWN, UP]


def test_an_outage_is_logged_once_a_minute_and_its_end_once(breaker, store, clock, lines):
    store.error = ConnectionRefusedError()

    for _ in range(59):
        fail(breaker, store, times=10)
        clock.now += 1
    assert lines() == [DOWN]
    for _ in range(10):
        fail(breaker, store)
        clock.now += 1
    assert lines() == [DOWN, DOWN]
    clock.now += 5
    store.error = None
    for number in range(5):
        breaker.call(store.answer, number)
    assert lines() == [DOWN, DOWN, UP]


def test_a_minute_is_sixty_seconds(breaker, store, clock, lines):
    store.error = CountRefused("junk")

    fail(breaker, store)
    clock.now += 59.9
    fail(breaker, store)
    assert lines() == [REFUSED]
    clock.now += 0.1
    fail(breaker, store)
    assert lines() == [REFUSED, REFUSED]


def test_the_end_of_an_outage_that_was_not_logged_is_not_logged(breaker, store, lines):
    store.error = CountRefused("junk")
    fail(breaker, store)
    store.error = ConnectionRefusedError()
    fail(breaker, store)
    store.error = None
    breaker.call(store.answer)

    assert lines() == [REFUSED]


def test_a_store_that_comes_and_goes_is_logged_once_a_minute(breaker, store, clock, lines):
    for _ in range(20):
        store.error = ConnectionRefusedError()
        fail(breaker, store)
        store.error = None
        breaker.call(store.answer)
        clock.now += 1

    assert lines() == [DOWN, UP]


def test_what_is_logged_tells_what_the_requests_get(breaker, store, settings, caplog):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": False}
    store.error = ConnectionRefusedError()

    fail(breaker, store)

    (record,) = caplog.records
    assert record.name == "closient_auth"
    assert record.levelno == logging.ERROR
    assert record.getMessage() == DOWN.replace("True", "False")
