"""Find the organization of a request and its permissions there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import router
from django.utils.translation import gettext_lazy as _

from closient_auth.core.refusals import Refused
from closient_auth.models import Membership, Organization
from closient_auth.models.organizations import OrganizationQuerySet
from closient_auth.principals import OrganizationPrincipal

NO_ORGANIZATION = _("You are not a member of any organization.")


@dataclass(frozen=True, slots=True)
class Access:
    """The organization of a request and its permissions there; ``is_superuser`` grants all permissions."""

    organization: Organization
    permissions: frozenset[str] = frozenset()
    is_superuser: bool = False

    def allows(self, permission: str) -> bool:
        """Return whether the request has this permission in the organization."""
        return self.is_superuser or permission in self.permissions


def find_access(user: Any, names: Sequence[str], *, is_superuser: bool) -> Access:
    """Return the access of a user or principal to the organization with all these names (ids or slugs).

    Without names, it is the organization of the key, or of the user's only membership. ``is_superuser`` says that Django's
    superuser status counts (``Actor.is_superuser``). Raise ``Refused``: ``not_authenticated``, ``not_found``, or
    ``organization_required`` without names for a user who does not have exactly one membership.
    """
    if isinstance(user, OrganizationPrincipal):
        if not all(user.organization.is_named(name) for name in names):
            raise Refused("not_found")
        return Access(user.organization, user.permissions)
    # Django's ``AllowAllUsersModelBackend`` accepts the session of a deactivated user.
    if not user or not user.is_authenticated or not user.is_active:
        raise Refused("not_authenticated")
    if names and is_superuser:
        organization = _named(names).first()
        if organization is None:
            raise Refused("not_found")
        return Access(organization, is_superuser=True)
    # Read from the primary database: a lagging replica would return the old role of a demoted member.
    memberships = Membership.objects.using(router.db_for_write(Membership))
    memberships = memberships.select_related("organization").filter(user_id=user.pk)
    if names:
        memberships = memberships.filter(organization__in=_named(names))
    found = list(memberships[:2])
    if names and not found:
        raise Refused("not_found")
    if len(found) != 1:
        # Do not ask users without a membership to name an organization: any name would return 404.
        raise Refused("organization_required", None if found or is_superuser else NO_ORGANIZATION)
    return Access(found[0].organization, found[0].permissions, is_superuser)


def _named(names: Sequence[str]) -> OrganizationQuerySet:
    organizations = Organization.objects.using(router.db_for_write(Organization))
    for name in names:
        organizations = organizations.named(name)
    return organizations
