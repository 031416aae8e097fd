"""The rows of the request's organization, for one view."""

from collections import defaultdict
from collections.abc import Callable, Collection
from functools import cached_property, partial
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import IntegrityError, router, transaction
from django.db.models import ForeignKey, Manager, Model, QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.serializers import BaseSerializer

from closient_auth.core.paths import get_organization_paths
from closient_auth.core.rows import are_own, is_missing_row, is_owner, narrow, narrow_to_own
from closient_auth.fields import get_owner
from closient_auth.mixins.saves import Save, get_concrete, is_same
from closient_auth.mixins.trees import get_model, get_shared, iter_nested, iter_relations
from closient_auth.models import Organization
from closient_auth.organizations import get_organization, get_organization_field

# The module of ``OrganizationMixin``.
ORGANIZATION = "closient_auth.mixins.organization"


class OrganizationRows:
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
        # The method of ``GenericAPIView`` needs the attribute ``queryset``.
        own = [base for base in type(view).__mro__ if base is not GenericAPIView and base.__module__ != ORGANIZATION]
        if any("get_queryset" in vars(base) for base in own):
            self.is_finding_model = True
            try:
                return view.get_queryset().model  # type: ignore[no-any-return]
            finally:
                self.is_finding_model = False
        # A view that only creates rows needs no queryset.
        return get_model(view.get_serializer_class())

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
        for name, field in iter_relations(serializer):
            if name not in self.view.shared_fields:
                field.get_queryset = partial(self._get_own_rows, field.get_queryset)

    def save(self, serializer: BaseSerializer[Any], save: Callable[..., Any], **kwargs: Any) -> Any:
        """Call ``serializer.save()`` in a transaction. Raise ``NotFound`` if it writes what belongs to others."""
        model = get_model(serializer)
        if serializer.instance is None and model is not None and is_same(model, self.model):
            kwargs = {**self._get_owner(model), **self.parents, **kwargs}
        model = model or self.model
        # The text of ``get_object_or_404()``, as for any missing row.
        missing = NotFound(f"No {model._meta.object_name} matches the given query." if model else None)
        try:
            with transaction.atomic(using=router.db_for_write(model or Organization)):
                with Save(self, serializer, missing).watch() as written:
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
        field = find_field(model, get_organization_field(self.view))
        is_direct = isinstance(field, ForeignKey) and is_owner(field.related_model)
        return {field.name: get_owner(field.related_model, self.organization)} if is_direct else {}

    def get_paths(self, model: type[Model]) -> tuple[str, ...]:
        """Return the lookup paths from the rows of a model to their organization; none if they belong to nobody."""
        field = get_organization_field(self.view)
        if is_same(model, self.model):
            return (field,)
        # The row of a parent model is a part of the same row.
        is_parent = self.model is not None and is_same(self.model, model) and find_field(model, field) is not None
        return (field,) if is_parent else get_organization_paths(model)

    def _are_own(self, serializer: Any, saved: Any, written: "Save") -> bool:
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
        written: "Save",
        path: tuple[str, ...] = (),
        classes: tuple[type, ...] = (),
    ) -> bool:
        """Return whether these rows and those written by nested serializers are the organization's own."""
        shared = get_shared(self.view.shared_fields, path)
        if not self._judge_rows(model, pks, shared, written):
            return False
        rows: QuerySet[Any] = QuerySet(model, using=router.db_for_write(model))
        classes += (type(getattr(serializer, "child", serializer)),)
        for sources, lookup, related, nested in iter_nested(serializer, model):
            source = "__".join(sources)
            # The rows of a serializer that contains itself are judged as written rows.
            if source in shared or type(getattr(nested, "child", nested)) in classes:
                continue
            linked = set(rows.filter(pk__in=pks).values_list(f"{lookup}__pk", flat=True)) - {None}
            if not self._judge(nested, related, linked, written, path + sources, classes):
                return False
        return True

    def _judge_rows(self, model: type[Model], pks: Collection[Any], shared: Collection[str], written: "Save") -> bool:
        written.judged.update((get_concrete(model), pk) for pk in pks)
        rows: QuerySet[Any] = QuerySet(model, using=router.db_for_write(model))
        return are_own(rows, pks, self.organization, self.get_paths(model), shared)


def find_field(model: type[Model], path: str) -> Any:
    """Return the first field of a lookup path, or ``None`` if the model has no such field."""
    try:
        return model._meta.get_field(path.partition("__")[0])
    except FieldDoesNotExist:
        return None
