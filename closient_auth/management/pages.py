"""Read long tables in pages."""

from collections.abc import Iterator
from typing import TypeVar

from django.db.models import Model, QuerySet

_Row = TypeVar("_Row", bound=Model)

PAGE_SIZE = 1000


def iter_pages(rows: QuerySet[_Row]) -> Iterator[_Row]:
    """Yield the rows in primary-key order, with one page in memory at a time.

    ``QuerySet.iterator()`` would load all rows on MariaDB, and behind a connection pool without server-side cursors.
    """
    rows = rows.order_by("pk")
    page = list(rows[:PAGE_SIZE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE_SIZE])
