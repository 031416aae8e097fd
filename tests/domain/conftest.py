from __future__ import annotations

import pytest

from closient_auth.models import Membership
from tests.factories import MembershipFactory, OrganizationFactory


@pytest.fixture
def organization(db):
    return OrganizationFactory.create(name="Acme Foods", slug="acme-foods")


@pytest.fixture
def join(organization):
    """Return a function to add a new member: ``join("owner", user__is_active=False)``."""
    return lambda role, **kwargs: MembershipFactory.create(organization=organization, role=role, **kwargs)


@pytest.fixture
def roles(organization):
    """Return a function for the members' roles by user name."""

    def roles(organization=organization):
        memberships = Membership.objects.filter(organization=organization).select_related("user")
        return {membership.user.get_username(): membership.role for membership in memberships}

    return roles


@pytest.fixture
def neighbour(db):
    """Yield the Owner of another organization; fail the test if that membership has changed."""
    membership = MembershipFactory.create(role="owner")
    before = Membership.objects.values().get(pk=membership.pk)
    yield membership
    assert Membership.objects.values().get(pk=membership.pk) == before
