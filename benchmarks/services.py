"""The database and Redis servers of a run, and their CPU time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import redis
from psycopg import sql

NAME = "closient_auth_benchmark"


class Missing(Exception):
    """Raised with the reason when a required server is not available."""


def sqlite(folder: Path) -> dict[str, Any]:
    """Return Django's settings for a new database file, as used in production."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(folder / "benchmark.sqlite3"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


@contextmanager
def postgresql(url: str, name: str = NAME) -> Iterator[dict[str, Any]]:
    """Create a database on the server at ``url``, yield Django's settings for it, and drop it."""
    parts = urlsplit(url)
    try:
        server = psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.Error as error:
        raise Missing(f"no PostgreSQL at {parts.hostname}:{parts.port or 5432} ({type(error).__name__})") from error
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with server:
        server.execute(drop)
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": name,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "HOST": parts.hostname or "",
                "PORT": str(parts.port or ""),
                "CONN_MAX_AGE": None,
                "OPTIONS": {},
            }
        finally:
            server.execute(drop)


@contextmanager
def empty_redis(url: str) -> Iterator[str]:
    """Yield the URL of an empty Redis database, and empty it again at the end."""
    client = redis.Redis.from_url(url, socket_connect_timeout=5)
    try:
        size = client.dbsize()
    except redis.RedisError as error:
        raise Missing(f"no Redis at {url.rpartition('@')[2]} ({type(error).__name__})") from error
    if size:
        raise Missing(f"the Redis database {url.rpartition('@')[2]} has {size} keys: use --redis with an empty one")
    try:
        yield url
    finally:
        client.flushdb()


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU seconds of these processes so far, from the scheduler's statistics (Linux)."""
    return (
        sum(int(path.read_text().split()[0]) for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        / 1e9
    )


def get_children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def get_postgresql_pids(database: dict[str, Any]) -> list[int]:
    """Return the server processes for this database and the WAL writer, or none if they run on another machine.

    After an asynchronous commit, the WAL writer does work that the server process would otherwise do.
    """
    address = {"host": database["HOST"], "port": database["PORT"], "user": database["USER"]}
    with psycopg.connect(dbname="postgres", password=database["PASSWORD"], **address) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s OR backend_type = 'walwriter'"
        rows = connection.execute(query, [database["NAME"]])
        return _local([row[0] for row in rows], "postgres")


def get_redis_pids(url: str) -> list[int]:
    """Return the process of the Redis server, or none if it runs on another machine."""
    return _local([redis.Redis.from_url(url).info("server")["process_id"]], "redis-server")


def _local(pids: list[int], command: str) -> list[int]:
    return [
        pid for pid in pids if _read(f"/proc/{pid}/comm").startswith(command) and os.access(f"/proc/{pid}", os.R_OK)
    ]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
