"""Keep a view to the rows of the request's organization."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, partial
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import IntegrityError, router, transaction
from django.db.models import ForeignKey, Manager, Model, QuerySet
from django.db.models.signals import post_save, pre_save
from rest_framework.exceptions import NotFound
from rest_framework.fields import Field
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.relations import RelatedField
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.views import APIView

from closient_auth.core.paths import get_organization_paths
from closient_auth.core.rows import are_own, is_missing_row, is_own, is_owner, narrow, narrow_to_own
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
    - ``serializer.save()`` changes no row of another organization, and all rows that it has written, and all rows that they
      refer to, must belong to the organization. Otherwise nothing is written, and the response is a 404.
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
        if APIView in cls.__mro__ and GenericAPIView not in cls.__mro__:
            # Other views have neither a queryset nor ``get_serializer()``.
            raise TypeError(f"{cls.__qualname__}: OrganizationMixin needs a GenericAPIView.")

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        self._organization_rows.find_parents()

    def get_queryset(self) -> Any:
        return self._organization_rows.get_queryset(super().get_queryset())  # type: ignore[misc]

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
        # The last result of ``get_queryset()``.
        self.queryset: QuerySet[Any] | None = None
        self.is_finding_model = False
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
        if any("get_queryset" in vars(base) for base in type(view).__mro__ if base not in WITHOUT_QUERYSET):
            self.is_finding_model = True
            try:
                return view.get_queryset().model  # type: ignore[no-any-return]
            finally:
                self.is_finding_model = False
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

    def get_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the organization, or all if a schema is generated."""
        is_fake = getattr(self.view, "swagger_fake_view", False) or getattr(self.view, "request", None) is None
        # The parents in the URL are found with the model of the view.
        if is_fake or self.is_finding_model:
            return queryset
        self.queryset = self.narrow(queryset)
        return self.queryset

    def narrow(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # An override of ``get_queryset()`` may add rows to those of ``super()``, so a changed queryset is narrowed again.
        if queryset is self.queryset:
            return queryset
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
                with _Save(self, serializer, missing).watch() as written:
                    saved = save(**kwargs)
                if not self._are_own(serializer, saved, written):
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
        field = _find_field(model, get_organization_field(self.view))
        is_direct = isinstance(field, ForeignKey) and is_owner(field.related_model)
        return {field.name: get_owner(field.related_model, self.organization)} if is_direct else {}

    def get_paths(self, model: type[Model]) -> tuple[str, ...]:
        """Return the lookup paths from the rows of a model to their organization; none if they belong to nobody."""
        field = get_organization_field(self.view)
        if _is_same(model, self.model):
            return (field,)
        # The row of a parent model is a part of the same row.
        is_parent = self.model is not None and _is_same(self.model, model) and _find_field(model, field) is not None
        return (field,) if is_parent else get_organization_paths(model)

    def _are_own(self, serializer: Any, saved: Any, written: "_Save") -> bool:
        rows: dict[type[Model], set[Any]] = defaultdict(set)
        # A ``save()`` of the project may return nothing.
        for result in (saved, serializer.instance):
            for row in result if isinstance(result, list | tuple | QuerySet) else [result]:
                # A serializer for an action may save something else.
                if not isinstance(row, Model):
                    continue
                if row.pk is None and row._state.adding:
                    raise ImproperlyConfigured(
                        f"{type(serializer).__qualname__}.save() should return rows with a primary key. Rows of "
                        "bulk_create(ignore_conflicts=True) cannot be judged."
                    )
                if row.pk is not None and not row._state.adding:
                    rows[type(row)].add(row.pk)
        return all(self._judge(serializer, model, pks, written) for model, pks in rows.items()) and all(
            self._judge_rows(model, pks, written.get_shared(model), written)
            for model, pks in written.get_rest().items()
        )

    def _judge(
        self,
        serializer: Any,
        model: type[Model],
        pks: Collection[Any],
        written: "_Save",
        path: tuple[str, ...] = (),
        classes: tuple[type, ...] = (),
    ) -> bool:
        """Return whether these rows and those written by nested serializers are the organization's own."""
        shared = _get_shared(self.view.shared_fields, path)
        if not self._judge_rows(model, pks, shared, written):
            return False
        rows: QuerySet[Any] = QuerySet(model, using=router.db_for_write(model))
        classes += (type(getattr(serializer, "child", serializer)),)
        for sources, lookup, related, nested in _iter_nested(serializer, model):
            source = "__".join(sources)
            # The rows of a serializer that contains itself are judged as written rows.
            if source in shared or type(getattr(nested, "child", nested)) in classes:
                continue
            linked = set(rows.filter(pk__in=pks).values_list(f"{lookup}__pk", flat=True)) - {None}
            if not self._judge(nested, related, linked, written, path + sources, classes):
                return False
        return True

    def _judge_rows(self, model: type[Model], pks: Collection[Any], shared: Collection[str], written: "_Save") -> bool:
        written.judged.update((_get_concrete(model), pk) for pk in pks)
        rows: QuerySet[Any] = QuerySet(model, using=router.db_for_write(model))
        return are_own(rows, pks, self.organization, self.get_paths(model), shared)


class _Save:
    """The rows that one ``serializer.save()`` writes.

    Rows of the view's model and of the models of the serializer are watched, also in nested serializers. The project may
    change rows of other models as it likes, such as notifications for another organization.
    """

    def __init__(self, rows: _OrganizationRows, serializer: BaseSerializer[Any], missing: NotFound) -> None:
        self.rows = rows
        self.missing = missing
        # The names of shared relations, by model.
        self.shared: dict[type[Model], set[str]] = {}
        shared = rows.view.shared_fields
        for path, model in ((), rows.model), *_iter_models(serializer):
            is_shared = any("__".join(path[:length]) in shared for length in range(1, len(path) + 1))
            if model is not None and not is_shared:
                self.shared.setdefault(model, set()).update(_get_shared(shared, path))
        self.checked: set[tuple[type[Model], Any]] = set()
        self.written: dict[type[Model], set[Any]] = defaultdict(set)
        self.judged: set[tuple[type[Model], Any]] = set()

    @contextmanager
    def watch(self) -> Iterator["_Save"]:
        token = _saves.set((*_saves.get(), self))
        try:
            yield self
        finally:
            _saves.reset(token)

    def check(self, instance: Model, using: str) -> None:
        """Raise ``NotFound`` if this would change a row of another organization."""
        if not self._is_watched(type(instance)):
            return
        for model, pk in _iter_stored(instance):
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
        row = (_get_concrete(type(instance)), instance.pk)
        # ``save(force_update=True)`` changes a row with a primary key that ``save()`` would insert, and another request may
        # insert a row after the check.
        if not is_new and row not in self.checked:
            raise self.missing
        self.checked.add(row)
        self.written[type(instance)].add(instance.pk)

    def get_rest(self) -> dict[type[Model], set[Any]]:
        """Return the primary keys of the written rows that are not yet judged, by model."""
        rest = {
            model: {pk for pk in pks if (_get_concrete(model), pk) not in self.judged}
            for model, pks in self.written.items()
        }
        return {model: pks for model, pks in rest.items() if pks}

    def get_shared(self, model: type[Model]) -> set[str]:
        return {name for watched, names in self.shared.items() if _is_same(model, watched) for name in names}

    def _is_watched(self, model: type[Model]) -> bool:
        return any(_is_same(model, watched) or _is_same(watched, model) for watched in self.shared)


# A ``save()`` may call that of another serializer.
_saves: ContextVar[tuple[_Save, ...]] = ContextVar("closient_auth_saves", default=())


def _check_row(sender: Any, instance: Model, using: str, **kwargs: Any) -> None:
    # At the end of ``serializer.save()``, a row that was taken from another organization looks like an own row.
    for save in _saves.get():
        save.check(instance, using)


def _add_row(sender: Any, instance: Model, created: bool, **kwargs: Any) -> None:
    for save in _saves.get():
        save.add(instance, is_new=created)


pre_save.connect(_check_row, dispatch_uid="closient_auth.mixins.check_row")
post_save.connect(_add_row, dispatch_uid="closient_auth.mixins.add_row")

# Classes whose ``get_queryset()`` needs the attribute ``queryset``.
WITHOUT_QUERYSET = (OrganizationMixin, GenericAPIView)


def _get_model(serializer: Any) -> type[Model] | None:
    meta = getattr(getattr(serializer, "child", serializer), "Meta", None)
    return getattr(meta, "model", None)


def _get_concrete(model: type[Model]) -> type[Model]:
    return model._meta.concrete_model or model


def _is_same(model: type[Model], other: type[Model] | None) -> bool:
    """Return whether the rows of a model are rows of the other model, which may be its parent or proxy."""
    return other is not None and issubclass(_get_concrete(model), _get_concrete(other))


def _find_field(model: type[Model], path: str) -> Any:
    """Return the first field of a lookup path, or ``None`` if the model has no such field."""
    try:
        return model._meta.get_field(path.partition("__")[0])
    except FieldDoesNotExist:
        return None


def _iter_stored(instance: Model) -> Iterator[tuple[type[Model], Any]]:
    """Yield the models and primary keys of the stored rows that ``save()`` may change, also in the tables of parent models."""
    concrete = _get_concrete(type(instance))
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


def _iter_fields(
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
            yield from _iter_fields(child, path, classes)


def _iter_relations(serializer: Any) -> Iterator[tuple[str, Any]]:
    for path, field in _iter_fields(serializer):
        if isinstance(field, RelatedField) and not isinstance(field, OrganizationRelation):
            yield "__".join(path), field


def _iter_models(serializer: Any) -> Iterator[tuple[tuple[str, ...], type[Model]]]:
    for path, field in _iter_fields(serializer):
        model = _get_model(field) if isinstance(field, BaseSerializer) else None
        if model is not None:
            yield path, model


def _get_shared(names: Collection[str], path: tuple[str, ...]) -> set[str]:
    """Return the shared relations of the serializer at a path."""
    prefix = "".join(f"{name}__" for name in path)
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def _iter_nested(serializer: Any, model: type[Model]) -> Iterator[tuple[tuple[str, ...], str, type[Model], Any]]:
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
