from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db import connection


def share_database(directory: Path) -> dict[str, Any]:
    """
    Return a ``DATABASES`` entry with which another process can read the rows of this test.

    SQLite keeps the rows in memory, so its entry is a file with a copy of the current rows.
    """
    database: dict[str, Any] = {
        name: connection.settings_dict[name] for name in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    }
    database["CONN_MAX_AGE"] = None
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(directory / "db.sqlite3")) as copy:
            connection.connection.backup(copy)
            # Set WAL mode now: the switch does not wait for locks and could fail in concurrent first requests.
            copy.execute("PRAGMA journal_mode = WAL")
        database["NAME"] = str(directory / "db.sqlite3")
        database["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
    return database
