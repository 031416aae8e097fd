from __future__ import annotations

from datetime import UTC, datetime

from closient_auth.models import ApiKey

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def stored(api_key: ApiKey) -> datetime | None:
    """Return ``last_used`` from the database."""
    return ApiKey.objects.values_list("last_used", flat=True).get(pk=api_key.pk)
