from __future__ import annotations

import logging
import os
import time
from functools import partial
from urllib.parse import urlsplit
from zlib import crc32

import pytest
import redis
from django.core.cache import caches

from closient_auth.limits import breaker, counter
from tests.factories import make_key
from tests.limits.faults import FAULTS
from tests.proxy import Proxy
from tests.redis_servers import Server, require_redis_server

REDIS_URL = os.environ.get("CLOSIENT_AUTH_TEST_REDIS_URL", "")
needs_redis = pytest.mark.skipif(not REDIS_URL, reason="CLOSIENT_AUTH_TEST_REDIS_URL is not set")

DJANGO = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
LOCAL_MEMORY = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}

# The maximum seconds for a request while the store is unavailable.
PATIENCE = 0.25
# The maximum seconds for a request without contact to the store.
AT_ONCE = 0.1


def in_time(run, is_disturbed=lambda: False):
    """
    Return the responses of ``run()``, a function returning pairs of a response and its seconds.

    The first three requests may wait for the store, the others must not. One of three runs has to be in time and not
    disturbed, since a busy machine may delay any request, or time out before the fault shows.
    """
    for _ in range(3):
        answers = run()
        seconds = [seconds for _, seconds in answers]
        if max(seconds[:3]) < PATIENCE and max(seconds[3:]) < AT_ONCE and not is_disturbed():
            return [response for response, _ in answers]
    raise AssertionError(f"late or disturbed: {seconds}")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Give each test a new counter. Return a function to do so again within a test."""

    def forget():
        monkeypatch.setattr(counter, "_current", None)

    forget()
    return forget


@pytest.fixture
def soon(monkeypatch):
    """Let the breaker retry at once."""
    monkeypatch.setattr(breaker, "PROBE_INTERVAL", 0)


@pytest.fixture
def impatient(monkeypatch):
    """Without ``RATE_LIMIT_FAIL_OPEN``, refuse requests from the first failure on."""
    monkeypatch.setattr(counter, "PATIENCE", 0)


@pytest.fixture
def lines(caplog):
    """Return a function to list the messages logged by the package."""
    caplog.set_level(logging.INFO, "closient_auth")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "closient_auth"]


@pytest.fixture
def send(call, settings, db):
    """Return a function to send a request with a key; it returns the response and its seconds."""
    # The timings must not include a write of ``last_used``.
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 3_600}
    _, raw_key = make_key(rate_limit_per_minute=50)

    def send():
        start = time.perf_counter()
        response = call("/who/", raw_key)
        return response, time.perf_counter() - start

    return send


@pytest.fixture(autouse=True)
def far_from_an_edge():
    """Start no test in the last two seconds of a minute, because a test must not cross the end of a window."""
    names = ["somebody", "somebody:10.0.0.1", "somebody:2001:db8::/64"]
    while min(seconds_left(name, 60) for name in names) < 3:
        time.sleep(0.1)


def seconds_left(identifier, period):
    """Return the seconds to the end of a window, computed independently: its last second depends on the CRC-32."""
    return (crc32(identifier.encode()) - int(time.time())) % period + 1


@pytest.fixture
def use_cache(settings):
    """Make a cache with these settings the default one and return it."""

    def use_cache(**config):
        settings.CACHES = {"default": config}
        return caches["default"]

    return use_cache


@pytest.fixture
def server():
    """Return a client connected directly to Redis."""
    with redis.Redis.from_url(REDIS_URL) as client:
        yield client
        client.flushdb()


@pytest.fixture
def proxy():
    """Return a proxy in front of Redis."""
    parts = urlsplit(REDIS_URL)
    with Proxy(parts.hostname or "", parts.port or 6379) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy, use_cache, server):
    """Return a cache connected through the proxy."""
    return use_cache(BACKEND=DJANGO, LOCATION=proxied_url(proxy))


@pytest.fixture
def suffer(proxy, server, send, caplog, forget):
    """Return a function to make Redis fail and send eight requests in time; it returns their responses."""

    def run(fault):
        proxy.restore()
        forget()
        # A request that the proxy held back in the last run reaches Redis before this one.
        send()
        server.flushdb()
        forget()
        caplog.clear()
        assert send()[0]["RateLimit-Remaining"] == "49"
        fault(proxy, server)
        return [send() for _ in range(8)]

    def is_disturbed(fault):
        return FAULTS[fault] != "TimeoutError" and any("error=TimeoutError" in message for message in caplog.messages)

    return lambda fault: in_time(partial(run, fault), partial(is_disturbed, fault))


def proxied_url(proxy):
    return f"redis://127.0.0.1:{proxy.port}{urlsplit(REDIS_URL).path}"


@pytest.fixture
def own_server(tmp_path):
    require_redis_server()
    with Server(tmp_path) as server:
        yield server
