from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4
from zlib import crc32

from django.contrib.auth import get_user_model
from django.utils import timezone
from django.utils.crypto import get_random_string
from factory.declarations import LazyAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory

from closient_auth.keys import KeyType
from closient_auth.models import ApiKey, Invitation, Membership, Organization
from closient_auth.models.invitations import hash_token
from closient_auth.roles import Role


class UserFactory(DjangoModelFactory[Any]):
    class Meta:
        model = get_user_model()

    username = Sequence(lambda n: f"user{n}")
    email = LazyAttribute(lambda user: f"{user.username}@example.com")


class OrganizationFactory(DjangoModelFactory[Organization]):
    class Meta:
        model = Organization

    name = Sequence(lambda n: f"Organization {n}")
    slug = Sequence(lambda n: f"organization-{n}")


class MembershipFactory(DjangoModelFactory[Membership]):
    class Meta:
        model = Membership

    organization = SubFactory(OrganizationFactory)
    user = SubFactory(UserFactory)
    role = Role.EDITOR


def make_key(prefix: str = KeyType.BUSINESS, **kwargs: Any) -> tuple[ApiKey, str]:
    """Return a new key and its raw text; create a user or organization for it if none is given."""
    if prefix == KeyType.USER and "user" not in kwargs:
        kwargs["user"] = UserFactory.create()
    elif prefix != KeyType.USER and "organization" not in kwargs:
        kwargs["organization"] = OrganizationFactory.create()
    # ``create_key()`` refuses an expiry in the past, so such a key is created first and then expires.
    is_expired = kwargs.get("expires_at") and kwargs["expires_at"] <= timezone.now()
    expires_at = kwargs.pop("expires_at") if is_expired else kwargs.get("expires_at")
    api_key, raw_key = ApiKey.objects.create_key(prefix=prefix, **kwargs)
    # The rate-limit window depends on the family. Choose a window with at least 21 s left, so it lasts for the test.
    while (crc32(str(api_key.family).encode()) - int(time.time())) % 60 <= 20:
        api_key.family = uuid4()
    api_key.expires_at = expires_at
    ApiKey.objects.filter(pk=api_key.pk).update(family=api_key.family, expires_at=expires_at)
    return api_key, raw_key


def make_invitation(
    organization: Organization, email: str, *, by: Any, role: str = Role.EDITOR
) -> tuple[Invitation, str]:
    """Return a new invitation and its token, without sending the mail."""
    token = get_random_string(32)
    invitation = Invitation.objects.create(
        organization=organization,
        email=email,
        role=role,
        invited_by=by,
        hashed_token=hash_token(token),
        expires_at=timezone.now() + timedelta(days=7),
    )
    return invitation, token
