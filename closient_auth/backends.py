"""Organization permissions for ``user.has_perm()``."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import router

from closient_auth.models import Membership, Organization
from closient_auth.models.actors import get_api_key_of


class OrganizationBackend(BaseBackend):
    """Support ``user.has_perm("organization.manage_billing", organization)`` in plain Django code.

    Add this backend to ``AUTHENTICATION_BACKENDS`` next to your login backend. Every call reads the membership from the
    database. Calls without an organization return no permissions.
    """

    def get_user_permissions(self, user_obj: AbstractBaseUser | AnonymousUser, obj: Any = None) -> set[str]:
        """Return the permissions of the user's role in the organization ``obj``, or an empty set.

        The user of a request with an API key has those that the key leaves.
        """
        if not isinstance(obj, Organization) or not user_obj.is_active or user_obj.is_anonymous:
            return set()
        # Read from the primary database, so a demotion applies at once even if a replica lags.
        memberships = Membership.objects.using(router.db_for_write(Membership)).select_related("organization")
        membership = memberships.filter(organization=obj, user_id=user_obj.pk).first()
        return set(membership.get_permissions(get_api_key_of(user_obj))) if membership else set()
