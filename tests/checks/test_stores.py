from __future__ import annotations

import pytest
import time_machine
from django.core import checks
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import ERROR, WARNING
from django.core.checks.registry import registry
from rest_framework.views import APIView

from closient_auth.checks import check_views
from closient_auth.limits.counter import count_request
from closient_auth.limits.windows import Window
from closient_auth.throttling import ApiKeyRateThrottle

BACKENDS = "django.core.cache.backends"


class CompressedMemory(LocMemCache):
    """A project's own backend, local to one process like its base class."""


class LimitedView(APIView):
    authentication_classes = []
    throttle_classes = [ApiKeyRateThrottle]


class PlainView(APIView):
    authentication_classes = []
    throttle_classes = []


class KeyView(APIView):
    def get(self, request):
        raise NotImplementedError


@pytest.fixture
def cache(settings, tmp_path):
    """Set the backend of the default cache. No test uses it, but Django creates the folder of a file-based cache."""

    def cache(backend, options=None, **kwargs):
        location = tmp_path if "filebased" in backend else "redis://127.0.0.1:1"
        settings.CACHES = {
            "default": {"BACKEND": backend, "LOCATION": str(location), "OPTIONS": options or {}},
            **kwargs,
        }

    return cache


UNFIT = [
    (f"{BACKENDS}.locmem.LocMemCache", "each process allows the full limit"),
    ("tests.checks.test_stores.CompressedMemory", "each process allows the full limit"),
    (f"{BACKENDS}.dummy.DummyCache", "no limit is ever reached"),
    (f"{BACKENDS}.filebased.FileBasedCache", "concurrent requests are not all counted"),
    (f"{BACKENDS}.db.DatabaseCache", "concurrent requests are not all counted"),
]


@pytest.mark.parametrize(("backend", "reason"), UNFIT)
def test_cache_that_cannot_hold_a_limit(find, run, settings, cache, backend, reason):
    cache(backend, options={"MAX_ENTRIES": 10_000})
    assert run() == []

    settings.DEBUG = False
    message = find("W006")
    assert message.level == WARNING
    assert message.msg.startswith("The cache 'default' should not count requests: it ")
    assert message.msg.endswith(f"so {reason}.")
    assert "RedisCache" in message.hint


@pytest.mark.parametrize(
    ("options", "entries"), [({}, 300), ({"MAX_ENTRIES": 9999}, 9999), ({"MAX_ENTRIES": "many"}, 300)]
)
@pytest.mark.parametrize("backend", [f"{BACKENDS}.locmem.LocMemCache", "tests.checks.test_stores.CompressedMemory"])
def test_local_memory_with_room_for_a_few_keys(find, run, settings, cache, backend, options, entries):
    cache(backend, options)
    assert run() == []

    settings.DEBUG = False
    settings.SILENCED_SYSTEM_CHECKS = ["closient_auth.W006"]
    messages = [message for message in run() if not message.is_silenced()]
    assert [(message.id, message.level) for message in messages] == [("closient_auth.W021", WARNING)]
    assert messages[0].msg.endswith(f"OPTIONS['MAX_ENTRIES'] of at least 10000, not {entries}.")
    assert "RedisCache" in messages[0].hint


def test_local_memory_discards_counters(settings, cache):
    """150 keys push the counters of another key out, so a limit that is used up begins anew."""
    alone, windows = "alone", [Window(1, 60), Window(100, 86_400)]

    def fill(options):
        cache(f"{BACKENDS}.locmem.LocMemCache", options)
        caches["default"].clear()
        count_request(alone, windows)
        for number in range(1000):
            count_request(f"other-{number}", windows)
        return count_request(alone, windows).allowed

    # No window may end during the test.
    with time_machine.travel(1_800_000_000, tick=False):
        assert not fill({"MAX_ENTRIES": 10_000})
        assert fill({})


@pytest.mark.parametrize("backend", [f"{BACKENDS}.redis.RedisCache", "django_redis.cache.RedisCache"])
def test_cache_that_can(run, settings, cache, backend):
    cache(backend)
    settings.DEBUG = False

    assert run() == []


def test_cache_that_cannot_be_imported_is_told_by_django(settings, cache):
    cache("nowhere.Cache")
    settings.DEBUG = False

    assert check_views() == []
    with pytest.raises(InvalidCacheBackendError, match="nowhere"):
        checks.run_checks(tags=[checks.Tags.caches])


def test_the_cache_that_counts_is_the_one_that_matters(find, run, settings, cache):
    settings.DEBUG = False
    cache(f"{BACKENDS}.dummy.DummyCache", limits={"BACKEND": f"{BACKENDS}.redis.RedisCache"})
    find("W006")

    settings.RATELIMIT_USE_CACHE = "limits"
    assert run() == []


@pytest.mark.parametrize("debug", [True, False])
def test_cache_that_is_not_there(find, settings, debug):
    settings.DEBUG = debug
    settings.RATELIMIT_USE_CACHE = "limits"

    message = find("E009")
    assert (message.level, message.hint) == (ERROR, "Use one of: default.")
    assert message.msg == "RATELIMIT_USE_CACHE should be a cache in CACHES, not 'limits'."


def test_cache_matters_only_where_limits_are_held(find, run, mount, rest_framework, settings, cache):
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=[], DEFAULT_THROTTLE_CLASSES=[])
    settings.DEBUG = False
    cache(f"{BACKENDS}.dummy.DummyCache")
    mount(PlainView.as_view())
    assert run() == []

    mount(PlainView.as_view(), LimitedView.as_view())
    find("W006")


def test_counting_that_is_switched_off(find, run, settings, cache):
    cache(f"{BACKENDS}.redis.RedisCache")
    settings.RATELIMIT_ENABLE = False
    assert run() == []

    settings.DEBUG = False
    assert find("W007").level == WARNING

    settings.RATELIMIT_ENABLE = True
    assert run() == []


@pytest.mark.parametrize(
    ("backend", "own", "others"),
    [
        (f"{BACKENDS}.locmem.LocMemCache", ["closient_auth.W008"], ["django_ratelimit.E003", "django_ratelimit.W001"]),
        ("django_redis.cache.RedisCache", [], []),
    ],
)
def test_ratelimit_listed_as_an_app(run, settings, monkeypatch, cache, backend, own, others):
    cache(backend)
    assert run() == []

    # The copy keeps the check of django-ratelimit out of the other tests.
    monkeypatch.setattr(registry, "registered_checks", set(registry.registered_checks))
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_ratelimit"]
    from django_ratelimit.checks import check_caches

    assert [message.id for message in run()] == own
    assert [message.id for message in check_caches(None)] == others


@pytest.fixture
def database(monkeypatch, settings):
    """Change the settings of the default database. The open connection does not change."""

    def database(**kwargs):
        monkeypatch.setitem(settings.DATABASES, "default", {"ENGINE": "django.db.backends.sqlite3", **kwargs})

    return database


@pytest.mark.parametrize("options", [{}, {"OPTIONS": {}}, {"OPTIONS": {"transaction_mode": "DEFERRED"}}])
@pytest.mark.parametrize("engine", ["django.db.backends.sqlite3", "django.contrib.gis.db.backends.spatialite"])
def test_sqlite_that_locks_late(find, database, options, engine):
    database(ENGINE=engine, ATOMIC_REQUESTS=True, **options)

    message = find("W009")
    assert message.level == WARNING
    assert message.msg.startswith(
        "The SQLite database 'default' should use immediate transactions with ATOMIC_REQUESTS."
    )
    assert "IMMEDIATE" in message.hint


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"ATOMIC_REQUESTS": False},
        {"ATOMIC_REQUESTS": True, "OPTIONS": {"transaction_mode": "IMMEDIATE"}},
        {"ATOMIC_REQUESTS": True, "OPTIONS": {"transaction_mode": "immediate"}},
        {"ATOMIC_REQUESTS": True, "OPTIONS": {"transaction_mode": "EXCLUSIVE"}},
        {"ATOMIC_REQUESTS": True, "ENGINE": "django.db.backends.postgresql"},
    ],
)
def test_database_that_waits(run, database, configuration):
    database(**configuration)

    assert run() == []


@pytest.fixture
def asgi(settings):
    settings.ASGI_APPLICATION = "shop.asgi.application"


class AsyncView(APIView):
    async def get(self, request):
        raise NotImplementedError


POSTGRESQL = "django.db.backends.postgresql"


@pytest.mark.parametrize("age", [60, 600, None])
def test_connections_that_stay_open_with_asgi(find, database, asgi, age):
    database(ENGINE=POSTGRESQL, CONN_MAX_AGE=age)

    message = find("W023")
    assert message.level == WARNING
    assert message.msg == f"CONN_MAX_AGE of the database 'default' should be 0 with ASGI, not {age}."
    assert "pool" in message.hint


@pytest.mark.parametrize(
    "configuration",
    [{"ENGINE": POSTGRESQL}, {"ENGINE": POSTGRESQL, "CONN_MAX_AGE": 0}, {"CONN_MAX_AGE": 600}],
)
def test_connections_that_are_closed_with_asgi(run, database, asgi, configuration):
    database(**configuration)

    assert run() == []


def test_connections_that_stay_open_without_asgi(run, mount, database):
    database(ENGINE=POSTGRESQL, CONN_MAX_AGE=600)
    mount(PlainView.as_view(), LimitedView.as_view())

    assert run() == []


def test_connections_that_stay_open_with_async_views(find, run, mount, database):
    """An async view says nothing about the connections of keys unless it accepts them."""
    database(ENGINE=POSTGRESQL, CONN_MAX_AGE=600)
    mount(AsyncView.as_view(authentication_classes=[]), KeyView.as_view())
    assert run() == []

    mount(AsyncView.as_view(), KeyView.as_view())
    find("W023")
