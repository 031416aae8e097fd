"""Rules of the rate-limit cache and the database."""

from collections.abc import Iterator, Sequence

from django.apps import apps
from django.conf import settings
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.db import router
from django.utils.module_loading import import_string

from closient_auth.checks.rules import Finding
from closient_auth.checks.views import DefaultView, View, includes
from closient_auth.models import ApiKey
from closient_auth.throttling import ApiKeyRateThrottle

UNSUITABLE_CACHES = {
    LocMemCache: "is local to one process, so each process allows the full limit",
    DummyCache: "stores nothing, so no limit is ever reached",
    FileBasedCache: "does not count atomically, so concurrent requests are not all counted",
    DatabaseCache: "does not count atomically, so concurrent requests are not all counted",
}


def find_caches(views: Sequence[View]) -> Iterator[Finding]:
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
    if not any(includes(view.throttles, ApiKeyRateThrottle) for view in (DefaultView(), *views)):
        return
    if alias not in settings.CACHES:
        yield Finding("E009", values={"alias": alias, "known": ", ".join(sorted(settings.CACHES))})
    # Development needs only one process and no cache server.
    elif not settings.DEBUG:
        if fault:
            yield Finding("W006", values={"alias": alias, "fault": fault})
        if not getattr(settings, "RATELIMIT_ENABLE", True):
            yield Finding("W007")


def find_databases() -> Iterator[Finding]:
    alias = router.db_for_write(ApiKey)
    database = settings.DATABASES.get(alias, {})
    is_sqlite = database.get("ENGINE", "").rpartition(".")[2] in ("sqlite3", "spatialite")
    mode = str(database.get("OPTIONS", {}).get("transaction_mode", "")).upper()
    if is_sqlite and database.get("ATOMIC_REQUESTS") and mode not in ("IMMEDIATE", "EXCLUSIVE"):
        yield Finding("W009", values={"alias": alias})
