"""Rules of the serializer fields in which a request body names rows."""

from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from django.db.models import ForeignKey, Model

from closient_auth.checks.paths import get_model, get_paths, join_paths
from closient_auth.checks.rules import Finding
from closient_auth.checks.views import View, is_exposed, takes_body, uses_mixin

# The cures for the relations of REST framework. A relation of the project is more likely to have primary keys.
CURES = {
    "SlugRelatedField": "OrganizationSlugRelatedField(slug_field=..., ",
    "HyperlinkedRelatedField": "OrganizationHyperlinkedRelatedField(view_name=..., ",
}


def find_open_fields(view: View) -> Iterator[Finding]:
    """Find fields that let a request body choose the organization of a row, or rows of another organization."""
    cls = view.get("serializer_class")
    if not isinstance(cls, type) or not is_exposed(view) or not takes_body(view) or uses_mixin(view):
        return
    if view.overrides("get_serializer"):
        return
    serializer = f"{cls.__module__}.{cls.__qualname__}"
    # A method that chooses the serializer may choose another one for writing. It is likely to use this one as well.
    is_chosen = view.overrides("get_serializer_class")
    sources = _get_sources(view, cls) if view.checks_organization and not is_chosen else ()
    reported = set()
    for name, field in get_writable_fields(cls).items():
        # The project's own validation may compare the organizations.
        if str(field.source).removesuffix("_id") in sources and not hasattr(cls, f"validate_{name}"):
            reported.add(name)
            yield Finding("W016", view, {"name": name, "serializer": serializer})
    links = _get_links(get_model(getattr(cls, "Meta", None)))
    for name, field in get_writable_fields(cls).items():
        link = links.get(str(field.source))
        if link is not None and name not in reported and (paths := get_paths(link.related_model)):
            reported.add(name)
            cure = (
                f"OrganizationRelatedField(source={link.name!r}, queryset=..., organization_field={join_paths(paths)})"
            )
            yield Finding("W029", view, {"name": name, "serializer": serializer, "cure": cure})
    for name, field in _get_relations(cls).items():
        # ``validate_<name>()`` runs too late: the form lists the rows, and unknown rows have another error.
        if name not in reported and (paths := get_paths(get_model(field.queryset))):
            yield Finding("W029", view, {"name": name, "serializer": serializer, "cure": _get_cure(field, paths)})


def _get_sources(view: View, cls: type) -> Collection[str]:
    """Return the names of the relations that lead from a row of the view to its organization."""
    path = view.get("organization_field")
    if path is None:
        paths = get_paths(get_model(view.get("queryset")) or get_model(getattr(cls, "Meta", None)))
        # Without a relation of the default name, the view filters the rows by another path itself.
        paths = ("organization",) if "organization" in paths else ("organization", *paths)
    else:
        # A property needs a request.
        paths = (path,) if isinstance(path, str) else ()
    return {path.split("__")[0].removesuffix("_id") for path in paths}


def _get_cure(field: Any, paths: Collection[str]) -> str:
    names = (base.__name__ for base in type(field).__mro__)
    start = next((CURES[name] for name in names if name in CURES), "OrganizationRelatedField(")
    return f"{start}queryset=..., organization_field={join_paths(paths)})"


def _get_links(model: type[Model] | None) -> Mapping[str, Any]:
    """Return the foreign keys of a model by the name of their column, to which a plain number field can write."""
    fields = model._meta.concrete_fields if model is not None else ()
    return {field.attname: field for field in fields if isinstance(field, ForeignKey)}


def clear_fields() -> None:
    """Forget the serializers and models of a run."""
    get_writable_fields.cache_clear()
    _get_relations.cache_clear()
    get_paths.cache_clear()


@cache
def get_writable_fields(cls: type) -> Mapping[str, Any]:
    """Return, by name, the fields that accept any value from the request body."""
    from rest_framework.serializers import Serializer

    try:
        # REST framework builds the fields of a model only in an instance, so there is no other way to read them.
        if not issubclass(cls, Serializer):
            return {}
        return _read_fields(_get_declared_fields(cls) if _has_own_fields(cls) else cls().fields)
    except Exception:
        # The first use of the serializer reports the error.
        return {}


@cache
def _get_relations(cls: type) -> Mapping[str, Any]:
    """Return the writable relations of a serializer and the serializers in it, by their names joined with dots."""
    try:
        return dict(_iter_relations(get_writable_fields(cls)))
    except Exception:
        # The first use of the nested serializer reports the error.
        return {}


def _iter_relations(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    from rest_framework.relations import RelatedField
    from rest_framework.serializers import Serializer

    for name, field in fields.items():
        item = _get_item(field)
        if isinstance(item, RelatedField):
            yield f"{prefix}{name}", item
        elif isinstance(item, Serializer) and not _has_own_fields(type(item)):
            yield from _iter_relations(_read_fields(item.fields), f"{prefix}{name}.")


def _has_own_fields(cls: type) -> bool:
    from rest_framework.serializers import ModelSerializer, Serializer

    base = ModelSerializer if issubclass(cls, ModelSerializer) else Serializer
    # Code of the project may send a query or build the fields for each request, so it does not run here.
    return any(
        getattr(cls, name) is not getattr(base, name) for name in ("__new__", "__init__", "fields", "get_fields")
    )


def _get_declared_fields(cls: Any) -> Mapping[str, Any]:
    """Return the relations that a serializer declares. Its own code may add, change and remove other fields."""
    from rest_framework.relations import RelatedField

    fields = {name: deepcopy(field) for name, field in cls._declared_fields.items()}
    for name, field in fields.items():
        field.bind(name, None)
    return {name: field for name, field in fields.items() if isinstance(_get_item(field), RelatedField)}


def _read_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    from rest_framework.serializers import HiddenField

    return {
        name: field
        for name, field in fields.items()
        if not (field.read_only or isinstance(field, HiddenField) or _is_narrowed(_get_item(field)))
    }


def _is_narrowed(field: Any) -> bool:
    """Return whether code that runs for each request chooses the rows of a relation."""
    from rest_framework.relations import RelatedField

    # Such code gives rows to a field that has none().
    query = getattr(getattr(field, "queryset", None), "query", None)
    is_empty = query is not None and query.is_empty()
    return is_empty or getattr(type(field), "get_queryset", None) not in (None, RelatedField.get_queryset)


def _get_item(field: Any) -> Any:
    """Return the field of the items of a list or of ``many=True``, or the field itself."""
    item = getattr(field, "child_relation", None) or getattr(field, "child", None)
    return field if item is None else _get_item(item)
