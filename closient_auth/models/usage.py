"""The usage history: the requests of each key in each hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from django.conf import settings
from django.db import OperationalError, connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from closient_auth.limits.windows import Count
from closient_auth.models.api_keys import ApiKey
from closient_auth.models.locks import is_deadlock

HOUR = 3600
BATCH_SIZE = 1000
ATTEMPTS = 3
COLUMNS = ("id", "family", "hour", "requests", "refused", "collected_requests", "collected_refused")


# By the family of the keys, and the hour as the number of hours since 1970 (UTC)
Counts: TypeAlias = Mapping[tuple[UUID, int], Count]


def to_moment(hour: int) -> datetime:
    """Return the start of an hour as the database stores it."""
    moment = datetime.fromtimestamp(hour * HOUR, UTC)
    # Without ``USE_TZ``, Django would store local time, which is ambiguous in the hour in which summer time ends.
    return moment if settings.USE_TZ else moment.replace(tzinfo=None)


def to_hour(moment: datetime) -> int:
    """Return the hour of a time. A naive time is in UTC."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) // HOUR


class ApiKeyUsageQuerySet(models.QuerySet["ApiKeyUsage"]):
    """The manager and queryset of ``ApiKeyUsage``."""

    def add(self, counts: Counts) -> None:
        """Add these counts to the rows, in statements of ``BATCH_SIZE`` rows.

        Concurrent calls are exact, because one statement reads and writes a row.
        """
        self._write([(family, hour, *count, 0, 0) for (family, hour), count in counts.items()])

    def collect(self, counts: Counts) -> None:
        """Add these totals of a shared counter, without what an earlier call has already added of them."""
        self._write([(family, hour, *count, *count) for (family, hour), count in counts.items()])

    def _write(self, rows: list[tuple[UUID, int, int, int, int, int]]) -> None:
        connection = connections[self._get_alias()]
        fields: list[Any] = [self.model._meta.get_field(name) for name in COLUMNS]
        # Concurrent statements lock the rows in the same order, so they do not deadlock.
        rows.sort()
        for start in range(0, len(rows), BATCH_SIZE):
            parameters = [
                field.get_db_prep_save(value, connection)
                for family, hour, *counts in rows[start : start + BATCH_SIZE]
                for field, value in zip(fields, (uuid4(), family, to_moment(hour), *counts), strict=True)
            ]
            _execute(connection, _get_upsert(connection.alias, len(parameters) // len(fields)), parameters)

    def prune(self, older_than: datetime) -> int:
        """Delete the rows of hours before ``older_than`` in short transactions, and return their number."""
        aware = timezone.make_aware(older_than) if timezone.is_naive(older_than) else older_than
        return sum(batch.delete()[0] for batch in self.filter(hour__lt=to_moment(to_hour(aware)))._iter_batches())

    def prune_orphans(self) -> int:
        """Delete the rows of families without a key in short transactions, and return their number."""
        return sum(
            batch.delete()[0]
            for families in self._iter_orphans()
            for batch in self.filter(family__in=families)._iter_batches()
        )

    def _get_alias(self) -> str:
        return self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]

    def _iter_orphans(self) -> Iterator[set[UUID]]:
        using = self._get_alias()
        families = self.using(using).order_by("family").values_list("family", flat=True).distinct()
        page = list(families[:BATCH_SIZE])
        while page:
            keys = ApiKey._base_manager.using(router.db_for_write(ApiKey)).filter(family__in=page)
            yield {*page}.difference(keys.values_list("family", flat=True))
            page = list(families.filter(family__gt=page[-1])[:BATCH_SIZE])

    def _iter_batches(self) -> Iterator[ApiKeyUsageQuerySet]:
        """Yield querysets of at most ``BATCH_SIZE`` rows, selected by primary key: a write then locks no other row."""
        using = self._get_alias()
        pks = self.using(using).order_by("pk").values_list("pk", flat=True)
        while batch := list(pks[:BATCH_SIZE]):
            yield self.model.objects.using(using).filter(pk__in=batch)
            pks = pks.filter(pk__gt=batch[-1])


class ApiKeyUsage(models.Model):
    """The requests of a key and its rotated successors (a family) in one hour.

    ``requests`` were admitted and ``refused`` were answered with 429, so no request is in both. ``hour`` is the start of the
    hour in UTC; without ``USE_TZ`` it is naive, and also in UTC.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    # Not a foreign key, because a family has several keys.
    family = models.UUIDField(_("family"))
    hour = models.DateTimeField(_("hour"))
    requests = models.PositiveBigIntegerField(_("requests"), default=0)
    refused = models.PositiveBigIntegerField(_("refused requests"), default=0)
    # The parts of the numbers above that came from the shared counter. The counter's totals can be collected again.
    collected_requests = models.PositiveBigIntegerField(default=0, editable=False)
    collected_refused = models.PositiveBigIntegerField(default=0, editable=False)

    objects = ApiKeyUsageQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key usage")
        verbose_name_plural = _("API key usage")
        constraints = [models.UniqueConstraint(fields=["family", "hour"], name="closient_auth_apikeyusage_once")]
        indexes = [models.Index(fields=["hour"], name="closient_auth_apikeyusage_hour")]

    def __str__(self) -> str:
        return f"{self.family} {self.hour:%Y-%m-%d %H:%M}: {self.requests}"


def _execute(connection: BaseDatabaseWrapper, sql: str, parameters: list[Any]) -> None:
    attempts = 1
    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
            return
        except OperationalError as error:
            # MariaDB locks the gaps between rows, so statements that write rows in the same order may deadlock as well. It
            # has rolled back the whole transaction.
            if attempts == ATTEMPTS or connection.in_atomic_block or not is_deadlock(error):
                raise
            attempts += 1


@lru_cache(maxsize=64)
def _get_upsert(alias: str, number: int) -> str:
    """Return the statement to write a number of rows. ``bulk_create()`` can replace values, but not add to them."""
    connection = connections[alias]
    quote = connection.ops.quote_name
    table = quote(ApiKeyUsage._meta.db_table)
    new, conflict = "excluded.{}", f"ON CONFLICT ({quote('family')}, {quote('hour')}) DO UPDATE SET"
    if connection.vendor == "mysql":
        new, conflict = "VALUES({})", "ON DUPLICATE KEY UPDATE"
    total, collected = [], []
    for name in ("requests", "refused"):
        old_total, old_part = f"{table}.{quote(name)}", f"{table}.{quote(f'collected_{name}')}"
        new_total, new_part = new.format(quote(name)), new.format(quote(f"collected_{name}"))
        more = f"CASE WHEN {new_part} > {old_part} THEN {new_part} - {old_part} ELSE 0 END"
        total.append(f"{quote(name)} = {old_total} + {new_total} - {new_part} + {more}")
        collected.append(f"{quote(f'collected_{name}')} = {old_part} + {more}")
    # MariaDB assigns from left to right, so the totals come before the parts that they read.
    values = ", ".join([f"({', '.join(['%s'] * len(COLUMNS))})"] * number)
    columns = ", ".join(map(quote, COLUMNS))
    return f"INSERT INTO {table} ({columns}) VALUES {values} {conflict} {', '.join(total + collected)}"
