from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection

from closient_auth.models import ApiKey

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)

# The statements of a request that only reads the key, and of one that writes ``last_used`` as well.
LOOK = ["SELECT"]
LATER = ["SELECT", "UPDATE"]
# The same for the key of an organization outside a transaction, before its state is known. On PostgreSQL, one statement
# reads the key and writes ``last_used`` if the key is active.
LOOK_AT_ONCE, AT_ONCE = (["WITH"], ["WITH"]) if connection.vendor == "postgresql" else (LOOK, LATER)


def stored(api_key: ApiKey) -> datetime | None:
    """Return ``last_used`` from the database."""
    return ApiKey.objects.values_list("last_used", flat=True).get(pk=api_key.pk)
