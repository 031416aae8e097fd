"""Database and cache settings for Django from URLs."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

ENGINES = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite3"}
# A request blocks its worker, so it must not wait long for an unavailable, slow or locked server. The values are
# seconds for MySQL and for connect_timeout, otherwise milliseconds.
TIMEOUTS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "connect_timeout": 2,
        "options": "-c statement_timeout=2000 -c lock_timeout=2000",
        "tcp_user_timeout": 2000,
    },
    "mysql": {"connect_timeout": 2, "read_timeout": 2, "write_timeout": 2},
}


def get_database(url: str | None, sqlite: Path) -> dict[str, Any]:
    """Return the entry of ``DATABASES`` for a URL (its query becomes ``OPTIONS``), by default for the SQLite file."""
    if not url:
        return get_sqlite(str(sqlite))
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        raise ValueError(
            f"EXAMPLE_DATABASE_URL should begin with one of: {', '.join(f'{name}://' for name in ENGINES)}."
        )
    if parts.scheme == "sqlite":
        return get_sqlite(unquote(parts.path.removeprefix("/")))
    engine = ENGINES[parts.scheme]
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": unquote(parts.path.removeprefix("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "OPTIONS": {**TIMEOUTS[engine], **dict(parse_qsl(parts.query))},
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def get_sqlite(name: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "OPTIONS": {
            # IMMEDIATE waits for the write lock. Otherwise a transaction can fail at its first write.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # With WAL, readers and a writer do not block each other.
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        },
    }


def get_cache(redis_url: str | None) -> dict[str, Any]:
    """Return the entry of ``CACHES``: a shared Redis server, or the memory of this process."""
    if redis_url:
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
