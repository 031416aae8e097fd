"""Failures of Redis, simulated by a proxy or by a change of the stored data."""

from __future__ import annotations


def refuse(proxy, server):
    proxy.refuse()


def hang(proxy, server):
    proxy.hang()


def hang_anew(proxy, server):
    """Close the open connection and leave the next one without a response."""
    proxy.drop()
    proxy.hang()


def delay_shortly(proxy, server):
    proxy.delay(0.1)


def delay(proxy, server):
    proxy.delay(0.5)


def delay_for_long(proxy, server):
    proxy.delay(5)


def cut(proxy, server):
    proxy.cut(5)
    proxy.drop()


def say_junk(proxy, server):
    proxy.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def say_something_else(proxy, server):
    proxy.answer(b"$5\r\nhello\r\n")


def say_ok(proxy, server):
    proxy.answer(b"+OK\r\n")


def say_too_little(proxy, server):
    proxy.answer(b"*2\r\n:1\r\n:1\r\n")


def say_words(proxy, server):
    proxy.answer(b"*5\r\n:1\r\n$3\r\nfoo\r\n:1\r\n:1\r\n:1\r\n")


def be_loading(proxy, server):
    proxy.answer(b"-LOADING Redis is loading the dataset in memory\r\n")


def be_readonly(proxy, server):
    proxy.answer(b"-READONLY You can't write against a read only replica.\r\n")


def have_another_type(proxy, server):
    for key in server.scan_iter():
        server.set(key, "junk")


WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
FAULTS = {
    refuse: "ConnectionError",
    hang: "TimeoutError",
    hang_anew: "TimeoutError",
    delay_shortly: "TimeoutError",
    delay: "TimeoutError",
    delay_for_long: "TimeoutError",
    cut: "ConnectionError",
    say_junk: "InvalidResponse",
    say_something_else: "InvalidResponse",
    say_ok: "InvalidResponse",
    say_too_little: "ValueError",
    say_words: "ValueError",
    be_loading: "BusyLoadingError",
    be_readonly: "ReadOnlyError",
    have_another_type: WRONG_TYPE,
}
