"""The selection of the store, and its connection settings."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.core.cache import caches

from closient_auth.limits import counter
from closient_auth.limits.counter import count_request
from closient_auth.limits.ratelimit import RatelimitStore
from closient_auth.limits.redis import TIMEOUT, RedisStore
from closient_auth.limits.windows import Window
from tests.limits.conftest import DJANGO, DJANGO_REDIS, LOCAL_MEMORY, REDIS_URL, needs_redis

pytestmark = needs_redis

WINDOWS = [Window(300, 60), Window(10_000, 86_400)]
KEY = b":1:closient_auth:limits:{somebody}"
PROVIDER = redis.UsernamePasswordCredentialProvider("me", "secret")
ODD_POOL = "tests.limits.pools.OddPool"


def store():
    return type(counter._get_counter().store)


def counts(states):
    return [state.count for state in states]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LOCAL_MEMORY, RatelimitStore),
        ({"BACKEND": "django.core.cache.backends.dummy.DummyCache"}, RatelimitStore),
        ({"BACKEND": DJANGO, "LOCATION": "redis://h"}, RedisStore),
        ({"BACKEND": DJANGO, "LOCATION": "rediss://h", "OPTIONS": {"ssl_ca_certs": "ca.pem"}}, RedisStore),
        ({"BACKEND": DJANGO, "LOCATION": "unix:///run/redis.sock"}, RedisStore),
        ({"BACKEND": DJANGO, "LOCATION": ["redis://primary", "redis://replica"]}, RedisStore),
        ({"BACKEND": DJANGO, "LOCATION": "redis://h", "OPTIONS": {"pool_class": ODD_POOL}}, RatelimitStore),
        (
            {"BACKEND": DJANGO, "LOCATION": "redis://h", "OPTIONS": {"pool_class": "redis.BlockingConnectionPool"}},
            RedisStore,
        ),
        ({"BACKEND": "tests.limits.pools.NamedCache", "LOCATION": "redis://h"}, RedisStore),
        ({"BACKEND": "tests.limits.pools.ShardedCache", "LOCATION": "redis://h"}, RatelimitStore),
        ({"BACKEND": DJANGO_REDIS, "LOCATION": "redis://h"}, RedisStore),
        ({"BACKEND": DJANGO_REDIS, "LOCATION": ["redis://primary", "redis://replica"]}, RedisStore),
        (
            {
                "BACKEND": DJANGO_REDIS,
                "LOCATION": "redis://h",
                "OPTIONS": {"CLIENT_CLASS": "django_redis.client.ShardClient"},
            },
            RatelimitStore,
        ),
        (
            {
                "BACKEND": DJANGO_REDIS,
                "LOCATION": "redis://service/0",
                "OPTIONS": {
                    "CLIENT_CLASS": "django_redis.client.SentinelClient",
                    "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
                    "SENTINELS": [("h", 26379)],
                },
            },
            RedisStore,
        ),
        (
            {
                "BACKEND": DJANGO_REDIS,
                "LOCATION": "redis://sentinel-by-factory-alone/0",
                "OPTIONS": {
                    "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
                    "SENTINELS": [("h", 26379)],
                },
            },
            RedisStore,
        ),
    ],
)
def test_it_is_chosen_where_the_servers_are_known(use_cache, config, expected):
    use_cache(**config)

    assert store() is expected


def test_the_cache_says_where_and_how(own_server, use_cache):
    own_server.stop()
    own_server.start("--requirepass", "secret", "--maxclients", "50")
    client = redis.Redis(port=own_server.port, password="secret", db=2)
    address = f"127.0.0.1:{own_server.port}"

    for config in (
        {"BACKEND": DJANGO, "LOCATION": f"redis://:secret@{address}/2"},
        {"BACKEND": DJANGO, "LOCATION": f"redis://{address}", "OPTIONS": {"password": "secret", "db": 2}},
        {"BACKEND": DJANGO_REDIS, "LOCATION": f"redis://{address}/2", "OPTIONS": {"PASSWORD": "secret"}},
        {"BACKEND": DJANGO, "LOCATION": [f"redis://default:secret@{address}/2", "redis://127.0.0.1:1"]},
    ):
        use_cache(**config, KEY_PREFIX="mine", VERSION=7)
        assert store() is RedisStore
        assert count_request("somebody", WINDOWS).allowed
        assert client.keys() == [b"mine:7:closient_auth:limits:{somebody}"]
        client.flushdb()
    client.close()


@pytest.mark.parametrize(
    ("location", "options", "expected"),
    [
        ("redis://somewhere:6380/4", {}, {"host": "somewhere", "port": 6380, "db": 4, "password": None}),
        ("redis://me:secret@h", {}, {"username": "me", "password": "secret"}),
        ("redis://h", {"username": "me", "password": "secret"}, {"username": "me", "password": "secret"}),
        ("redis://h", {"credential_provider": PROVIDER}, {"credential_provider": PROVIDER}),
        ("redis://h?client_name=web", {}, {"client_name": "web"}),
        ("rediss://h", {"ssl_ca_certs": "ca.pem"}, {"ca_certs": "ca.pem"}),
        # The time-outs and retries of the cache are not used.
        ("redis://h?socket_timeout=30", {"socket_connect_timeout": 30, "retry_on_timeout": True}, {}),
    ],
)
@pytest.mark.hurried
def test_its_connections_are_the_cache_s_but_for_their_patience(use_cache, location, options, expected):
    use_cache(BACKEND=DJANGO, LOCATION=location, OPTIONS=options)

    store: Any = counter._get_counter().store
    connection = store.servers.make_connection()

    assert {name: getattr(connection, name) for name in expected} == expected
    assert connection.socket_timeout == connection.socket_connect_timeout == TIMEOUT
    assert connection.retry._retries == 0


def test_a_unix_socket_will_do(own_server, use_cache, tmp_path):
    own_server.stop()
    own_server.start("--unixsocket", f"{tmp_path}/socket")
    use_cache(BACKEND=DJANGO, LOCATION=f"unix://{tmp_path}/socket?db=1")

    assert count_request("somebody", WINDOWS).allowed
    with redis.Redis.from_url(own_server.url) as client:
        assert client.keys() == [KEY]


def test_settings_are_followed(use_cache, server, settings):
    use_cache(BACKEND=DJANGO, LOCATION=REDIS_URL)
    count_request("somebody", WINDOWS)
    use_cache(BACKEND=DJANGO, LOCATION=REDIS_URL, KEY_PREFIX="other")
    assert counts(count_request("somebody", WINDOWS).states) == [1, 1]

    settings.CACHES = {**settings.CACHES, "limits": LOCAL_MEMORY}
    settings.RATELIMIT_USE_CACHE = "limits"
    assert store() is RatelimitStore
    assert counts(count_request("somebody", WINDOWS).states) == [1, 1]
    caches["limits"].clear()


@pytest.mark.parametrize(("alias", "error"), [("default", "ValueError"), ("nowhere", "InvalidCacheBackendError")])
def test_a_cache_that_cannot_be_made_is_unavailable(use_cache, settings, lines, alias, error):
    use_cache(BACKEND=DJANGO, LOCATION="no-url")
    settings.RATELIMIT_USE_CACHE = alias

    assert [count_request("somebody", [Window(1, 60)]).allowed for _ in range(3)] == [True, False, False]
    assert lines() == [f"rate_limits=unavailable fail_open=True error={error}"]
