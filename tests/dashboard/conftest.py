from __future__ import annotations

import pytest
import time_machine
from django.core.cache import cache

from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

ROLES = ("owner", "manager", "billing", "editor")


@pytest.fixture(autouse=True)
def urls(settings):
    settings.ROOT_URLCONF = "tests.dashboard.urls"
    settings.LOGIN_URL = "login"


@pytest.fixture
def clock(settings):
    """Freeze the clock. The counters use the local memory cache, because Redis has its own clock."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        yield clock
    cache.clear()


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
