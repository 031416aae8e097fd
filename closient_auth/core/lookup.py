"""Find the API key of a request in one cheap query.

The ORM spends most of a query's time on building the SQL, so each process builds it once. Requests execute it with
Django's cursor, so query logging and ``execute_wrapper`` work as usual. Rows are not cached: a revoked key is refused on
the next request.
"""

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import connections, router

from closient_auth.models import ApiKey

HOLDERS = ("organization", "user")


def find_key(hashed_key: str) -> ApiKey | None:
    """Return the key with this hash, in any state, with its organization or user loaded, or ``None``."""
    # Read from the primary database: a lagging replica would accept a revoked key.
    connection = connections[router.db_for_write(ApiKey)]
    sql, all_converters, parts = _get_select(connection.alias, settings.USE_TZ)
    with connection.cursor() as cursor:
        cursor.execute(sql, [hashed_key])
        row = cursor.fetchone()
    if row is None:
        return None
    values = list(row)
    for column, (converters, expression) in all_converters.items():
        for convert in converters:
            values[column] = convert(values[column], expression, connection)
    unread = iter(values)
    api_key: ApiKey
    api_key, *holders = (_load(connection.alias, model, names, islice(unread, len(names))) for model, names in parts)
    for name, holder in zip(HOLDERS, holders, strict=True):
        _field(name).set_cached_value(api_key, holder)
    return api_key


def _load(alias: str, model: Any, names: list[str], columns: Iterable[Any]) -> Any:
    values = list(columns)
    # A key has one holder, and the columns of the other are null.
    return None if values[names.index(model._meta.pk.attname)] is None else model.from_db(alias, names, values)


# The cache is keyed by every setting the SQL depends on, so ``override_settings`` works.
@lru_cache
def _get_select(alias: str, use_tz: bool) -> tuple[str, dict[int, Any], list[tuple[Any, list[str]]]]:
    """Return the SQL (its parameter is the hash), the converters by column, and each model in a row with its fields."""
    columns: list[str] = []
    parts = []
    for path, model in [("", ApiKey), *((f"{name}__", _field(name).related_model) for name in HOLDERS)]:
        names = [field.attname for field in model._meta.concrete_fields]
        parts.append((model, names))
        columns += [path + name for name in names]
    query = ApiKey.objects.using(alias).filter(hashed_key="any").values_list(*columns).query
    compiler = query.get_compiler(using=alias)
    sql, _ = compiler.as_sql()
    return sql, compiler.get_converters(expression for expression, *_ in compiler.select), parts


def _field(name: str) -> Any:
    return ApiKey._meta.get_field(name)
