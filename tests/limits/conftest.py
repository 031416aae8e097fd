from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import time
from urllib.parse import urlsplit
from zlib import crc32

import pytest
import redis
from django.core.cache import caches

from closient_auth.limits import breaker, counter
from tests.factories import make_key
from tests.proxy import Proxy

REDIS_URL = os.environ.get("CLOSIENT_AUTH_TEST_REDIS_URL", "")
needs_redis = pytest.mark.skipif(not REDIS_URL, reason="CLOSIENT_AUTH_TEST_REDIS_URL is not set")

DJANGO = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
LOCAL_MEMORY = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}

# Seconds that a request may be delayed by; the request itself is in it.
PATIENCE = 0.25
# One that waits for nothing.
AT_ONCE = 0.1


def in_time(run):
    """
    Return the responses of a run, whose answers are pairs of one and its seconds: three may wait, the others not at all.

    Of three runs one has to keep to it, since a busy machine may stop any request.
    """
    for _ in range(3):
        answers = run()
        seconds = [seconds for _, seconds in answers]
        if max(seconds[:3]) < PATIENCE and max(seconds[3:]) < AT_ONCE:
            return [response for response, _ in answers]
    raise AssertionError(f"late: {seconds}")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """An outage of one test is no business of the next; nor, once it is called, of what comes after in the same."""

    def forget():
        monkeypatch.setattr(counter, "_current", ((), None))

    forget()
    return forget


@pytest.fixture
def soon(monkeypatch):
    """A try is due at once, and not after seconds."""
    monkeypatch.setattr(breaker, "RETRY_AFTER", 0)


@pytest.fixture
def lines(caplog):
    """What was logged, by the package's logger."""
    caplog.set_level(logging.INFO, "closient_auth")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "closient_auth"]


@pytest.fixture
def send(call, settings, db):
    """Send a request with a key; return the response and the seconds it took."""
    # The database is not what is waited for here.
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 3_600}
    _, raw_key = make_key(rate_limit_per_minute=50)

    def send():
        start = time.perf_counter()
        response = call("/who/", raw_key)
        return response, time.perf_counter() - start

    return send


@pytest.fixture(autouse=True)
def far_from_an_edge():
    """A test whose few milliseconds lie on both sides of the end of a window would prove nothing."""
    while seconds_left("somebody", 60) < 3:
        time.sleep(0.1)


def seconds_left(identifier, period):
    """Return the seconds until a window ends, by a rule of our own: its last second is told by the identifier's CRC-32."""
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
    """A client of the real Redis, past the cache and any proxy."""
    with redis.Redis.from_url(REDIS_URL) as client:
        yield client
        client.flushdb()


@pytest.fixture
def proxy():
    """A proxy before the real Redis."""
    parts = urlsplit(REDIS_URL)
    with Proxy(parts.hostname or "", parts.port or 6379) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy, use_cache, server):
    """A cache behind that proxy."""
    return use_cache(BACKEND=DJANGO, LOCATION=proxied_url(proxy))


@pytest.fixture
def suffer(proxy, server, send, caplog, forget):
    """Let the Redis behind the proxy fail, send eight requests in time, and return their responses."""

    def run(fault):
        proxy.restore()
        server.flushdb()
        forget()
        caplog.clear()
        assert send()[0]["RateLimit-Remaining"] == "49"
        fault(proxy, server)
        return [send() for _ in range(8)]

    return lambda fault: in_time(lambda: run(fault))


def proxied_url(proxy):
    return f"redis://127.0.0.1:{proxy.port}{urlsplit(REDIS_URL).path}"


class Server:
    """A Redis of our own, which may be stopped, started and spoilt."""

    def __init__(self, folder):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/1"

    def start(self, *options):
        self.process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--dir",
                self.folder,
                "--save",
                "",
                *options,
            ],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("redis-server does not answer")

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_server(tmp_path):
    if not REDIS_URL:
        pytest.skip("Redis is not tested here")
    if not shutil.which("redis-server"):
        # What decides over a change must not leave these out unseen.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("There is no redis-server to start.")
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()
