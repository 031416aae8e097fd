"""Rules of the rate-limit cache and the database."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.db import OperationalError, ProgrammingError, router
from django.utils.module_loading import import_string

from closient_auth.checks.rules import Finding
from closient_auth.checks.views import DefaultView, GuardedView, View, includes
from closient_auth.models import ApiKey
from closient_auth.throttling import ApiKeyRateThrottle

UNSUITABLE_CACHES = {
    LocMemCache: "is local to one process, so each process allows the full limit",
    DummyCache: "stores nothing, so no limit is ever reached",
    FileBasedCache: "does not count atomically, so concurrent requests are not all counted",
    DatabaseCache: "does not count atomically, so concurrent requests are not all counted",
}
# Enough for the two counters of 5,000 API keys; Django's default is 300.
MIN_ENTRIES = 10_000


def find_caches(views: Sequence[View], guarded: Sequence[GuardedView]) -> Iterator[Finding]:
    alias = getattr(settings, "RATELIMIT_USE_CACHE", "default")
    try:
        backend = import_string(settings.CACHES[alias]["BACKEND"])
        fault = next((fault for cls, fault in UNSUITABLE_CACHES.items() if issubclass(backend, cls)), None)
    except (KeyError, ImportError):
        # Django raises its own error when the project uses the cache.
        fault = None
    if fault and apps.is_installed("django_ratelimit"):
        yield Finding("W008")
    # The cache does not matter in a project without rate limits.
    if not guarded and not any(includes(view.throttles, ApiKeyRateThrottle) for view in (DefaultView(), *views)):
        return
    if alias not in settings.CACHES:
        yield Finding("E009", values={"alias": alias, "known": ", ".join(sorted(settings.CACHES))})
    # Development needs only one process and no cache server.
    elif not settings.DEBUG:
        if fault:
            yield Finding("W006", values={"alias": alias, "fault": fault})
        # A project with one process may silence W006.
        if fault == UNSUITABLE_CACHES[LocMemCache]:
            entries = BaseCache(settings.CACHES[alias])._max_entries
            if entries < MIN_ENTRIES:
                yield Finding("W021", values={"alias": alias, "wanted": MIN_ENTRIES, "entries": entries})
        if not getattr(settings, "RATELIMIT_ENABLE", True):
            yield Finding("W007")


def find_connections(views: Iterable[View | GuardedView]) -> Iterator[Finding]:
    """Find persistent connections under ASGI, which Django cannot use again (ticket 33497).

    The checks do not know the server. Only Channels and Daphne read ``ASGI_APPLICATION``, and an async view that accepts
    keys is written for ASGI.
    """
    alias, database = _get_database()
    age = database.get("CONN_MAX_AGE", 0)
    if age == 0 or _is_sqlite(database):
        return
    if getattr(settings, "ASGI_APPLICATION", None) or any(view.is_async for view in views):
        yield Finding("W023", values={"alias": alias, "age": age})


def find_databases() -> Iterator[Finding]:
    alias, database = _get_database()
    mode = str(database.get("OPTIONS", {}).get("transaction_mode", "")).upper()
    if _is_sqlite(database) and database.get("ATOMIC_REQUESTS") and mode not in ("IMMEDIATE", "EXCLUSIVE"):
        yield Finding("W009", values={"alias": alias})


def has_networks(alias: str) -> bool:
    """Return whether a key has ``allowed_networks``; ``False`` without the table, as before the first ``migrate``."""
    try:
        return ApiKey.objects.using(alias).exclude(allowed_networks=[]).exists()
    except (OperationalError, ProgrammingError):
        return False


def _get_database() -> tuple[str, dict[str, Any]]:
    alias = router.db_for_write(ApiKey)
    return alias, settings.DATABASES.get(alias, {})


def _is_sqlite(database: dict[str, Any]) -> bool:
    return database.get("ENGINE", "").rpartition(".")[2] in ("sqlite3", "spatialite")
