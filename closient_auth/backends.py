"""Organization permissions for ``user.has_perm()``."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from closient_auth.memberships import get_memberships
from closient_auth.models.actors import get_api_key_of


class OrganizationBackend(BaseBackend):
    """Support ``user.has_perm("organization.manage_billing", organization)`` in plain Django code.

    Add this backend to ``AUTHENTICATION_BACKENDS`` next to your login backend. Every call reads the membership from the
    database. Calls without an organization return no permissions.
    """

    def get_user_permissions(self, user_obj: AbstractBaseUser | AnonymousUser, obj: Any = None) -> set[str]:
        """Return the permissions of the user in the organization ``obj``, or an empty set.

        With a project's own ``MEMBERSHIPS``, ``obj`` may also be the team that stands for the organization.

        The user of a request with an API key has those that the key leaves.
        """
        if obj is None or not user_obj.is_active or user_obj.is_anonymous:
            return set()
        memberships = get_memberships()
        organization = memberships.find_anchor(obj)
        member = organization and memberships.find_member(user_obj, organization)
        if member is None:
            return set()
        return set(member.organization.get_effective_permissions(member.get_permissions(), get_api_key_of(user_obj)))
