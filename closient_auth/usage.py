"""Write ``ApiKey.last_used``: soon, forwards only, and never at the cost of a request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import Error, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest
from django.utils import timezone

from closient_auth.conf import conf
from closient_auth.models import ApiKey

logger = logging.getLogger("closient_auth")


def record_use(api_key: ApiKey, request: HttpRequest) -> None:
    """
    Note that the key was used now: at once, or after the request if that runs in a transaction.

    Inside the transaction (``ATOMIC_REQUESTS``) the row's lock would be held until the view ends, which serialises all
    requests of one key, and a view that fails would roll the note back.
    """
    now = timezone.now()
    if not _is_due(api_key.last_used, now):
        return
    connection = connections[router.db_for_write(ApiKey)]
    if connection.in_atomic_block:
        _call_after(request, connection, lambda: _write(api_key, now))
    else:
        _write(api_key, now)


def _is_due(last_used: datetime | None, now: datetime) -> bool:
    return last_used is None or last_used + timedelta(seconds=conf.LAST_USED_INTERVAL) <= now


def _write(api_key: ApiKey, now: datetime) -> None:
    connection = connections[router.db_for_write(ApiKey)]
    pk, last_used = _fields()
    before = now - timedelta(seconds=conf.LAST_USED_INTERVAL)
    values = [(last_used, now), (pk, api_key.pk), (last_used, now), (last_used, before)]
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                _get_update(connection.alias), [field.get_db_prep_value(value, connection) for field, value in values]
            )
    except Error as error:
        # A read-only database, after a failover say, still authenticates.
        logger.warning("last_used=not_written api_key=%s error=%s", api_key.pk, type(error).__name__)


@lru_cache
def _get_update(alias: str) -> str:
    # Written out: to have the ORM build it costs each request twice what the database takes to do it.
    quote = connections[alias].ops.quote_name
    table, pk, last_used = map(quote, [ApiKey._meta.db_table, *(field.column for field in _fields())])
    # The condition holds against the row as it is by then: a slower request does not move the time backwards, and of
    # many at once within the interval one writes.
    return (
        f"UPDATE {table} SET {last_used} = %s "
        f"WHERE {pk} = %s AND ({last_used} IS NULL OR ({last_used} < %s AND {last_used} <= %s))"
    )


def _fields() -> tuple[Any, Any]:
    return ApiKey._meta.get_field("id"), ApiKey._meta.get_field("last_used")


def _call_after(request: HttpRequest, connection: BaseDatabaseWrapper, write: Callable[[], None]) -> None:
    close = request.close

    # Django closes the request after its transaction has ended and before it closes the connections.
    def close_and_write() -> None:
        close()
        # Django's AsyncClient closes on another thread while the transaction around the test goes on: from there the
        # row is locked or not there yet.
        if connections[connection.alias] is connection or not connection.in_atomic_block:
            write()

    request.close = close_and_write  # type: ignore[method-assign]
