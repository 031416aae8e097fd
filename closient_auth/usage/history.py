"""Read the usage history of API keys."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import Error

from closient_auth.models import ApiKeyUsage
from closient_auth.models.usage import HOUR, Count, to_hour, to_moment

logger = logging.getLogger("closient_auth")

# The length of an interval in hours. A day starts at midnight in UTC.
INTERVALS = {"hour": 1, "day": 24}


class Point(NamedTuple):
    """The requests of an interval: admitted ones, and those refused with 429. ``start`` is in UTC."""

    start: datetime
    requests: int
    refused: int


def read_history(
    families: Collection[UUID], start: datetime, end: datetime, *, interval: str = "day"
) -> dict[UUID, list[Point]]:
    """Return the points of each family from ``start`` up to ``end``, which are aware times.

    ``interval`` is ``"hour"`` or ``"day"``. The first and the last interval are whole. An interval without requests has a
    point with zeros. The number of queries does not depend on the number of families. If the database or the cache is
    unavailable, its part of the numbers is missing.
    """
    length = INTERVALS[interval]
    first, last = to_hour(start) // length, to_hour(end - timedelta.resolution) // length
    totals: dict[tuple[UUID, int], list[int]] = defaultdict(lambda: [0, 0])
    for family, hour, count in _read_table(families, first * length, (last + 1) * length):
        total = totals[family, hour // length]
        total[0] += count.requests
        total[1] += count.refused
    starts = [(number, datetime.fromtimestamp(number * length * HOUR, UTC)) for number in range(first, last + 1)]
    return {
        family: [Point(start, *totals.get((family, number), (0, 0))) for number, start in starts] for family in families
    }


def _read_table(families: Collection[UUID], first: int, end: int) -> Iterator[tuple[UUID, int, Count]]:
    rows = ApiKeyUsage.objects.filter(family__in=families, hour__gte=to_moment(first), hour__lt=to_moment(end))
    try:
        for family, moment, requests, refused in rows.values_list("family", "hour", "requests", "refused"):
            yield family, to_hour(moment), Count(requests, refused)
    except Error as error:
        logger.warning("usage=not_read error=%s", type(error).__name__)
