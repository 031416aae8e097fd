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


def test_an_answer_is_passed_on(breaker, store, lines):
    assert breaker.call(store.answer, 42) == 42
    assert breaker.call(store.answer, question=43) == 43
    assert lines() == []


def test_an_error_of_any_kind_becomes_one(breaker, store):
    store.error = ConnectionRefusedError("of 10.0.0.1")

    with pytest.raises(StoreUnavailable, match=r"^ConnectionRefusedError$") as caught:
        breaker.call(store.answer)
    assert caught.value.__cause__ is store.error


def test_after_three_failures_nobody_asks_until_five_seconds_later_one_does(breaker, store, clock):
    store.error = ConnectionRefusedError()

    fail(breaker, store, times=10)
    assert store.asked == 3
    clock.now += 4.9
    fail(breaker, store)
    assert store.asked == 3
    clock.now += 0.1
    fail(breaker, store, times=10)
    assert store.asked == 4
    clock.now += 5
    fail(breaker, store, times=10)
    assert store.asked == 5


def test_an_answer_ends_it_for_everyone(breaker, store, clock):
    store.error = ConnectionRefusedError()
    fail(breaker, store, times=3)
    clock.now += 5
    store.error = None

    assert [breaker.call(store.answer, number) for number in range(5)] == [0, 1, 2, 3, 4]
    store.error = ConnectionRefusedError()
    fail(breaker, store, times=2)
    assert store.asked == 3 + 5 + 2


def test_three_failures_are_enough_the_next_time_too(breaker, store):
    breaker.call(store.answer)
    store.error = ConnectionRefusedError()
    fail(breaker, store, times=2)
    store.error = None
    breaker.call(store.answer)
    store.error = ConnectionRefusedError()

    fail(breaker, store, times=10)
    assert store.asked == 1 + 2 + 1 + 3


@pytest.mark.parametrize("error", [None, CountRefused("junk")])
def test_failures_count_only_in_a_row(breaker, store, error):
    for _ in range(5):
        store.error = ConnectionRefusedError()
        fail(breaker, store, times=2)
        store.error = error
        with suppress(CountRefused):
            breaker.call(store.answer)

    assert store.asked == 15


def test_while_one_tries_the_others_do_not_wait(breaker, store, clock):
    store.error = ConnectionRefusedError()
    fail(breaker, store, times=3)
    clock.now += 5
    store.error = None
    is_asked, may_answer, answers = threading.Event(), threading.Event(), []

    def wait():
        is_asked.set()
        assert may_answer.wait(5)
        return "late"

    probe = threading.Thread(target=lambda: answers.append(breaker.call(wait)))
    probe.start()
    assert is_asked.wait(5)
    fail(breaker, store, times=4)
    may_answer.set()
    probe.join()

    assert store.asked == 3
    assert answers == ["late"]
    assert breaker.call(store.answer, "again") == "again"


def test_one_that_tries_and_never_comes_back_is_followed_by_another(breaker, store, clock):
    store.error = ConnectionRefusedError()
    fail(breaker, store, times=3)
    clock.now += 5
    # The end of the worker is not an error of the store.
    store.error = SystemExit()
    with pytest.raises(SystemExit):
        breaker.call(store.answer)
    store.error = None

    clock.now += 4.9
    fail(breaker, store)
    clock.now += 0.1
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
    fail(breaker, store, times=3)
    clock.now += 5
    store.error = CountRefused("junk")
    with pytest.raises(CountRefused):
        breaker.call(store.answer)
    assert lines() == [DOWN]
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
