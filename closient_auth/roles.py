"""Roles, key types and their permissions (specification, "Organization Roles", "Permission Reference" and "Key Types").

To add a role, extend ``Role`` and ``ROLE_PERMISSIONS``. To add a key type, extend ``KeyType`` and ``KEY_RULES``.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf
from closient_auth.keys import KeyType
from closient_auth.memberships import get_memberships


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
    """Return the permissions of a role, including ``EXTRA_ROLE_PERMISSIONS``; an empty set for an unknown role.

    Extra permissions in the namespace of this package are ignored, so a mistake in the settings cannot widen a role.
    """
    if role not in Role:
        return frozenset()
    return ROLE_PERMISSIONS[Role(role)].union(_extra_permissions(role))


def get_all_permissions() -> frozenset[str]:
    """Return all permissions, including those of the project: ``EXTRA_ROLE_PERMISSIONS`` and ``MEMBERSHIPS``.

    Business keys have all of them.
    """
    own = ROLE_PERMISSIONS[Role.OWNER]
    if not conf.EXTRA_ROLE_PERMISSIONS and not get_memberships().permissions:
        return own
    return own.union(*map(_extra_permissions, Role))


def sort_permissions(names: Iterable[str]) -> list[str]:
    """Return the names in the order of ``Permission``, and then those of the project by name."""
    found = set(names)
    return [*(name for name in Permission.values if name in found), *sorted(found - set(Permission.values))]


def _extra_permissions(role: str) -> frozenset[str]:
    extra = conf.EXTRA_ROLE_PERMISSIONS.get(role, ())
    if role == Role.OWNER:
        extra = (*extra, *get_memberships().permissions)
    return frozenset(permission for permission in extra if not permission.startswith(RESERVED_NAMESPACE))


def may_change_role(actor: str, old: str | None, new: str | None, *, own: bool) -> bool:
    """Return whether a member with the role ``actor`` may change a member's role from ``old`` to ``new``.

    ``old`` is ``None`` for a new member and ``new`` is ``None`` for a removal; ``own`` marks the actor's membership.
    Both roles are checked: a check of the new role alone would let a Manager demote an Owner.
    """
    if own and new is None:
        return True
    if Permission.MANAGE_MEMBERS not in get_role_permissions(actor):
        return False
    return actor == Role.OWNER or Role.OWNER not in (old, new)


class KeyHolder(StrEnum):
    """The field of ``ApiKey`` that names the holder of a key."""

    ORGANIZATION = "organization"
    USER = "user"


class KeyRules(NamedTuple):
    """The rules of one key type.

    ``get_permissions`` returns what the key may do in its organization; ``None`` stands for the role of its user.
    ``is_public`` keys only reach views marked ``@publishable``, with safe methods. ``get_rate_limit`` returns the default
    for requests per minute.
    """

    holder: KeyHolder
    get_permissions: Callable[[], frozenset[str]] | None
    is_public: bool = False
    get_rate_limit: Callable[[], int] = lambda: conf.RATE_LIMIT_PER_MINUTE


KEY_RULES: Mapping[str, KeyRules] = MappingProxyType(
    {
        KeyType.BUSINESS: KeyRules(KeyHolder.ORGANIZATION, get_all_permissions),
        KeyType.USER: KeyRules(KeyHolder.USER, None),
        KeyType.PUBLISHABLE: KeyRules(
            KeyHolder.ORGANIZATION,
            lambda: frozenset({Permission.VIEW_ORGANIZATION}),
            is_public=True,
            get_rate_limit=lambda: conf.PUBLISHABLE_RATE_LIMIT_PER_MINUTE,
        ),
    }
)


def get_key_types(holder: KeyHolder) -> list[str]:
    """Return the key types with this holder."""
    return [key_type for key_type, rules in KEY_RULES.items() if rules.holder == holder]
