"""Find the API key of a request in one cheap query.

The ORM spends most of a query's time on building the SQL, so each process builds it once. Requests execute it with
Django's cursor, so query logging and ``execute_wrapper`` work as usual. Rows are not cached: a revoked key is refused on
the next request.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from closient_auth.models import ApiKey
from closient_auth.models.people import may_hide_users
from closient_auth.roles import KeyHolder


class _Part(NamedTuple):
    """One of the models in a row: the names of its fields, its columns, and the column of its primary key."""

    model: Any
    names: list[str]
    columns: slice
    pk: int

    def load(self, alias: str, row: list[Any]) -> Any:
        # A key has one holder, and the columns of the other are null.
        return None if row[self.pk] is None else self.model.from_db(alias, self.names, row[self.columns])


class _Select(NamedTuple):
    """A ``SELECT`` whose parameter is the hash. ``others`` are the fields of the holders that it does not read.

    The columns before ``own`` are those of models of this package.
    """

    sql: str
    converters: dict[int, Any]
    key: _Part
    holders: list[tuple[Any, _Part]]
    others: list[Any]
    own: int


def find_key(
    hashed_key: str,
    holder: KeyHolder | None = None,
    *,
    connection: BaseDatabaseWrapper | None = None,
    before: str = "",
    parameters: Sequence[str] = (),
) -> ApiKey | None:
    """Return the key with this hash, in any state, with its organization or user loaded, or ``None``.

    If the type of the key is known, ``holder`` saves a join: the query reads only this holder. If the key has another
    holder after all, reading that takes another query. ``before`` is SQL before the ``SELECT``, with its ``parameters``,
    for keys of an organization.
    The default ``connection`` is that to the primary database.
    """
    if connection is None:
        # A lagging replica would accept a revoked key.
        connection = connections[router.db_for_write(ApiKey)]
    if holder != KeyHolder.ORGANIZATION and may_hide_users():
        # Only the manager knows the SQL that finds its users now.
        return ApiKey.objects.using(connection.alias).with_holders().filter(hashed_key=hashed_key).first()
    select = _get_select(connection.alias, settings.USE_TZ, holder)
    with connection.cursor() as cursor:
        cursor.execute(before + select.sql, [*parameters, hashed_key])
        row = cursor.fetchone()
    if row is None:
        return None
    values = list(row)
    for column, (converters, expression) in select.converters.items():
        # Most columns of a key are null, and the fields of this package have no value for that. A user model may have one.
        if row[column] is not None or column >= select.own:
            for convert in converters:
                values[column] = convert(values[column], expression, connection)
    api_key: ApiKey = select.key.load(connection.alias, values)
    for field, part in select.holders:
        field.set_cached_value(api_key, part.load(connection.alias, values))
    for field in select.others:
        # A key without a user has no user to load.
        if getattr(api_key, field.attname) is None:
            field.set_cached_value(api_key, None)
    return api_key


# The cache is keyed by every setting the SQL depends on, so ``override_settings`` works.
@lru_cache
def _get_select(alias: str, use_tz: bool, holder: KeyHolder | None) -> _Select:
    # The columns of the query come in the order of the model's fields.
    fields: list[Any] = [field for field in ApiKey._meta.concrete_fields if field.name in list(KeyHolder)]
    read = [field for field in fields if holder in (None, field.name)]
    query = ApiKey.objects.using(alias).select_related(*[field.name for field in read]).filter(hashed_key="any").query
    compiler = query.get_compiler(using=alias)
    sql, _ = compiler.as_sql()
    parts: list[_Part] = []
    for model in (ApiKey, *(field.related_model for field in read)):
        start = parts[-1].columns.stop if parts else 0
        names = [field.attname for field in model._meta.concrete_fields]
        columns = slice(start, start + len(names))
        parts.append(_Part(model, names, columns, start + names.index(model._meta.pk.attname)))
    key, *holders = parts
    converters = compiler.get_converters(expression for expression, *_ in compiler.select)
    others = [field for field in fields if field not in read]
    # The organization comes first.
    own = max(part.columns.stop for part in parts if part.model._meta.app_label == ApiKey._meta.app_label)
    return _Select(sql, converters, key, list(zip(read, holders, strict=True)), others, own)
