"""Row locks, taken in one order by everybody."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import OperationalError, models

_held: ContextVar[frozenset[tuple[object, ...]]] = ContextVar("closient_auth_locks", default=frozenset())


def lock_rows(model: type[models.Model], pks: Iterable[Any], using: str) -> None:
    """Lock these rows until the transaction ends, in the order of their primary keys. The model needs ``created_at``.

    This is an UPDATE that changes nothing instead of SELECT FOR UPDATE: it does not block the foreign-key checks of new
    rows, it takes SQLite's write lock before anything is read, and PostgreSQL fails a stale snapshot instead of trusting it.
    """
    for pk in sorted(set(pks)):
        if not is_held(model, pk, using):
            model._base_manager.using(using).filter(pk=pk).update(created_at=models.F("created_at"))


@contextmanager
def held(model: type[models.Model], pk: Any, using: str) -> Iterator[None]:
    """Lock the row, and remember for the block that it is locked."""
    lock_rows(model, [pk], using)
    token = _held.set(_held.get() | {(model, pk, using)})
    try:
        yield
    finally:
        _held.reset(token)


def is_held(model: type[models.Model], pk: Any, using: str) -> bool:
    """Return whether an enclosing ``held()`` block has locked the row."""
    return (model, pk, using) in _held.get()


def is_deadlock(error: Exception) -> bool:
    """Return whether the database rolled the transaction back to end a deadlock: the same request can succeed if repeated."""
    if not isinstance(error, OperationalError):
        return False
    # ER_LOCK_DEADLOCK of MariaDB and MySQL, ``deadlock_detected`` of PostgreSQL.
    return error.args[:1] == (1213,) or getattr(error.__cause__, "sqlstate", None) == "40P01"
