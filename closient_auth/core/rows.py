"""The rows of one organization: narrow a queryset to them, and judge rows that were just written."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, router
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from closient_auth.core.paths import get_organization_paths, get_relations, within
from closient_auth.memberships import get_memberships
from closient_auth.models import Organization

_Row = TypeVar("_Row", bound=Model)

# The SQLSTATE of PostgreSQL and the error number of MySQL and MariaDB for a foreign key to a missing row. SQLite checks
# foreign keys at the end of a transaction and has only a text.
MISSING_ROW = {"23503", 1452}
MISSING_ROW_ON_SQLITE = "FOREIGN KEY constraint failed"


def narrow(queryset: QuerySet[_Row], organization: Organization, paths: tuple[str, ...]) -> QuerySet[_Row]:
    """Return the rows of which one of these paths leads to the organization, each once."""
    condition = within(organization, paths)
    if any(_is_to_many(queryset.model, path) for path in paths):
        # A join would repeat rows, and ``get()`` would find several.
        return queryset.filter(pk__in=_get_all_rows(queryset.model).filter(condition).values("pk"))
    return queryset.filter(condition)


def narrow_to_own(queryset: QuerySet[_Row], organization: Organization) -> QuerySet[_Row]:
    """Return the rows of the organization, or all if the rows of this model belong to no organization."""
    paths = get_organization_paths(queryset.model)
    return narrow(queryset, organization, paths) if paths else queryset


def is_owner(model: Any) -> bool:
    """Return whether this is the model of organizations, or that of the project's own teams."""
    team = get_memberships().get_model()
    return isinstance(model, type) and issubclass(model, Organization if team is None else (Organization, team))


def find_owner(model: Any, organization: Organization) -> Model | None:
    """Return the row of an owner's model for the organization: itself, or its team, or ``None`` if it has no team."""
    if issubclass(model, Organization):
        return organization
    lookup = {get_memberships().get_anchor_field() or "pk": organization.pk}
    found: Model | None = model._default_manager.using(router.db_for_write(model)).filter(**lookup).first()
    return found


def is_own(rows: QuerySet[Any], pk: Any, organization: Organization, paths: tuple[str, ...]) -> bool | None:
    """Return whether the row with this primary key belongs to the organization, or ``None`` if there is no such row."""
    rows = rows.filter(pk=pk)
    found: bool | None = rows.values_list(Exists(narrow(rows, organization, paths)), flat=True).first()
    return found


def are_own(
    rows: QuerySet[Any],
    pks: Collection[Any],
    organization: Organization,
    paths: tuple[str, ...],
    shared: Collection[str] = (),
) -> bool:
    """Return whether all rows with these primary keys, and the rows that they refer to, belong to the organization.

    Keys without a row do not count.

    ``paths`` lead from a row to its organization; there are none for rows that belong to nobody. ``shared`` are the names of
    relations that may lead elsewhere. This takes one query, whatever the number of rows and relations.
    """
    written = rows.filter(pk__in=pks)
    rows = narrow(written, organization, paths) if paths else written
    for field in _iter_relations(rows.model):
        if field.name not in shared:
            rows = rows.filter(
                _leads_to_many(field, organization) if field.many_to_many else _leads_to(field, organization)
            )
    # The project may have deleted some of the rows.
    return not written.exclude(pk__in=rows.values("pk")).exists()


def is_missing_row(error: IntegrityError) -> bool:
    """Return whether the database refused a foreign key to a row that does not exist."""
    cause = error.__cause__
    codes = {getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None), *error.args[:1]}
    return not MISSING_ROW.isdisjoint(codes) or MISSING_ROW_ON_SQLITE in str(error)


def _get_all_rows(model: Any) -> QuerySet[Any]:
    # The base manager of a project may hide rows.
    return QuerySet(model)


def _iter_relations(model: type[Model]) -> Iterator[Any]:
    """Return the foreign keys and many-to-many fields to rows that belong to an organization."""
    return (field for field in get_relations(model) if get_organization_paths(field.related_model))


def _leads_to(field: Any, organization: Organization) -> Q:
    """Return the condition that a foreign key is null or refers to a row of the organization that exists."""
    model, is_null = field.related_model, Q(**{f"{field.name}__isnull": True})
    paths = get_organization_paths(model)
    if paths == ("pk",):
        return is_null | Q(**{f"{field.name}__pk": organization.pk})
    target = _get_all_rows(model).filter(**{field.target_field.attname: OuterRef(field.attname)})
    return is_null | Q(Exists(target.filter(within(organization, paths))))


def _leads_to_many(field: Any, organization: Organization) -> Q:
    """Return the condition that a many-to-many field refers to rows of the organization alone."""
    model, through = field.related_model, field.remote_field.through
    link = through._meta.get_field(field.m2m_reverse_field_name())
    own = _get_all_rows(model).filter(within(organization, get_organization_paths(model)))
    strays = _get_all_rows(through).filter(
        ~Exists(own.filter(**{link.target_field.attname: OuterRef(link.attname)})),
        **{field.m2m_field_name(): OuterRef(field.m2m_target_field_name())},
    )
    return ~Q(Exists(strays))


def _is_to_many(model: Any, path: str) -> bool:
    # The query reports a path that does not exist.
    with suppress(FieldDoesNotExist):
        for name in path.split("__"):
            if name == "pk" or model is None:
                break
            field = model._meta.get_field(name)
            if field.one_to_many or field.many_to_many:
                return True
            model = field.related_model
    return False
