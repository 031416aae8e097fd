"""Rules of the setting ``MEMBERSHIPS``: the class of a project that knows its own members."""

from collections.abc import Collection, Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, ProgrammingError
from django.db.models import PROTECT, Model, UUIDField

from closient_auth.checks.rules import Finding
from closient_auth.conf import conf
from closient_auth.memberships import Memberships, find_linked_models, get_memberships
from closient_auth.models.anchors import ANCHOR_ID, find_orphans, find_teams
from closient_auth.roles import RESERVED_NAMESPACE, Permission

REQUIRED = ("get_organizations", "get_permissions")
PREFIX = "CLOSIENT_AUTH['MEMBERSHIPS'] "
EXAMPLE = "Name a subclass of closient_auth.memberships.Memberships, such as 'teams.access.TeamMemberships'."


def find_invalid_class() -> Iterator[Finding]:
    """Find a class that cannot decide about requests."""
    try:
        memberships = get_memberships()
        model, field = memberships.get_model(), memberships.get_anchor_field()
    except ImproperlyConfigured as error:
        text = str(error).rstrip(".")
        is_of_setting = text.startswith(PREFIX)
        advice = EXAMPLE if is_of_setting else "Correct this attribute of the class."
        yield _bad(f" {text.removeprefix(PREFIX)}" if is_of_setting else f" is not usable: {text}", advice)
        return
    if model is not None and field is None and not _has_uuids(model):
        advice = "Add such a field with null=True, on_delete=PROTECT and editable=False."
        yield _bad(
            f" needs {model._meta.label} to have UUIDs as primary keys or a OneToOneField to Organization", advice
        )
    for name in REQUIRED:
        if getattr(type(memberships), name) is getattr(Memberships, name):
            yield _bad(f" should have a method {name}()", f"Define it in {type(memberships).__qualname__}.")
    names: object = memberships.permissions
    # Each letter of a string would be a permission.
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        advice = 'Write permissions = ["orders.refund", "organization.view_organization"].'
        yield _bad(f".permissions should be a list of permissions, not {names!r}", advice)
    elif unknown := sorted(name for name in names if name.startswith(RESERVED_NAMESPACE) and name not in Permission):
        advice = f"Names in {RESERVED_NAMESPACE!r} are those of this package. Name yours after your app."
        yield _bad(f".permissions should not contain {unknown[0]!r}", advice)


def find_doubtful_class() -> Iterator[Finding]:
    """Find a class that hides the project's teams from this package."""
    memberships = get_memberships()
    if memberships.uses_roles:
        return
    name = type(memberships).__qualname__
    if conf.EXTRA_ROLE_PERMISSIONS:
        yield Finding("W035", values={"name": name})
    model, field = memberships.get_model(), memberships.get_anchor_field()
    if model is None:
        linked = [model._meta.label for model in find_linked_models()]
        yield Finding("W034", values={"name": name, "linked": " and ".join(linked) or "no models"})
    elif field is not None:
        link: Any = model._meta.get_field(field)
        if link.remote_field.on_delete is not PROTECT or not link.null or link.editable:
            yield Finding("W036", values={"field": str(link)})


def find_unanchored(using: str) -> Iterator[Finding]:
    """Find teams without an organization, and organizations without a team. This sends queries."""
    memberships = get_memberships()
    model = memberships.get_model()
    if memberships.uses_roles or model is None:
        return
    try:
        teams = find_teams(using).filter(**{ANCHOR_ID: None}).count()
        orphans = find_orphans(using).count()
    except (OperationalError, ProgrammingError):
        # The tables do not exist before the first ``migrate``.
        return
    if teams:
        yield Finding("W032", values={"count": teams, "model": model._meta.label})
    if orphans:
        yield Finding("W033", values={"count": orphans, "model": model._meta.label})


def _has_uuids(model: type[Model]) -> bool:
    field: Any = model._meta.pk
    while field.remote_field:
        field = field.target_field
    return isinstance(field, UUIDField)


def _bad(problem: str, advice: str) -> Finding:
    return Finding("E014", values={"problem": problem, "advice": advice})
