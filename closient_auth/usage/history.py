"""Read the usage history of API keys."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import Error, router

from closient_auth.limits.counter import read_hours
from closient_auth.limits.windows import HOURS_KEPT, Hours, StoreUnavailable
from closient_auth.models import ApiKeyUsage
from closient_auth.models.usage import HOUR, to_hour, to_moment

logger = logging.getLogger("closient_auth")

# The length of an interval in hours. A day starts at midnight in UTC.
INTERVALS = {"hour": 1, "day": 24}
COUNTS = ("requests", "refused", "collected_requests", "collected_refused")


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
    point with zeros. The number of queries does not depend on the number of families. While the database or the cache is
    unavailable, its part of the numbers is missing.
    """
    numbers, length = _get_intervals(start, end, interval)
    totals: dict[UUID, dict[int, tuple[int, int]]] = {family: {} for family in families}
    for family, hour, count in _read_hours(totals, numbers, length):
        _add(totals[family], hour // length, count)
    return {family: _to_points(total, numbers, length) for family, total in totals.items()}


def read_total(families: Collection[UUID], start: datetime, end: datetime, *, interval: str = "day") -> list[Point]:
    """Return the points of all families together. The arguments are those of ``read_history()``."""
    numbers, length = _get_intervals(start, end, interval)
    total: dict[int, tuple[int, int]] = {}
    for _, hour, count in _read_hours(families, numbers, length):
        _add(total, hour // length, count)
    return _to_points(total, numbers, length)


def _get_intervals(start: datetime, end: datetime, interval: str) -> tuple[range, int]:
    """Return the numbers of the intervals since 1970, and their length in hours."""
    length = INTERVALS[interval]
    return range(to_hour(start) // length, to_hour(end - timedelta.resolution) // length + 1), length


def _add(total: dict[int, tuple[int, int]], number: int, more: tuple[int, int]) -> None:
    requests, refused = total.get(number, (0, 0))
    total[number] = (requests + more[0], refused + more[1])


def _to_points(total: Mapping[int, tuple[int, int]], numbers: range, length: int) -> list[Point]:
    return [
        Point(datetime.fromtimestamp(number * length * HOUR, UTC), *total.get(number, (0, 0))) for number in numbers
    ]


def _read_hours(families: Collection[UUID], numbers: range, length: int) -> Iterator[tuple[UUID, int, tuple[int, int]]]:
    """Yield the counts of the table, and those of the cache that are not in the table yet."""
    first, end = numbers.start * length, numbers.stop * length
    # A lagging replica would lack the last hours.
    rows = ApiKeyUsage.objects.using(router.db_for_write(ApiKeyUsage))
    rows = rows.filter(family__in=families, hour__gte=to_moment(first), hour__lt=to_moment(end))
    collected: dict[tuple[UUID, int], tuple[int, int]] = {}
    # A page of keys has tens of thousands of rows. Only those of the last hours have a part in the cache.
    recent = to_moment(int(time.time()) // HOUR - HOURS_KEPT - 1)
    try:
        for family, moment, requests, refused, *parts in rows.values_list("family", "hour", *COUNTS):
            hour = to_hour(moment)
            if moment >= recent:
                collected[family, hour] = (parts[0], parts[1])
            yield family, hour, (requests, refused)
    except Error as error:
        _report("table", error)
    for family, hours in _read_store([*families], first, end):
        for hour, total in hours.items():
            known = collected.get((family, hour), (0, 0))
            if first <= hour < end:
                yield family, hour, (max(0, total[0] - known[0]), max(0, total[1] - known[1]))


def _read_store(families: Sequence[UUID], first: int, end: int) -> Iterable[tuple[UUID, Hours]]:
    current = int(time.time()) // HOUR
    # A page about last year does not need the cache. The clocks of the servers may differ.
    if not families or end < current - HOURS_KEPT or first > current + 1:
        return ()
    try:
        return zip(families, read_hours([*map(str, families)]) or [], strict=False)
    except StoreUnavailable as error:
        _report("cache", error)
        return ()


def _report(part: str, error: Exception) -> None:
    logger.warning("usage=not_read part=%s error=%s", part, type(error).__name__)
