"""The lookup paths from the models of a project to their organization."""

from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model, Q

from closient_auth.memberships import get_memberships
from closient_auth.models import Organization

# The usual name of the foreign key to the owner of a row.
OWNER = "organization"


def get_organization_paths(model: type[Model]) -> tuple[str, ...]:
    """Return the shortest lookup paths from rows of a model to the id of their organization.

    A row with a field ``organization`` belongs to that one alone; another foreign key, such as a seller, does not make it
    shared. Without this field, there are several if a model has two foreign keys to an organization, and none if its rows
    belong to nobody. A path follows foreign keys, also through the project's own model of teams (``Memberships.model``), but
    not through users: a user may be in several organizations.
    """
    memberships = get_memberships()
    team = memberships.get_model()
    return _find_paths(model, team if memberships.get_anchor_field() is None else None)


def get_relations(model: type[Model]) -> list[Any]:
    """Return the foreign keys and many-to-many fields of a model."""
    # The model of a generic foreign key is not known.
    return [
        field
        for field in (*model._meta.concrete_fields, *model._meta.many_to_many)
        if isinstance(field.related_model, type)
    ]


def within(organization: Organization, paths: tuple[str, ...]) -> Q:
    """Return the condition for rows of which one of these paths leads to the organization; no row, if there is no path."""
    condition = Q(pk__in=())
    for path in paths:
        condition |= Q(**{path: organization.pk})
    return condition


@cache
def _find_paths(model: type[Model], same: type[Model] | None) -> tuple[str, ...]:
    """Return the paths; ``same`` is a model whose primary keys are those of the organizations."""
    if _is_organization(model, same):
        return ("pk",)
    level: dict[str, type[Model]] = {"": model}
    # A proxy has the rows of its concrete model.
    seen = {model._meta.concrete_model, get_user_model()._meta.concrete_model}
    while level:
        following = {
            f"{path}{field.name}": field.related_model for path, at in level.items() for field in _get_links(at, same)
        }
        if found := tuple(path for path, related in following.items() if _is_organization(related, same)):
            return found
        level = {
            f"{path}__": related for path, related in following.items() if related._meta.concrete_model not in seen
        }
        seen.update(related._meta.concrete_model for related in level.values())
    return ()


def _is_organization(model: type[Model], same: type[Model] | None) -> bool:
    return issubclass(model, Organization if same is None else (Organization, same))


def _get_links(model: type[Model], same: type[Model] | None) -> list[Any]:
    """Return the relations that may lead to the owner of a row."""
    links = get_relations(model)
    owners: list[Any] = [
        field for field in links if field.name == OWNER and _is_organization(field.related_model, same)
    ]
    return owners or links
