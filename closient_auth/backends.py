from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db import router

from closient_auth.models import Membership, Organization


class OrganizationBackend(BaseBackend):
    """
    ``user.has_perm("organization.manage_billing", organization)`` in templates and plain Django code.

    List it in ``AUTHENTICATION_BACKENDS`` beside the one that signs people in. It reads the membership at each call,
    and knows nothing of permissions without an organization.
    """

    def get_user_permissions(self, user_obj: AbstractBaseUser | AnonymousUser, obj: Any = None) -> set[str]:
        if not isinstance(obj, Organization) or not user_obj.is_active or user_obj.is_anonymous:
            return set()
        # From the database that is written to: a demotion acts at once, however late a replica is.
        memberships = Membership.objects.using(router.db_for_write(Membership))
        membership = memberships.filter(organization=obj, user_id=user_obj.pk).first()
        return set(membership.permissions) if membership else set()
