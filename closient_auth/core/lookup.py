"""Find the API key of a request in one cheap query.

The ORM spends most of a query's time on building the SQL, so each process builds it once. Requests execute it with
Django's cursor, so query logging and ``execute_wrapper`` work as usual. Rows are not cached: a revoked key is refused on
the next request.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

from closient_auth.models import ApiKey

HOLDERS = ("organization", "user")


def find_key(hashed_key: str) -> ApiKey | None:
    """Return the key with this hash, in any state, with its organization or user loaded, or ``None``."""
    # Read from the primary database: a lagging replica would accept a revoked key.
    connection = connections[router.db_for_write(ApiKey)]
    select = _get_select(connection.alias, settings.USE_TZ)
    with connection.cursor() as cursor:
        cursor.execute(select.sql, [hashed_key])
        row = cursor.fetchone()
    return None if row is None else select.load(row, connection)


class Part(NamedTuple):
    """The columns of a model in a row: its field ``names``, from the index ``start``."""

    model: type[models.Model]
    names: Sequence[str]
    start: int

    def load(self, values: Sequence[Any], alias: str) -> Any:
        """Return the model instance of a row, or ``None`` if its primary key is null."""
        own = values[self.start : self.start + len(self.names)]
        pk = self.names.index(self.model._meta.pk.attname)
        return None if own[pk] is None else self.model.from_db(alias, self.names, own)


class Select(NamedTuple):
    """The SQL to find a key by its hash (the only parameter), and the data to create model instances from a row.

    ``converters`` maps a column's index to its conversion functions and the expression passed to them.
    """

    sql: str
    converters: Mapping[int, tuple[Sequence[Callable[..., Any]], Any]]
    parts: Sequence[Part]

    def load(self, row: Sequence[Any], connection: BaseDatabaseWrapper) -> ApiKey:
        """Return the key of a row, with its organization and user set."""
        values = list(row)
        for column, (converters, expression) in self.converters.items():
            for convert in converters:
                values[column] = convert(values[column], expression, connection)
        api_key: ApiKey
        api_key, *holders = (part.load(values, connection.alias) for part in self.parts)
        for name, holder in zip(HOLDERS, holders, strict=True):
            _field(name).set_cached_value(api_key, holder)
        return api_key


# The cache is keyed by every setting the SQL depends on, so ``override_settings`` works.
@lru_cache
def _get_select(alias: str, use_tz: bool) -> Select:
    columns: list[str] = []
    parts: list[Part] = []
    for path, model in [("", ApiKey), *((f"{name}__", _field(name).related_model) for name in HOLDERS)]:
        names = [field.attname for field in model._meta.concrete_fields]
        parts.append(Part(model, names, start=len(columns)))
        columns += [path + name for name in names]
    query = ApiKey.objects.using(alias).filter(hashed_key="any").values_list(*columns).query
    compiler = query.get_compiler(using=alias)
    sql, _ = compiler.as_sql()
    return Select(sql, compiler.get_converters(expression for expression, *_ in compiler.select), parts)


def _field(name: str) -> Any:
    return ApiKey._meta.get_field(name)
