"""Watch the rows that ``serializer.save()`` writes."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.signals import post_save, pre_save
from rest_framework.exceptions import NotFound
from rest_framework.serializers import BaseSerializer

from closient_auth.core.rows import is_own
from closient_auth.mixins.trees import get_shared, iter_models


class Save:
    """The rows that one ``serializer.save()`` writes.

    Rows of the view's model and of the models of the serializer are watched, also in nested serializers. The project may
    change rows of other models as it likes, such as notifications for another organization.
    """

    def __init__(self, rows: Any, serializer: BaseSerializer[Any], missing: NotFound) -> None:
        self.rows = rows
        self.missing = missing
        # The names of shared relations, by model.
        self.shared: dict[type[Model], set[str]] = {}
        shared = rows.view.shared_fields
        for path, model in ((), rows.model), *iter_models(serializer):
            is_shared = any("__".join(path[:length]) in shared for length in range(1, len(path) + 1))
            if model is not None and not is_shared:
                self.shared.setdefault(model, set()).update(get_shared(shared, path))
        self.checked: set[tuple[type[Model], Any]] = set()
        self.written: dict[type[Model], set[Any]] = defaultdict(set)
        self.judged: set[tuple[type[Model], Any]] = set()

    @contextmanager
    def watch(self) -> Iterator["Save"]:
        token = _saves.set((*_saves.get(), self))
        try:
            yield self
        finally:
            _saves.reset(token)

    def check(self, instance: Model, using: str) -> None:
        """Raise ``NotFound`` if this would change a row of another organization."""
        if not self._is_watched(type(instance)):
            return
        for model, pk in iter_stored(instance):
            if (model, pk) in self.checked:
                continue
            paths = self.rows.get_paths(model)
            is_known = is_own(QuerySet(model, using=using), pk, self.rows.organization, paths) if paths else True
            if is_known is False:
                raise self.missing
            if is_known:
                self.checked.add((model, pk))

    def add(self, instance: Model, is_new: bool) -> None:
        """Note a row. Raise ``NotFound`` if it was changed without a check."""
        if not self._is_watched(type(instance)):
            return
        row = (get_concrete(type(instance)), instance.pk)
        # ``save(force_update=True)`` changes a row with a primary key that ``save()`` would insert, and another request may
        # insert a row after the check.
        if not is_new and row not in self.checked:
            raise self.missing
        self.checked.add(row)
        self.written[type(instance)].add(instance.pk)

    def get_rest(self) -> dict[type[Model], set[Any]]:
        """Return the primary keys of the written rows that are not yet judged, by model."""
        rest = {
            model: {pk for pk in pks if (get_concrete(model), pk) not in self.judged}
            for model, pks in self.written.items()
        }
        return {model: pks for model, pks in rest.items() if pks}

    def get_shared(self, model: type[Model]) -> set[str]:
        return {name for watched, names in self.shared.items() if is_same(model, watched) for name in names}

    def _is_watched(self, model: type[Model]) -> bool:
        return any(is_same(model, watched) or is_same(watched, model) for watched in self.shared)


# A ``save()`` may call that of another serializer.
_saves: ContextVar[tuple[Save, ...]] = ContextVar("closient_auth_saves", default=())


def _check_row(sender: Any, instance: Model, using: str, **kwargs: Any) -> None:
    # At the end of ``serializer.save()``, a row that was taken from another organization looks like an own row.
    for save in _saves.get():
        save.check(instance, using)


def _add_row(sender: Any, instance: Model, created: bool, **kwargs: Any) -> None:
    for save in _saves.get():
        save.add(instance, is_new=created)


pre_save.connect(_check_row, dispatch_uid="closient_auth.mixins.check_row")
post_save.connect(_add_row, dispatch_uid="closient_auth.mixins.add_row")


def get_concrete(model: type[Model]) -> type[Model]:
    return model._meta.concrete_model or model


def is_same(model: type[Model], other: type[Model] | None) -> bool:
    """Return whether the rows of a model are rows of the other model, which may be its parent or proxy."""
    return other is not None and issubclass(get_concrete(model), get_concrete(other))


def iter_stored(instance: Model) -> Iterator[tuple[type[Model], Any]]:
    """Yield the models and primary keys of the stored rows that ``save()`` may change, also in the tables of parent models."""
    concrete = get_concrete(type(instance))
    pks = {concrete: instance.pk}
    for model in (concrete, *concrete._meta.get_parent_list()):
        for parent, link in model._meta.parents.items():
            # ``save()`` copies the link to the primary key of the parent.
            pk = getattr(instance, parent._meta.pk.attname)
            pks[parent] = getattr(instance, link.attname) if pk is None and link else pk
    for model, pk in pks.items():
        # Django always inserts a new row with a default for the primary key.
        is_inserted = instance._state.adding and all(
            field.has_default() or field.has_db_default() for field in model._meta.pk_fields
        )
        if pk is not None and not is_inserted:
            yield model, pk
