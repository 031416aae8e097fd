"""Update ``ApiKey.last_used`` without failing the request."""

import logging
from datetime import datetime, timedelta
from functools import lru_cache

from django.db import Error, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest
from django.utils import timezone

from closient_auth.conf import conf
from closient_auth.core.reports import is_due
from closient_auth.core.responses import after_transaction
from closient_auth.models import ApiKey

logger = logging.getLogger("closient_auth")


def record_use(request: HttpRequest, api_key: ApiKey, *, at_most_every: int = 0) -> None:
    """Set the key's ``last_used`` to now, unless it is less than an interval ago. Log database errors.

    The interval is ``LAST_USED_INTERVAL`` or ``at_most_every``, whichever is longer, in seconds.

    With ``ATOMIC_REQUESTS``, write after the request: inside its transaction, the row lock would serialise all requests of
    one key, and a failing view would roll back the update.
    """
    now = timezone.now()
    # With an interval of 0, only earlier times are replaced: a slow request must not move the time backwards.
    interval = timedelta(seconds=max(conf.LAST_USED_INTERVAL, at_most_every))
    latest = now - max(interval, timedelta.resolution)
    if api_key.last_used is None or api_key.last_used <= latest:
        alias = router.db_for_write(ApiKey)
        after_transaction(request, alias, lambda: _write(connections[alias], api_key, now, latest))


def _write(connection: BaseDatabaseWrapper, api_key: ApiKey, now: datetime, latest: datetime) -> None:
    adapt_time = connection.ops.adapt_datetimefield_value
    pk = ApiKey._meta.pk.get_db_prep_value(api_key.pk, connection)
    # Database drivers convert a string faster than a ``datetime`` or ``UUID``, and the database accepts both.
    parameters = [str(value) for value in (adapt_time(now), pk, adapt_time(latest))]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_get_update(connection.alias, connection.get_autocommit()), parameters)
    except Error as error:
        # Authentication must still work with a read-only database, for example after a failover.
        if is_due("last_used"):
            logger.warning("last_used=not_written api_key=%s error=%s", api_key.pk, type(error).__name__)


@lru_cache
def _get_update(alias: str, autocommit: bool) -> str:
    # The SQL is written by hand, because the ORM takes twice as long to build it as the database to execute it.
    connection = connections[alias]
    table, pk, last_used = map(connection.ops.quote_name, [ApiKey._meta.db_table, "id", "last_used"])
    # The condition checks the current row, so only one of several concurrent requests writes.
    update = f"UPDATE {table} SET {last_used} = %s WHERE {pk} = %s AND ({last_used} IS NULL OR {last_used} <= %s)"
    if connection.vendor == "postgresql" and autocommit:
        # Do not wait for the disk at the commit. PostgreSQL cannot update a row without evaluating the condition, and
        # the setting ends with the transaction. With autocommit that is this statement; any other transaction belongs
        # to the project and must not lose its durability.
        update += " AND set_config('synchronous_commit', 'off', true) = 'off'"
    return update
