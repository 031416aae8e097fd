from __future__ import annotations

import pytest

from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

ROLES = ("owner", "manager", "billing", "editor")


@pytest.fixture(autouse=True)
def urls(settings):
    settings.ROOT_URLCONF = "tests.dashboard.urls"
    settings.LOGIN_URL = "login"


@pytest.fixture
def acme(db):
    return OrganizationFactory.create(name="Acme Foods", slug="acme")


@pytest.fixture
def people(acme):
    """Return a member of Acme for each role, by role."""
    return {
        role: MembershipFactory.create(organization=acme, role=role, user__username=f"the-{role}").user
        for role in ROLES
    }


@pytest.fixture
def sign_in(client):
    """Return a function that signs a user in and returns the client."""

    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def owner(sign_in, people):
    return sign_in(people["owner"])


@pytest.fixture
def outsider(db):
    return UserFactory.create(username="outsider")
