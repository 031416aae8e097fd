"""Collect the usage that the store of the rate limits has recorded."""

import time
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from django.db import router
from django.db.models import Q
from django.utils import timezone

from closient_auth.conf import conf
from closient_auth.limits.counter import read_hours
from closient_auth.limits.windows import HOURS_KEPT, Count, Hours, StoreUnavailable
from closient_auth.models import ApiKey, ApiKeyUsage
from closient_auth.models.usage import HOUR, to_hour, to_moment

PAGE_SIZE = 200
# A cache has short timeouts for the sake of requests. A stall must not end the command.
ATTEMPTS, PAUSE = 3, 1


def collect() -> int | None:
    """Add the finished hours of the store to the table, and return the number of rows that were written.

    Return ``None`` if the store records nothing. An hour that was collected adds nothing a second time, so the function can
    be called at any time, also by several processes. Raise ``StoreUnavailable`` if the store does not respond.
    """
    if _read([]) is None:
        return None
    return sum(map(_collect, _iter_families()))


def _collect(families: list[UUID]) -> int:
    current = int(time.time()) // HOUR
    rows = ApiKeyUsage.objects.using(router.db_for_write(ApiKeyUsage)).filter(
        family__in=families, hour__gte=to_moment(current - HOURS_KEPT - 1)
    )
    collected = {
        (family, to_hour(moment)): Count(*counts)
        for family, moment, *counts in rows.values_list("family", "hour", "collected_requests", "collected_refused")
    }
    counts = {
        (family, hour): count
        for family, hours in zip(families, _read(families) or [], strict=True)
        for hour, count in hours.items()
        if hour < current and count != collected.get((family, hour))
    }
    ApiKeyUsage.objects.collect(counts)
    return len(counts)


def _iter_families() -> Iterator[list[UUID]]:
    """Yield the families of all keys that can have been used in the hours that the store keeps.

    These are the active keys, and those whose ``last_used`` is recent. The time alone would miss keys that every view
    refuses, and all keys after an hour in which the database was read-only.
    """
    kept = timezone.now() - timedelta(hours=HOURS_KEPT + 1)
    is_alive = Q(is_active=True) & (Q(expires_at=None) | Q(expires_at__gte=kept))
    was_used = Q(last_used__gte=kept - timedelta(seconds=conf.LAST_USED_INTERVAL))
    rows = ApiKey._base_manager.using(router.db_for_write(ApiKey)).filter(is_alive | was_used)
    rows = rows.order_by("pk")
    while page := [*rows[:PAGE_SIZE].values_list("pk", "family")]:
        # A rotated key and its successor have one family.
        yield [*{family for _, family in page}]
        rows = rows.filter(pk__gt=page[-1][0])


def _read(families: list[UUID]) -> list[Hours] | None:
    for _ in range(1, ATTEMPTS):
        try:
            return read_hours([*map(str, families)])
        except StoreUnavailable:
            time.sleep(PAUSE)
    return read_hours([*map(str, families)])
