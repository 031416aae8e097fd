"""The models that the checks find, and the paths from them to an organization."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model

from closient_auth.core.paths import get_organization_paths, get_relations

# The path of an organization itself, and of a team with the primary key of its organization.
OWN = ("pk",)


def get_model(rows: Any) -> type[Model] | None:
    """Return the model of a queryset or manager, or of the class ``Meta``; ``None`` for anything else."""
    model = getattr(rows, "model", None)
    return model if isinstance(model, type) and issubclass(model, Model) else None


@cache
def get_paths(model: type[Model] | None) -> tuple[str, ...]:
    """Return the shortest lookup paths from a model to the id of its organization, or none."""
    if model is None:
        return ()
    try:
        return get_organization_paths(model)
    except Exception:
        # The setting MEMBERSHIPS is not valid. The first request reports the error.
        return ()


def join_paths(paths: Iterable[str]) -> str:
    """Return the paths as text for a hint."""
    return " or ".join(map(repr, paths))


def iter_parents(model: type[Model] | None) -> Iterator[str]:
    """Yield the relations of a model to other rows of an organization, such as the product of an offer."""
    if model is not None:
        for field in get_relations(model):
            related = field.related_model
            # The path to an organization does not follow users either.
            if related is not get_user_model() and get_paths(related) not in ((), OWN):
                yield field.name
