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


def record_use(api_key: ApiKey, defer: Callable[[Callable[[], None]], None], *, at_most_every: int = 0) -> None:
    """Set the key's ``last_used`` to now, at most once in ``LAST_USED_INTERVAL`` seconds. Log database errors.

    With ``ATOMIC_REQUESTS``, let ``defer`` write after the request: inside its transaction, the row lock would serialise
    all requests of one key, and a failing view would roll back the update.
    """
    now = timezone.now()
    # With an interval of 0, only earlier times are replaced: a slow request must not move the time backwards.
    latest = now - max(timedelta(seconds=max(at_most_every, conf.LAST_USED_INTERVAL)), timedelta.resolution)
    if api_key.last_used is not None and api_key.last_used > latest:
        return
    connection = connections[router.db_for_write(ApiKey)]

    def write() -> None:
        # Django's AsyncClient closes the request on another thread, and the test's transaction is still open. To that
        # thread's connection the row is locked or not yet visible.
        if connections[connection.alias] is connection or not connection.in_atomic_block:
            _write(connections[connection.alias], api_key, now, latest)

    if connection.in_atomic_block:
        defer(write)
    else:
        write()


def _write(connection: BaseDatabaseWrapper, api_key: ApiKey, now: datetime, latest: datetime) -> None:
    pk, last_used = _fields()
    values = [(last_used, now), (pk, api_key.pk), (last_used, latest)]
    parameters = [field.get_db_prep_value(value, connection) for field, value in values]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_get_update(connection.alias), parameters)
    except Error as error:
        # Authentication must still work with a read-only database, for example after a failover.
        logger.warning("last_used=not_written api_key=%s error=%s", api_key.pk, type(error).__name__)


@lru_cache
def _get_update(alias: str) -> str:
    # The SQL is written by hand, because the ORM takes twice as long to build it as the database to execute it.
    quote = connections[alias].ops.quote_name
    table, pk, last_used = map(quote, [ApiKey._meta.db_table, *(field.column for field in _fields())])
    # The condition checks the current row, so only one of several concurrent requests writes.
    return f"UPDATE {table} SET {last_used} = %s WHERE {pk} = %s AND ({last_used} IS NULL OR {last_used} <= %s)"


def _fields() -> tuple[Any, Any]:
    return ApiKey._meta.get_field("id"), ApiKey._meta.get_field("last_used")
