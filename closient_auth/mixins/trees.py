"""Walk the fields of a serializer, and the serializers and lists in it."""

from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import Model
from rest_framework.fields import Field
from rest_framework.relations import RelatedField
from rest_framework.serializers import BaseSerializer, Serializer

from closient_auth.fields import OrganizationRelation


def get_model(serializer: Any) -> type[Model] | None:
    meta = getattr(getattr(serializer, "child", serializer), "Meta", None)
    return getattr(meta, "model", None)


def iter_fields(
    field: Any, path: tuple[str, ...] = (), classes: tuple[type, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the writable fields of a serializer, also in nested serializers and lists, each with its path."""
    if field.read_only:
        return
    path += _get_sources(field)
    yield path, field
    children: Collection[Any] = ()
    # A serializer may contain itself.
    if isinstance(field, Serializer) and type(field) not in classes:
        children, classes = field.fields.values(), (*classes, type(field))
    for child in (*children, getattr(field, "child", None), getattr(field, "child_relation", None)):
        if isinstance(child, Field):
            yield from iter_fields(child, path, classes)


def iter_relations(serializer: Any) -> Iterator[tuple[str, Any]]:
    for path, field in iter_fields(serializer):
        if isinstance(field, RelatedField) and not isinstance(field, OrganizationRelation):
            yield "__".join(path), field


def iter_models(serializer: Any) -> Iterator[tuple[tuple[str, ...], type[Model]]]:
    for path, field in iter_fields(serializer):
        model = get_model(field) if isinstance(field, BaseSerializer) else None
        if model is not None:
            yield path, model


def get_shared(names: Collection[str], path: tuple[str, ...]) -> set[str]:
    """Return the shared relations of the serializer at a path."""
    prefix = "".join(f"{name}__" for name in path)
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def iter_nested(serializer: Any, model: type[Model]) -> Iterator[tuple[tuple[str, ...], str, type[Model], Any]]:
    """Yield the writable nested serializers of rows, each with its path, its lookup path, and the model of its rows."""
    serializer = getattr(serializer, "child", serializer)
    fields = serializer.fields.values() if isinstance(serializer, Serializer) else ()
    for field in fields:
        if field.read_only or not isinstance(field, BaseSerializer):
            continue
        sources, lookups, related = _get_sources(field), [], model
        for source in sources:
            link = _find_link(related, source)
            if link is None:
                break
            lookups.append(link.name)
            related = link.related_model
        if not sources:
            yield from iter_nested(field, model)
        elif len(lookups) == len(sources):
            yield sources, "__".join(lookups), related, field


def _find_link(model: type[Model], name: str) -> Any:
    """Return the relation behind an attribute of a model, or ``None`` for another attribute."""
    for field in model._meta.get_fields():
        is_reverse = field.auto_created and not field.concrete
        if name == (field.get_accessor_name() if is_reverse else field.name) and isinstance(field.related_model, type):  # type: ignore[union-attr]
            return field
    return None


def _get_sources(field: Any) -> tuple[str, ...]:
    # A list's child has no source, and ``"*"`` is the row itself.
    return () if field.source in (None, "", "*") else tuple(field.source.split("."))
