"""Roles and their permissions (specification, "Organization Roles" and "Permission Reference")."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf


class Role(TextChoices):
    """The role of a member in one organization."""

    OWNER = "owner", _("Owner")
    MANAGER = "manager", _("Manager")
    BILLING = "billing", _("Billing")
    EDITOR = "editor", _("Editor")


class Permission(TextChoices):
    """A permission in one organization."""

    VIEW_ORGANIZATION = "organization.view_organization", _("View the organization")
    CONTRIBUTE_ORGANIZATION = "organization.contribute_organization", _("Contribute content")
    MANAGE_BILLING = "organization.manage_billing", _("Manage billing")
    MANAGE_API_KEYS = "organization.manage_api_keys", _("Manage API keys")
    MANAGE_MEMBERS = "organization.manage_members", _("Manage members")
    DELETE_ORGANIZATION = "organization.delete_organization", _("Edit and delete the organization")


# This namespace is reserved for the package; extra permissions of a project need another prefix.
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
    Return the permissions of a role, including ``EXTRA_ROLE_PERMISSIONS``; an empty set for an unknown role.

    Extra permissions in the namespace of this package are ignored, so a mistake in the settings cannot widen a role.
    """
    if role not in Role:
        return frozenset()
    return ROLE_PERMISSIONS[Role(role)].union(_extra_permissions(role))


def get_all_permissions() -> frozenset[str]:
    """Return all permissions, including ``EXTRA_ROLE_PERMISSIONS`` of all roles. Business keys have all of them."""
    return ROLE_PERMISSIONS[Role.OWNER].union(*map(_extra_permissions, Role))


def _extra_permissions(role: str) -> frozenset[str]:
    extra = conf.EXTRA_ROLE_PERMISSIONS.get(role, ())
    return frozenset(permission for permission in extra if not permission.startswith(RESERVED_NAMESPACE))


def may_change_role(actor: str, old: str | None, new: str | None, *, own: bool) -> bool:
    """
    Return whether a member with the role ``actor`` may change a member's role from ``old`` to ``new``.

    ``old`` is ``None`` for a new member and ``new`` is ``None`` for a removal; ``own`` marks the actor's membership.
    Both roles are checked: a check of the new role alone would let a Manager demote an Owner.
    """
    if own and new is None:
        return True
    if Permission.MANAGE_MEMBERS not in get_role_permissions(actor):
        return False
    return actor == Role.OWNER or Role.OWNER not in (old, new)
