"""Keep a view to the rows of the request's organization."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import IntegrityError, router, transaction
from django.db.models import ForeignKey, Manager, Model, QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.fields import Field
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.relations import RelatedField
from rest_framework.serializers import BaseSerializer, Serializer

from closient_auth.core.paths import get_organization_paths
from closient_auth.core.rows import are_own, is_missing_row, is_owner, narrow, narrow_to_own
from closient_auth.fields import OrganizationRelation, get_owner
from closient_auth.models import Organization
from closient_auth.organizations import get_organization, get_organization_field
from closient_auth.permissions import HasOrganizationPermission


class OrganizationMixin:
    """Keep a ``GenericAPIView`` or viewset to the rows of the request's organization, in all that it reads and writes.

    Put the mixin before the classes of REST framework. ``organization_field`` is the lookup path from a row to its
    organization, by default ``"organization"``.

    - A row of another organization gets the 404 of a missing row, whatever the filter backends are.
    - The writable relations of the serializer know only own rows: another organization's row gets the same error as one that
      does not exist, and HTML forms do not list it.
    - New rows get the organization, and the parents that the URL names.
    - All rows that ``serializer.save()`` has written, and all rows that they refer to, must belong to the organization.
      Otherwise nothing is written, and the response is a 404.
    """

    permission_classes: Any = [HasOrganizationPermission]
    # Lookup paths to the parents of a row, by URL argument: ``{"project_pk": "project__pk"}``. The first name of a path is a
    # foreign key. Another organization's parent gets the 404 of a missing one.
    parent_lookup_kwargs: Mapping[str, str] = {}
    # Relations that may lead to other organizations, such as the seller on a marketplace. A relation of a nested serializer is
    # named by its path: ``"items__seller"``.
    shared_fields: Collection[str] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "afilter_queryset"):
            # The async methods of adrf call neither ``filter_queryset()`` nor ``save()``.
            raise TypeError(f"{cls.__qualname__}: OrganizationMixin does not support adrf.")
        if GenericAPIView in cls.__mro__[: cls.__mro__.index(OrganizationMixin)]:
            raise TypeError(f"{cls.__qualname__}: put OrganizationMixin before the classes of REST framework.")

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        self._organization_rows.find_parents()

    def filter_queryset(self, queryset: QuerySet[Any]) -> Any:
        return super().filter_queryset(self._organization_rows.narrow(queryset))  # type: ignore[misc]

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        serializer = super().get_serializer(*args, **kwargs)  # type: ignore[misc]
        self._organization_rows.narrow_relations(serializer)
        serializer.save = partial(self._organization_rows.save, serializer, serializer.save)
        return serializer

    @cached_property
    def _organization_rows(self) -> "_OrganizationRows":
        return _OrganizationRows(self)


class _OrganizationRows:
    """The rows of the request's organization, for one view."""

    def __init__(self, view: Any) -> None:
        self.view = view
        if isinstance(view.shared_fields, str):
            raise ImproperlyConfigured(
                f"{type(view).__qualname__}.shared_fields should be a list of names, not a string."
            )

    @property
    def organization(self) -> Any:
        return get_organization(self.view.request)

    @cached_property
    def model(self) -> type[Model] | None:
        view = self.view
        if view.queryset is not None:
            return view.queryset.model  # type: ignore[no-any-return]
        if type(view).get_queryset is not GenericAPIView.get_queryset:
            return view.get_queryset().model  # type: ignore[no-any-return]
        # A view that only creates rows needs no queryset.
        return _get_model(view.get_serializer_class())

    @cached_property
    def parents(self) -> dict[str, Model]:
        """The rows that the URL names, by foreign key. Raise ``Http404`` if one is foreign or missing."""
        lookups: dict[str, dict[str, Any]] = defaultdict(dict)
        for argument, path in self.view.parent_lookup_kwargs.items():
            name, _, lookup = path.partition("__")
            lookups[name][lookup or "pk"] = self.view.kwargs[argument]
        return dict(self._get_parent(name, values) for name, values in lookups.items())

    def find_parents(self) -> None:
        """Raise ``Http404`` unless the parents in the URL exist and belong to the organization."""
        self.parents  # noqa: B018

    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return narrow(queryset, self.organization, (get_organization_field(self.view),)).filter(**self.parents)

    def narrow_relations(self, serializer: BaseSerializer[Any]) -> None:
        for name, field in _iter_relations(serializer):
            if name not in self.view.shared_fields:
                field.get_queryset = partial(self._get_own_rows, field.get_queryset)

    def save(self, serializer: BaseSerializer[Any], save: Callable[..., Any], **kwargs: Any) -> Any:
        """Call ``serializer.save()`` in a transaction. Raise ``NotFound`` if it writes what belongs to others."""
        model = _get_model(serializer)
        if serializer.instance is None and model is not None and _is_same(model, self.model):
            kwargs = {**self._get_owner(model), **self.parents, **kwargs}
        model = model or self.model
        # The text of ``get_object_or_404()``, as for any missing row.
        missing = NotFound(f"No {model._meta.object_name} matches the given query." if model else None)
        try:
            with transaction.atomic(using=router.db_for_write(model or Organization)):
                saved = save(**kwargs)
                if not self._are_own(serializer, saved):
                    raise missing
        except IntegrityError as error:
            # Some databases refuse an unknown id before the rows are judged.
            if is_missing_row(error):
                raise missing from error
            raise
        return saved

    def _get_parent(self, name: str, values: dict[str, Any]) -> tuple[str, Model]:
        field = self.model and self.model._meta.get_field(name)
        if not isinstance(field, ForeignKey):
            raise ImproperlyConfigured(
                f"{type(self.view).__qualname__}.parent_lookup_kwargs should begin with a foreign key, not with {name!r}."
            )
        rows = field.related_model._default_manager.all()
        if field.name not in self.view.shared_fields:
            rows = narrow_to_own(rows, self.organization)
        return field.name, get_object_or_404(rows, **values)

    def _get_own_rows(self, get_queryset: Callable[[], Any]) -> Any:
        rows = get_queryset()
        if isinstance(rows, Manager):
            rows = rows.all()
        return narrow_to_own(rows, self.organization) if isinstance(rows, QuerySet) else rows

    def _get_owner(self, model: type[Model]) -> dict[str, Any]:
        try:
            field = model._meta.get_field(get_organization_field(self.view).partition("__")[0])
        except FieldDoesNotExist:
            return {}
        is_direct = isinstance(field, ForeignKey) and is_owner(field.related_model)
        return {field.name: get_owner(field.related_model, self.organization)} if is_direct else {}

    def _are_own(self, serializer: Any, saved: Any) -> bool:
        rows: dict[type[Model], set[Any]] = defaultdict(set)
        # A ``save()`` of the project may return nothing.
        for result in (saved, serializer.instance):
            for row in result if isinstance(result, list | tuple | QuerySet) else [result]:
                # A serializer for an action may save something else.
                if isinstance(row, Model) and row.pk is not None and not row._state.adding:
                    rows[type(row)].add(row.pk)
        return all(self._judge(serializer, model, pks) for model, pks in rows.items())

    def _judge(self, serializer: Any, model: type[Model], pks: Collection[Any], prefix: str = "") -> bool:
        """Return whether these rows and those written by nested serializers are the organization's own."""
        is_own = self.model is not None and issubclass(model, self.model)
        paths = (get_organization_field(self.view),) if is_own else get_organization_paths(model)
        shared = {name.removeprefix(prefix) for name in self.view.shared_fields if name.startswith(prefix)}
        rows = model._base_manager.using(router.db_for_write(model))
        if not are_own(rows.all(), pks, self.organization, paths, shared):
            return False
        for source, lookup, related, nested in _iter_nested(serializer, model):
            linked = set(rows.filter(pk__in=pks).values_list(f"{lookup}__pk", flat=True)) - {None}
            if source not in shared and not self._judge(nested, related, linked, f"{prefix}{source}__"):
                return False
        return True


def _get_model(serializer: Any) -> type[Model] | None:
    meta = getattr(getattr(serializer, "child", serializer), "Meta", None)
    return getattr(meta, "model", None)


def _is_same(model: type[Model], other: type[Model] | None) -> bool:
    return other is not None and model._meta.concrete_model is other._meta.concrete_model


def _iter_relations(field: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the writable relations of a serializer, also in nested serializers and lists, each with its path."""
    if field.read_only:
        return
    path += _get_sources(field)
    if isinstance(field, RelatedField) and not isinstance(field, OrganizationRelation):
        yield "__".join(path), field
    children = field.fields.values() if isinstance(field, Serializer) else ()
    for child in (*children, getattr(field, "child", None), getattr(field, "child_relation", None)):
        if isinstance(child, Field):
            yield from _iter_relations(child, path)


def _iter_nested(serializer: Any, model: type[Model]) -> Iterator[tuple[str, str, type[Model], Any]]:
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
            yield from _iter_nested(field, model)
        elif len(lookups) == len(sources):
            yield "__".join(sources), "__".join(lookups), related, field


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
