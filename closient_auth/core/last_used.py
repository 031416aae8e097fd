"""Update ``ApiKey.last_used`` without failing the request."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import Error, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from closient_auth.conf import conf
from closient_auth.models import ApiKey

logger = logging.getLogger("closient_auth")


def record_use(api_key: ApiKey, defer: Callable[[Callable[[], None]], None]) -> None:
    """Set the key's ``last_used`` to now, at most once in ``LAST_USED_INTERVAL`` seconds. Log database errors.

    With ``ATOMIC_REQUESTS``, let ``defer`` write after the request: inside its transaction, the row lock would serialise
    all requests of one key, and a failing view would roll back the update.
    """
    now = timezone.now()
    if not _is_due(api_key.last_used, now):
        return
    connection = connections[router.db_for_write(ApiKey)]
    if connection.in_atomic_block:
        defer(lambda: _write_unless_in(connection, api_key, now))
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
        # Authentication must still work with a read-only database, for example after a failover.
        logger.warning("last_used=not_written api_key=%s error=%s", api_key.pk, type(error).__name__)


@lru_cache
def _get_update(alias: str) -> str:
    # The SQL is written by hand, because the ORM takes twice as long to build it as the database to execute it.
    quote = connections[alias].ops.quote_name
    table, pk, last_used = map(quote, [ApiKey._meta.db_table, *(field.column for field in _fields())])
    # The condition checks the current row: a slow request cannot move the time backwards, and only one of several
    # concurrent requests writes.
    return (
        f"UPDATE {table} SET {last_used} = %s "
        f"WHERE {pk} = %s AND ({last_used} IS NULL OR ({last_used} < %s AND {last_used} <= %s))"
    )


def _fields() -> tuple[Any, Any]:
    return ApiKey._meta.get_field("id"), ApiKey._meta.get_field("last_used")


def _write_unless_in(connection: BaseDatabaseWrapper, api_key: ApiKey, now: datetime) -> None:
    # Django's AsyncClient closes the request on another thread, and the test's transaction is still open. To that
    # thread's connection the row is locked or not yet visible.
    if connections[connection.alias] is connection or not connection.in_atomic_block:
        _write(api_key, now)
