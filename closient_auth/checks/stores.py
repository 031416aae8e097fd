"""What counts and keeps behind the package: the cache of the limits, and the database."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Warning
from django.db import router
from django.utils.module_loading import import_string

from closient_auth.checks.authentication import are_limits_held
from closient_auth.models import ApiKey

UNFIT_CACHES = {
    LocMemCache: "is local to one process, so each process allows the full limit",
    DummyCache: "stores nothing, so no limit is ever reached",
    FileBasedCache: "does not count atomically, so concurrent requests are not all counted",
    DatabaseCache: "does not count atomically, so concurrent requests are not all counted",
}
USE_REDIS = (
    "Use django.core.cache.backends.redis.RedisCache. RATELIMIT_USE_CACHE names the cache, by default 'default'."
)


def check_limit_cache(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that the cache behind the limits is there and, with ``DEBUG`` off, that it can hold a limit."""
    if not are_limits_held():
        return
    alias = _get_alias()
    if alias not in settings.CACHES:
        yield Error(
            f"RATELIMIT_USE_CACHE should be a cache in CACHES, not {alias!r}.",
            hint=f"Use one of: {', '.join(sorted(settings.CACHES))}.",
            id="closient_auth.E009",
        )
        return
    # While developing, one process and no server are all that is wanted.
    if settings.DEBUG:
        return
    if reason := _find_fault(alias):
        yield Warning(
            f"The cache {alias!r} should not count requests: it {reason}.", hint=USE_REDIS, id="closient_auth.W006"
        )
    if not getattr(settings, "RATELIMIT_ENABLE", True):
        yield Warning(
            "RATELIMIT_ENABLE should not be False: no request is counted, and RATE_LIMIT_FAIL_OPEN applies to all.",
            hint="Remove it from the settings. To turn a limit off, set it to 0 in CLOSIENT_AUTH.",
            id="closient_auth.W007",
        )


def check_ratelimit_app(**kwargs: object) -> Iterator[CheckMessage]:
    """Explain the errors of django-ratelimit's own check, which runs only where it is installed as an app."""
    if apps.is_installed("django_ratelimit") and _find_fault(_get_alias()):
        yield Warning(
            "django_ratelimit should not be in INSTALLED_APPS: its own check rejects this cache.",
            hint="Remove it. Requests are counted without it, and closient_auth.W006 reports an unsuitable cache.",
            id="closient_auth.W008",
        )


def check_sqlite_transactions(**kwargs: object) -> Iterator[CheckMessage]:
    """Check that SQLite takes its write lock when a request's transaction begins, and waits for it."""
    alias = router.db_for_write(ApiKey)
    database = settings.DATABASES.get(alias, {})
    is_sqlite = database.get("ENGINE", "").rpartition(".")[2] in ("sqlite3", "spatialite")
    mode = str(database.get("OPTIONS", {}).get("transaction_mode", "")).upper()
    if is_sqlite and database.get("ATOMIC_REQUESTS") and mode not in ("IMMEDIATE", "EXCLUSIVE"):
        yield Warning(
            f"The SQLite database {alias!r} should use immediate transactions with ATOMIC_REQUESTS: a request that reads "
            "before it writes fails with “database is locked” if another request writes in between.",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE"} for it.',
            id="closient_auth.W009",
        )


def _get_alias() -> str:
    return getattr(settings, "RATELIMIT_USE_CACHE", "default")


def _find_fault(alias: str) -> str | None:
    try:
        backend = import_string(settings.CACHES[alias]["BACKEND"])
    except (KeyError, ImportError):
        # Django raises it again, with its own words, when the cache is first used.
        return None
    return next((fault for cls, fault in UNFIT_CACHES.items() if issubclass(backend, cls)), None)
