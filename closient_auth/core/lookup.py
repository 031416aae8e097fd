"""Find the API key of a request in one cheap query.

The ORM spends most of a query's time on building the SQL, so each process builds it once. Requests execute it with
Django's cursor, so query logging and ``execute_wrapper`` work as usual. Rows are not cached: a revoked key is refused on
the next request.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connections, router

from closient_auth.models import ApiKey
from closient_auth.roles import KeyHolder

# The columns of a query come in this order, which is that of the model's fields.
HOLDERS = (KeyHolder.ORGANIZATION, KeyHolder.USER)


def find_key(
    hashed_key: str,
    holder: KeyHolder | None = None,
    *,
    using: str | None = None,
    before: str = "",
    parameters: Sequence[str] = (),
) -> ApiKey | None:
    """Return the key with this hash, in any state, with its organization or user loaded, or ``None``.

    If the type of the key is known, ``holder`` saves a join: the query reads only this holder. If the key has another
    holder after all, reading that takes another query. ``before`` is SQL before the ``SELECT``, with its ``parameters``,
    for the database ``using``.
    """
    # Read from the primary database: a lagging replica would accept a revoked key.
    connection = connections[using or router.db_for_write(ApiKey)]
    holders = HOLDERS if holder is None else (holder,)
    sql, all_converters, models = _get_select(connection.alias, settings.USE_TZ, holders)
    with connection.cursor() as cursor:
        cursor.execute(before + sql, [*parameters, hashed_key])
        row = cursor.fetchone()
    if row is None:
        return None
    values = list(row)
    for column, (converters, expression) in all_converters.items():
        for convert in converters:
            values[column] = convert(values[column], expression, connection)
    api_key: Any
    # A key has one holder, and the columns of the other are null.
    api_key, *instances = (
        None if values[pk] is None else model.from_db(connection.alias, names, values[columns])
        for model, names, pk, columns in models
    )
    found = dict(zip(holders, instances, strict=True))
    for name in HOLDERS:
        # A key without a user has no user to load.
        if name in found or getattr(api_key, f"{name}_id") is None:
            _field(name).set_cached_value(api_key, found.get(name))
    return api_key  # type: ignore[no-any-return]


# The cache is keyed by every setting the SQL depends on, so ``override_settings`` works.
@lru_cache
def _get_select(
    alias: str, use_tz: bool, holders: tuple[KeyHolder, ...]
) -> tuple[str, dict[int, Any], list[tuple[Any, list[str], int, slice]]]:
    """Return the SQL (its parameter is the hash) and the converters by column.

    Then, for each model in a row, return its fields, the column of its primary key, and all its columns.
    """
    query = ApiKey.objects.using(alias).select_related(*holders).filter(hashed_key="any").query
    compiler = query.get_compiler(using=alias)
    sql, _ = compiler.as_sql()
    models, start = [], 0
    for model in (ApiKey, *(_field(name).related_model for name in holders)):
        names = [field.attname for field in model._meta.concrete_fields]
        end = start + len(names)
        models.append((model, names, start + names.index(model._meta.pk.attname), slice(start, end)))
        start = end
    return sql, compiler.get_converters(expression for expression, *_ in compiler.select), models


def _field(name: str) -> Any:
    return ApiKey._meta.get_field(name)
