"""Update ``ApiKey.last_used`` without failing the request."""

import logging
import time
from collections import OrderedDict
from datetime import datetime, timedelta
from functools import lru_cache

from django.db import Error, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest
from django.utils import timezone

from closient_auth.conf import conf
from closient_auth.core.lookup import find_key
from closient_auth.core.reports import is_due
from closient_auth.core.responses import after_transaction
from closient_auth.models import ApiKey
from closient_auth.models.locks import is_timeout
from closient_auth.roles import KeyHolder

logger = logging.getLogger("closient_auth")

# The attribute of Django's request with the hash of a key whose use needs no other statement.
RECORDED = "_closient_auth_recorded"
# The most milliseconds for reading a key after an attempt to read and write it timed out.
READ_TIMEOUT = 500
# The timeout of the project may be shorter, or 0 for none. The setting ends with the transaction.
SHORTEN_TIMEOUT = """
    SELECT set_config(name, least(nullif(setting::int, 0), %s)::text, true) FROM pg_settings
    WHERE name = 'statement_timeout'
"""
# The number of keys that are remembered as exhausted.
MAX_EXHAUSTED = 10_000

# By the hash of a key, the time until which it has no request left; the latest entry last.
_exhausted: OrderedDict[str, float] = OrderedDict()


def record_use(request: HttpRequest, api_key: ApiKey, *, at_most_every: int = 0) -> None:
    """Set the key's ``last_used`` to now, unless it is less than an interval ago. Log database errors.

    The interval is ``LAST_USED_INTERVAL`` or ``at_most_every``, whichever is longer, in seconds.

    With ``ATOMIC_REQUESTS``, write after the request: inside its transaction, the row lock would serialise all requests of
    one key, and a failing view would roll back the update.
    """
    # A view may call another one with the same request, and that is another use.
    if vars(request).pop(RECORDED, None) == api_key.hashed_key:
        return
    now = timezone.now()
    # With an interval of 0, only earlier times are replaced: a slow request must not move the time backwards.
    interval = timedelta(seconds=max(conf.LAST_USED_INTERVAL, at_most_every))
    latest = now - max(interval, timedelta.resolution)
    if api_key.last_used is None or api_key.last_used <= latest:
        alias = router.db_for_write(ApiKey)
        after_transaction(request, alias, lambda: _write(connections[alias], api_key, now, latest))


def find_and_record_use(request: HttpRequest, hashed_key: str, now: datetime) -> ApiKey | None:
    """Do the same as ``find_key()`` for a key of an organization. If the key is active at ``now``, record its use.

    On PostgreSQL one statement does both, which saves a round trip. Elsewhere and inside a transaction, this leaves the
    use to ``record_use()``, and so it does for an exhausted key: a flood of refused requests writes once a second.
    """
    connection = connections[router.db_for_write(ApiKey)]
    if (
        connection.vendor != "postgresql"
        or conf.LAST_USED_INTERVAL
        or _exhausted.get(hashed_key, 0) > time.time()
        or connection.in_atomic_block
        or not connection.get_autocommit()
    ):
        return find_key(hashed_key, KeyHolder.ORGANIZATION, connection=connection)
    moment, latest = _to_parameters(connection, now, now - timedelta.resolution)
    setattr(request, RECORDED, hashed_key)
    try:
        return find_key(
            hashed_key,
            KeyHolder.ORGANIZATION,
            connection=connection,
            before=_get_update_before_select(connection.alias),
            parameters=[moment, hashed_key, moment, latest],
        )
    except Error as error:
        # Opening another connection would take another timeout.
        if connection.connection is None:
            raise
        api_key = _find_after(error, connection, hashed_key)
        if api_key is not None:
            _report(api_key, error)
        return api_key


def _find_after(error: Error, connection: BaseDatabaseWrapper, hashed_key: str) -> ApiKey | None:
    if not is_timeout(error):
        return find_key(hashed_key, KeyHolder.ORGANIZATION, connection=connection)
    # The statement waited for the row, which can be read, or for something that the ``SELECT`` waits for as well. A request
    # must not wait for a whole timeout twice.
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute(SHORTEN_TIMEOUT, [READ_TIMEOUT])
        return find_key(hashed_key, KeyHolder.ORGANIZATION, connection=connection)


def note_exhausted(api_key: ApiKey, seconds: int) -> None:
    """Remember that the key has no request left for some seconds."""
    # Move the key to the end, so that another one is forgotten first.
    _exhausted.pop(api_key.hashed_key, None)
    _exhausted[api_key.hashed_key] = time.time() + seconds
    if len(_exhausted) > MAX_EXHAUSTED:
        _exhausted.popitem(last=False)


def _write(connection: BaseDatabaseWrapper, api_key: ApiKey, now: datetime, latest: datetime) -> None:
    pk = ApiKey._meta.pk.get_db_prep_value(api_key.pk, connection)
    moment, earlier = _to_parameters(connection, now, latest)
    try:
        with connection.cursor() as cursor:
            # Database drivers convert a string faster than a ``UUID``, and the database accepts both.
            cursor.execute(_get_update(connection.alias, connection.get_autocommit()), [moment, str(pk), earlier])
    except Error as error:
        _report(api_key, error)


def _to_parameters(connection: BaseDatabaseWrapper, *times: datetime) -> list[str]:
    # Drivers convert a string faster than a ``datetime`` as well.
    return [str(connection.ops.adapt_datetimefield_value(time)) for time in times]


def _report(api_key: ApiKey, error: Error) -> None:
    # Authentication must still work with a read-only database, for example after a failover.
    if is_due("last_used"):
        logger.warning("last_used=not_written api_key=%s error=%s", api_key.pk, type(error).__name__)


@lru_cache
def _get_update(alias: str, autocommit: bool, *, key: str = "%s") -> str:
    """Return the ``UPDATE``. Its parameters are the time, those of the expression ``key``, and the latest time to replace."""
    # The SQL is written by hand, because the ORM takes twice as long to build it as the database to execute it.
    connection = connections[alias]
    table, pk, last_used = map(connection.ops.quote_name, [ApiKey._meta.db_table, "id", "last_used"])
    # The condition checks the current row, so only one of several concurrent requests writes.
    update = f"UPDATE {table} SET {last_used} = %s WHERE {pk} = {key} AND ({last_used} IS NULL OR {last_used} <= %s)"
    if connection.vendor == "postgresql" and autocommit:
        # Do not wait for the disk at the commit. PostgreSQL cannot update a row without evaluating the condition, and
        # the setting ends with the transaction. With autocommit that is this statement; any other transaction belongs
        # to the project and must not lose its durability.
        update += " AND set_config('synchronous_commit', 'off', true) = 'off'"
    return update


@lru_cache
def _get_update_before_select(alias: str) -> str:
    """Return the start of a ``SELECT``. Its parameters are the time, the hash, the time, and the latest time to replace."""
    # The inner query and the ``SELECT`` see the row as it was before the statement, so they agree about its state, also
    # if the ``UPDATE`` waits for another transaction.
    active = f"""(SELECT id FROM {ApiKey._meta.db_table} WHERE hashed_key = %s AND is_active AND
        (expires_at IS NULL OR expires_at > %s))"""
    return f"WITH used AS ({_get_update(alias, True, key=active)}) "
