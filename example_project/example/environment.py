"""Django's database and cache settings out of one URL each."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

ENGINES = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite3"}
# A request that waits for a server which is away, silent or locked keeps its worker from others: seconds for MySQL and to
# connect, milliseconds for the rest.
TIMEOUTS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "connect_timeout": 2,
        "options": "-c statement_timeout=2000 -c lock_timeout=2000",
        "tcp_user_timeout": 2000,
    },
    "mysql": {"connect_timeout": 2, "read_timeout": 2, "write_timeout": 2},
}


def get_database(url: str | None, sqlite: Path) -> dict[str, Any]:
    """Return the entry of ``DATABASES`` for a URL, whose query becomes ``OPTIONS``; without one, for the SQLite file."""
    if not url:
        return get_sqlite(str(sqlite))
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        raise ValueError(f"EXAMPLE_DATABASE_URL must begin with one of: {', '.join(f'{name}://' for name in ENGINES)}.")
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
            # A transaction that takes the write lock only at its first write cannot wait for another: it fails at once.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # Readers and the one writer do not stop each other.
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        },
    }


def get_cache(redis_url: str | None) -> dict[str, Any]:
    """Return the entry of ``CACHES``: a Redis server, which all processes share, or the memory of this one."""
    if redis_url:
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
