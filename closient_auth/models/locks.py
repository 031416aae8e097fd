"""Row locks, taken in one order by everybody."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import OperationalError, models

_held: ContextVar[frozenset[tuple[object, ...]]] = ContextVar("closient_auth_locks", default=frozenset())


def lock_rows(model: type[models.Model], pks: Iterable[Any], using: str) -> None:
    """Lock these rows until the transaction ends, in the order of their primary keys. The model needs ``created_at``."""
    # Unlike SELECT FOR UPDATE, an UPDATE that changes nothing does not block the foreign-key checks of new rows, takes
    # SQLite's write lock before anything is read, and fails on a stale PostgreSQL snapshot.
    for pk in sorted(set(pks)):
        if (model._meta.concrete_model, pk, using) not in _held.get():
            model._base_manager.using(using).filter(pk=pk).update(created_at=models.F("created_at"))


@contextmanager
def held(row: models.Model, using: str) -> Iterator[None]:
    """Lock the row, and remember for the block that it is locked."""
    lock_rows(type(row), [row.pk], using)
    token = _held.set(_held.get() | {(row._meta.concrete_model, row.pk, using)})
    try:
        yield
    finally:
        _held.reset(token)


def is_held(row: models.Model, using: str) -> bool:
    """Return whether an enclosing ``held()`` block has locked the row."""
    return (row._meta.concrete_model, row.pk, using) in _held.get()


def is_deadlock(error: Exception) -> bool:
    """Return whether the database rolled the transaction back to end a deadlock: the same request can succeed if repeated."""
    if not isinstance(error, OperationalError):
        return False
    # ER_LOCK_DEADLOCK of MariaDB and MySQL, ``deadlock_detected`` of PostgreSQL.
    return error.args[:1] == (1213,) or _get_state(error) == "40P01"


def is_timeout(error: Exception) -> bool:
    """Return whether PostgreSQL ended a statement that took longer, or waited longer for a lock, than it may."""
    # ``query_canceled`` and ``lock_not_available``.
    return _get_state(error) in {"57014", "55P03"}


def _get_state(error: Exception) -> Any:
    # psycopg and psycopg2 have other names for the SQLSTATE.
    return getattr(error.__cause__, "sqlstate", None) or getattr(error.__cause__, "pgcode", None)
