"""Compare all tables before and after a request."""

from __future__ import annotations

from typing import Any

from django.db import connection

from closient_auth.models import ApiKey

Tables = dict[str, list[Any]]


def read_tables() -> Tables:
    """Return the rows of each table, without ``last_used``, which every request with a valid key changes."""
    columns = ", ".join(str(field.column) for field in ApiKey._meta.fields if field.name != "last_used")
    tables = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names():
            names = columns if table == ApiKey._meta.db_table else "*"
            cursor.execute(f"SELECT {names} FROM {table} ORDER BY 1")
            tables[table] = cursor.fetchall()
    return tables


def list_changes(before: Tables) -> set[str]:
    """Return the names of the tables that have changed."""
    return {table for table, rows in read_tables().items() if rows != before[table]}
