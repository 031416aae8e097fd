"""The anchors of a project's own teams: for each team, the organization that keys belong to.

Saving a team makes or renames its organization, and deleting a team deletes it with its keys. Other ways to change teams, such as
``bulk_create()``, ``QuerySet.update()`` and other programs, leave this to ``manage.py sync_organizations``.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, models, transaction
from django.db.models import Exists, OuterRef, Subquery
from django.db.models.signals import post_delete, post_save

from closient_auth.memberships import get_memberships
from closient_auth.models.organizations import Organization, OrganizationQuerySet

NAME_LENGTH = Organization._meta.get_field("name").max_length


# The annotations of ``find_teams()``. A model may have a field with a shorter name.
ANCHOR_ID, ANCHOR_NAME = "_closient_auth_anchor_id", "_closient_auth_anchor_name"


class _AlreadyAnchored(Exception):
    """Another process has just made the organization of a team."""


def get_team_model() -> type[models.Model]:
    """Return the model of the project's teams. Raise ``ImproperlyConfigured`` if it is not known."""
    model = get_memberships().get_model()
    if model is None:
        raise ImproperlyConfigured(
            "The model of your teams is not known. Set CLOSIENT_AUTH['MEMBERSHIPS'] to a class with model = 'app.Model'."
        )
    return model


def find_teams(using: str) -> models.QuerySet[Any]:
    """Return all teams, with the id and the name of their organization, if any, as ``ANCHOR_ID`` and ``ANCHOR_NAME``."""
    anchors = Organization._base_manager.filter(pk=OuterRef(get_memberships().get_anchor_field() or "pk"))
    values = {ANCHOR_ID: Subquery(anchors.values("pk")), ANCHOR_NAME: Subquery(anchors.values("name"))}
    teams: models.QuerySet[Any] = get_team_model()._base_manager.using(using).annotate(**values)
    return teams


def find_orphans(using: str) -> OrganizationQuerySet:
    """Return the organizations that are the anchor of no team. Their keys work."""
    field = get_memberships().get_anchor_field() or "pk"
    teams = get_team_model()._base_manager.filter(**{field: OuterRef("pk")})
    return Organization.objects.using(using).filter(~Exists(teams))


def make_anchor(team: Any, using: str) -> Organization | None:
    """Create the organization of a team, and return it; ``None`` if another process was quicker."""
    field = get_memberships().get_anchor_field()
    try:
        with transaction.atomic(using=using):
            organization = Organization.objects.using(using).create_anchor(get_name(team), None if field else team.pk)
            if field is None:
                return organization
            unlinked = type(team)._base_manager.using(using).filter(pk=team.pk, **{field: None})
            if not unlinked.update(**{field: organization}):
                raise _AlreadyAnchored
    except _AlreadyAnchored:
        return None
    except IntegrityError:
        if field is None and Organization.objects.using(using).filter(pk=team.pk).exists():
            return None
        raise
    setattr(team, field, organization)
    return organization


def rename_anchor(organization: Organization, name: str, using: str) -> None:
    organization.name = name
    organization.save(using=using, update_fields=["name"])


def get_name(team: Any) -> str:
    """Return the name of a team, cut to the length of an organization's name."""
    return get_memberships().get_name(team)[:NAME_LENGTH]


def connect_signals() -> None:
    """Keep the organizations of the project's teams up to date, if the setting ``MEMBERSHIPS`` names such a project."""
    try:
        memberships = get_memberships()
        model = None if memberships.uses_roles else memberships.get_model()
    except ImproperlyConfigured:
        # The system check reports it. Commands that do not need the setting should work.
        return
    if model is not None:
        post_save.connect(_update_anchor, sender=model, dispatch_uid="closient_auth.update_anchor")
        post_delete.connect(_delete_anchor, sender=model, dispatch_uid="closient_auth.delete_anchor")


def _update_anchor(instance: Any, using: str, raw: bool, **kwargs: object) -> None:
    # A fixture contains the organizations as well.
    if raw:
        return
    field = get_memberships().get_anchor_field()
    pk = getattr(instance, f"{field}_id") if field else instance.pk
    organization = Organization.objects.using(using).filter(pk=pk).first()
    if organization is None:
        make_anchor(instance, using)
    elif organization.name != get_name(instance):
        rename_anchor(organization, get_name(instance), using)


def _delete_anchor(instance: Any, using: str, **kwargs: object) -> None:
    field = get_memberships().get_anchor_field()
    pk = getattr(instance, f"{field}_id") if field else instance.pk
    for organization in Organization.objects.using(using).filter(pk=pk):
        organization.delete(using=using)
