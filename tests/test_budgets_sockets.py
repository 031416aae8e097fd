"""The number of round trips to the database, counted on the socket and so independently of Django."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from time import monotonic

import pytest
from django.db import connection
from django.utils import timezone

from closient_auth.keys import KeyType, generate_api_key
from closient_auth.models import ApiKey
from closient_auth.usage import buffer
from tests.factories import MembershipFactory, make_key
from tests.proxy import Proxy

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no socket"),
]


@pytest.fixture
def trips(call, monkeypatch):
    """Return a function to send a request; it returns the status and the number of round trips to the database."""
    address = connection.settings_dict["HOST"] or "127.0.0.1", connection.settings_dict["PORT"]
    usual = {"postgresql": 5432, "mysql": 3306}[connection.vendor]
    with Proxy(address[0], int(address[1] or usual)) as proxy:
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        monkeypatch.setitem(connection.settings_dict, "PORT", str(proxy.port))
        connection.ensure_connection()

        def trips(*args, **kwargs):
            before = proxy.turns
            response = call(*args, **kwargs)
            assert proxy.connections == 1
            return response.status_code, proxy.turns - before

        yield trips
        connection.close()


@pytest.fixture
def server_side_binding(monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("an option of PostgreSQL")
    options = {**connection.settings_dict["OPTIONS"], "server_side_binding": True, "prepare_threshold": 1}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)


@pytest.mark.parametrize("prefix", [KeyType.BUSINESS, KeyType.USER])
def test_accepted(trips, settings, prefix):
    _, raw_key = make_key(prefix)
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    assert trips("/who/", raw_key) == (HTTPStatus.OK, 2)
    assert trips("/who/", raw_key) == (HTTPStatus.OK, 1)
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 0}
    at_once = connection.vendor == "postgresql" and prefix == KeyType.BUSINESS
    assert trips("/who/", raw_key) == (HTTPStatus.OK, 1 if at_once else 2)


def test_accepted_by_a_prepared_statement(server_side_binding, trips, settings):
    _, raw_key = make_key()
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    for _ in range(3):
        trips("/who/", raw_key)
    assert trips("/who/", raw_key) == (HTTPStatus.OK, 1)


@pytest.mark.parametrize("is_counted", [True, False])
def test_usage_history_of_a_process(trips, settings, monkeypatch, is_counted):
    """After a response and at most every ten seconds, one round trip for all keys."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60, "USAGE_HISTORY": is_counted}
    raw_keys = [make_key()[1] for _ in range(3)]
    for raw_key in raw_keys * 2:
        trips("/who/", raw_key)
    assert trips("/who/", raw_keys[0]) == (HTTPStatus.OK, 1)
    clock = monotonic() + buffer.WRITE_INTERVAL
    monkeypatch.setattr(buffer, "monotonic", lambda: clock)
    assert trips("/who/", raw_keys[0]) == (HTTPStatus.OK, 1 + is_counted)
    assert trips("/who/", raw_keys[0]) == (HTTPStatus.OK, 1)


def test_user_key_in_an_organization(trips, settings):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    membership = MembershipFactory.create()
    _, raw_key = make_key(KeyType.USER, user=membership.user)
    trips("/organization/", raw_key)
    assert trips("/organization/", raw_key) == (HTTPStatus.OK, 2)


@pytest.mark.parametrize(
    "columns", [{"is_active": False}, {"expires_at": timezone.now() - timedelta(days=1)}], ids=["revoked", "expired"]
)
def test_refused_by_its_row(trips, columns):
    api_key, raw_key = make_key()
    ApiKey.objects.filter(pk=api_key.pk).update(**columns)
    # The first use of a revoked key in an hour adds an audit entry.
    trips("/who/", raw_key)
    assert trips("/who/", raw_key) == (HTTPStatus.UNAUTHORIZED, 1)


def test_unknown(trips):
    assert trips("/who/", generate_api_key(KeyType.BUSINESS)) == (HTTPStatus.UNAUTHORIZED, 1)


@pytest.mark.parametrize("change", [lambda key: key[:-1], lambda key: key[:-8] + "00000000"], ids=["shape", "checksum"])
def test_malformed_asks_nothing(trips, change):
    _, raw_key = make_key()
    assert trips("/who/", change(raw_key)) == (HTTPStatus.UNAUTHORIZED, 0)


def test_no_header_asks_nothing(trips):
    assert trips("/public/") == (HTTPStatus.OK, 0)
