"""The anchors of a project's own teams: for each team, the organization that keys belong to.

Saving a team makes or renames its organization, and deleting a team deletes it with its keys. Other ways to change teams, such as
``bulk_create()``, ``QuerySet.update()`` and other programs, leave this to ``manage.py sync_organizations``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connections, models, router, transaction
from django.db.models import Exists, OuterRef, Subquery
from django.db.models.signals import class_prepared, post_delete, post_save, pre_delete, pre_save
from django.utils.functional import Promise

from closient_auth.memberships import get_memberships
from closient_auth.models.locks import lock_rows
from closient_auth.models.organizations import Organization, OrganizationQuerySet

NAME_LENGTH = Organization._meta.get_field("name").max_length
# The annotations of ``find_teams()``. A model may have a field with a shorter name.
ANCHOR_ID, ANCHOR_NAME = "_closient_auth_anchor_id", "_closient_auth_anchor_name"


class _NotNeeded(Exception):
    """Another process has just made the organization of a team, or deleted the team."""


def get_team_model() -> type[models.Model]:
    """Return the model of the project's teams. Raise ``ImproperlyConfigured`` if it is not known."""
    model = get_memberships().get_model()
    if model is None:
        raise ImproperlyConfigured(
            "The model of your teams is not known. Set CLOSIENT_AUTH['MEMBERSHIPS'] to a class with model = 'app.Model'."
        )
    return model


def get_teams(using: str | None) -> models.QuerySet[Any]:
    """Return all teams, also those that the managers of the model hide."""
    return models.QuerySet(get_team_model(), using=using)


def find_teams(using: str) -> models.QuerySet[Any]:
    """Return all teams, with the id and the name of their organization, if any, as ``ANCHOR_ID`` and ``ANCHOR_NAME``."""
    anchors = Organization._base_manager.filter(pk=OuterRef(get_memberships().get_anchor_field() or "pk"))
    values = {ANCHOR_ID: Subquery(anchors.values("pk")), ANCHOR_NAME: Subquery(anchors.values("name"))}
    teams: models.QuerySet[Any] = get_teams(using).annotate(**values)
    return teams


def find_orphans(using: str) -> OrganizationQuerySet:
    """Return the organizations that are the anchor of no team. Their keys work."""
    field = get_memberships().get_anchor_field() or "pk"
    teams = get_teams(None).filter(**{field: OuterRef("pk")})
    return Organization.objects.using(using).filter(~Exists(teams))


def make_anchor(team: Any, using: str) -> Organization | None:
    """Create the organization of a team, and return it; ``None`` if another process was quicker or has deleted the team."""
    field = get_memberships().get_anchor_field()
    row = get_teams(using).filter(pk=team.pk)
    try:
        with transaction.atomic(using=using):
            organization = Organization.objects.using(using).create_anchor(get_name(team), None if field else team.pk)
            if field is not None:
                # The link is empty, or the organization is gone.
                is_ours = row.filter(**{field: getattr(team, f"{field}_id")}).update(**{field: organization})
            else:
                # Lock the team: whoever deletes it from now on finds the organization.
                is_ours = len(row.select_for_update().values_list("pk"))
            if not is_ours:
                raise _NotNeeded
    except _NotNeeded:
        return None
    except IntegrityError:
        if field is None and Organization.objects.using(using).filter(pk=team.pk).exists():
            return None
        raise
    if field is not None:
        setattr(team, field, organization)
    return organization


def rename_anchor(pk: Any, name: str, using: str) -> bool:
    """Rename an organization. Return whether this changed it: another process may have renamed or deleted it."""
    with transaction.atomic(using=using):
        lock_rows(Organization, [pk], using)
        organization = Organization.objects.using(using).filter(pk=pk).first()
        # Some databases compare names without regard to case, so this is no condition of the query.
        if organization is None or organization.name == name:
            return False
        organization.name = name
        organization.save(using=using, update_fields=["name"])
        return True


def delete_orphan(pk: Any, using: str) -> bool:
    """Delete an organization that is the anchor of no team. Return whether this deleted it."""
    with transaction.atomic(using=using):
        lock_rows(Organization, [pk], using)
        organization = find_orphans(using).filter(pk=pk).first()
        if organization is None:
            return False
        organization.delete(using=using)
        return True


def get_name(team: Any) -> str:
    """Return the name of a team, cut to the length of an organization's name.

    Raise ``ImproperlyConfigured`` if the project returns no text.
    """
    name: object = get_memberships().get_name(team)
    if not isinstance(name, str | Promise):
        raise ImproperlyConfigured(f"get_name() should return text, not {name!r}.")
    return str(name)[:NAME_LENGTH]


def connect_signals() -> None:
    """Keep the organizations of the project's teams up to date, if the setting ``MEMBERSHIPS`` names such a project."""
    try:
        memberships = get_memberships()
        model = memberships.get_model()
        memberships.get_anchor_field()
    except ImproperlyConfigured:
        # The system check reports it. Commands that do not need the setting should work.
        return
    if model is None:
        return
    concrete: Any = model._meta.concrete_model
    connect = partial(_connect, model=concrete)
    for sender in apps.get_models():
        connect(sender)
    # An admin module may define a proxy after this.
    class_prepared.connect(connect, weak=False, dispatch_uid="closient_auth.connect_anchors")


def _connect(sender: type[models.Model], model: type[models.Model], **kwargs: object) -> None:
    # Django sends the signals of the class that was saved or deleted, which may be a proxy or a subclass.
    if issubclass(sender, model):
        pre_save.connect(_keep_link, sender=sender, dispatch_uid="closient_auth.keep_anchor")
        post_save.connect(_update_anchor, sender=sender, dispatch_uid="closient_auth.update_anchor")
    # The row of a subclass is deleted before that of the team.
    if sender._meta.concrete_model is model:
        pre_delete.connect(_find_link, sender=sender, dispatch_uid="closient_auth.find_anchor")
        post_delete.connect(_delete_anchor, sender=sender, dispatch_uid="closient_auth.delete_anchor")


def _keep_link(instance: Any, using: str, raw: bool, **kwargs: object) -> None:
    if raw:
        return
    if not instance._state.adding:
        _find_link(instance, using)
    elif (field := get_memberships().get_anchor_field()) and getattr(instance, f"{field}_id") is not None:
        # A copy of a team has the link of the original, and gets an organization of its own.
        link = {field: getattr(instance, f"{field}_id")}
        if get_teams(using).filter(**link).exists():
            setattr(instance, field, None)


def _find_link(instance: Any, using: str, **kwargs: object) -> None:
    """Read the link of a team that has none. The team may have been loaded before its organization was made."""
    # Saving this instance would remove the link, and deleting it would leave an organization with working keys.
    field = get_memberships().get_anchor_field()
    if field is None or instance.pk is None or getattr(instance, f"{field}_id") is not None:
        return
    row = get_teams(using).filter(pk=instance.pk)
    if connections[using].in_atomic_block:
        row = row.select_for_update()
    for pk in row.values_list(f"{field}_id", flat=True):
        setattr(instance, f"{field}_id", pk)


def _update_anchor(instance: Any, using: str, raw: bool, **kwargs: object) -> None:
    # A fixture contains the organizations as well.
    if raw or not _has_organizations(using):
        return
    pk = _get_pk(instance)
    organization = None if pk is None else Organization.objects.using(using).filter(pk=pk).first()
    if organization is None:
        make_anchor(instance, using)
    elif organization.name != (name := get_name(instance)):
        rename_anchor(organization.pk, name, using)


def _delete_anchor(instance: Any, using: str, **kwargs: object) -> None:
    if _has_organizations(using):
        for organization in Organization.objects.using(using).filter(pk=_get_pk(instance)):
            organization.delete(using=using)


def _get_pk(team: Any) -> Any:
    field = get_memberships().get_anchor_field()
    return getattr(team, f"{field}_id") if field else team.pk


def _has_organizations(using: str) -> bool:
    # A project may copy teams to a database without the tables of this package, such as an archive.
    return router.allow_migrate_model(using, Organization)
