from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db import connection


def share_database(directory: Path) -> dict[str, Any]:
    """
    Return the entry of ``DATABASES`` by which another process reaches the rows of this test.

    SQLite's are in this process's memory: there it is a copy of them as they are now, in a file.
    """
    database: dict[str, Any] = {
        name: connection.settings_dict[name] for name in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    }
    database["CONN_MAX_AGE"] = None
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(directory / "db.sqlite3")) as copy:
            connection.connection.backup(copy)
            # Here and not when a connection opens: the switch does not wait for locks, so that of the first requests
            # at once some would fail.
            copy.execute("PRAGMA journal_mode = WAL")
        database["NAME"] = str(directory / "db.sqlite3")
        database["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
    return database
