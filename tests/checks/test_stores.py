from __future__ import annotations

import pytest
from django.core import checks
from django.core.cache import InvalidCacheBackendError
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import ERROR, WARNING
from django.core.checks.registry import registry
from rest_framework.views import APIView

from closient_auth.checks import check_views
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


@pytest.fixture
def cache(settings, tmp_path):
    """Set the backend of the default cache. No test uses it, but Django creates the folder of a file-based cache."""

    def cache(backend, **kwargs):
        location = tmp_path if "filebased" in backend else "redis://127.0.0.1:1"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(location)}, **kwargs}

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
    cache(backend)
    assert run() == []

    settings.DEBUG = False
    message = find("W006")
    assert message.level == WARNING
    assert message.msg.startswith("The cache 'default' should not count requests: it ")
    assert message.msg.endswith(f"so {reason}.")
    assert "RedisCache" in message.hint


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
    cache(f"{BACKENDS}.locmem.LocMemCache", limits={"BACKEND": f"{BACKENDS}.redis.RedisCache"})
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
