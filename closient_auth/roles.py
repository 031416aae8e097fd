"""Roles, permissions and the table between them (specification, "Organization Roles" and "Permission Reference")."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf


class Role(TextChoices):
    """What a member is in one organization."""

    OWNER = "owner", _("Owner")
    MANAGER = "manager", _("Manager")
    BILLING = "billing", _("Billing")
    EDITOR = "editor", _("Editor")


class Permission(TextChoices):
    """What may be done in one organization."""

    VIEW_ORGANIZATION = "organization.view_organization", _("View the organization")
    CONTRIBUTE_ORGANIZATION = "organization.contribute_organization", _("Contribute products and offers")
    MANAGE_BILLING = "organization.manage_billing", _("Manage billing")
    MANAGE_API_KEYS = "organization.manage_api_keys", _("Manage API keys")
    MANAGE_MEMBERS = "organization.manage_members", _("Manage members")
    DELETE_ORGANIZATION = "organization.delete_organization", _("Edit and delete the organization")


# The whole namespace is this package's: a host may add permissions of its own, never one of these.
RESERVED_NAMESPACE = "organization."

ROLE_PERMISSIONS: Mapping[Role, frozenset[str]] = MappingProxyType(
    {
        Role.OWNER: frozenset(Permission),
        Role.MANAGER: frozenset(
            {
                Permission.VIEW_ORGANIZATION,
                Permission.CONTRIBUTE_ORGANIZATION,
                Permission.MANAGE_BILLING,
                Permission.MANAGE_API_KEYS,
                Permission.MANAGE_MEMBERS,
            }
        ),
        Role.BILLING: frozenset({Permission.VIEW_ORGANIZATION, Permission.MANAGE_BILLING}),
        Role.EDITOR: frozenset({Permission.VIEW_ORGANIZATION, Permission.CONTRIBUTE_ORGANIZATION}),
    }
)


def get_role_permissions(role: str) -> frozenset[str]:
    """
    Return what a role may do, the host's ``EXTRA_ROLE_PERMISSIONS`` included; nothing for an unknown role.

    An extra permission in this package's own namespace is left out, so that a mistake in settings cannot widen a role.
    """
    if role not in Role:
        return frozenset()
    return ROLE_PERMISSIONS[Role(role)].union(_extra_permissions(role))


def get_all_permissions() -> frozenset[str]:
    """Return every permission there is, the host's extra ones included: what a business key may do."""
    return ROLE_PERMISSIONS[Role.OWNER].union(*map(_extra_permissions, Role))


def _extra_permissions(role: str) -> frozenset[str]:
    extra = conf.EXTRA_ROLE_PERMISSIONS.get(role, ())
    return frozenset(permission for permission in extra if not permission.startswith(RESERVED_NAMESPACE))


def may_change_role(actor: str, old: str | None, new: str | None, *, own: bool) -> bool:
    """
    Return whether a member whose role is ``actor`` may turn a member's role from ``old`` into ``new``.

    ``None`` as ``old`` is somebody who joins, as ``new`` somebody who goes; ``own`` says that it is the actor's own
    membership. The actor is compared with both roles: comparing with the new one alone lets a Manager demote Owners.
    """
    if own and new is None:
        return True
    if Permission.MANAGE_MEMBERS not in get_role_permissions(actor):
        return False
    return actor == Role.OWNER or Role.OWNER not in (old, new)
