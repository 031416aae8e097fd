from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from closient_auth.limits import counter
from closient_auth.models import ApiKeyUsage
from closient_auth.usage import buffer
from tests.limits.conftest import DJANGO
from tests.redis_servers import Server, require_redis_server


@pytest.fixture(autouse=True)
def far_from_the_next_hour():
    while time.time() % 3600 > 3570:
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Give each test a counter of its own."""
    monkeypatch.setattr(counter, "_current", None)


@pytest.fixture
def own_server(tmp_path):
    require_redis_server()
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def redis_cache(settings, own_server):
    """Use the cache of a Redis server of its own, and return the server."""
    settings.CACHES = {"default": {"BACKEND": DJANGO, "LOCATION": own_server.url}}
    return own_server


@pytest.fixture
def at_once(monkeypatch):
    """Write the counts after each response."""
    monkeypatch.setattr(buffer, "WRITE_INTERVAL", 0)


@pytest.fixture
def lines(caplog):
    """Return a function to list the messages about the usage."""
    return lambda: [message for message in caplog.messages if message.startswith("usage=")]


def get_table():
    """Return the requests and the refused ones by family."""
    rows = ApiKeyUsage.objects.values_list("family", "requests", "refused")
    assert {row.hour for row in ApiKeyUsage.objects.all()} <= {get_current_hour()}
    return {family: (requests, refused) for family, requests, refused in rows}


def get_buffer():
    return {family: tuple(count) for (family, _), count in buffer._buffer._counts.items()}


def get_current_hour():
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def get_today():
    start = get_current_hour().replace(hour=0)
    return start, start + timedelta(days=1)
