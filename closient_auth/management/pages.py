from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from django.db.models import Model, QuerySet

_Row = TypeVar("_Row", bound=Model)

PAGE_SIZE = 1000


def iter_pages(rows: QuerySet[_Row]) -> Iterator[_Row]:
    """
    Yield the rows in the order of their primary keys, and hold one page of them at a time.

    ``QuerySet.iterator()`` would hold all of them on MariaDB, and behind a pool that takes no server-side cursors.
    """
    rows = rows.order_by("pk")
    page = list(rows[:PAGE_SIZE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE_SIZE])
