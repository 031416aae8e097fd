from __future__ import annotations

from typing import Any


class Current:
    """Send all queries to the current database."""

    alias = "default"

    def db_for_read(self, model: type, **hints: Any) -> str:
        return Current.alias

    db_for_write = db_for_read
