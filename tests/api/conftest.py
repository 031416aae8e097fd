from __future__ import annotations

import pytest
from django.urls import include, path

from closient_auth.models import ApiKey, Membership
from tests.api.world import World
from tests.factories import MembershipFactory, UserFactory, make_key


@pytest.fixture(autouse=True)
def api_urls(mount, db):
    mount(path("", include("closient_auth.urls")))


@pytest.fixture
def people(acme):
    """Return a user for each role in Acme, ``outsider`` (Owner of another organization) and ``root`` (superuser)."""
    people = {
        role: MembershipFactory.create(organization=acme, role=role, user__username=role).user
        for role in ("owner", "manager", "billing", "editor")
    }
    people["outsider"] = MembershipFactory.create(role="owner", user__username="outsider").user
    people["root"] = UserFactory.create(username="root", is_superuser=True)
    return people


@pytest.fixture
def send(call, people):
    """Send a request as one of the people: ``send("owner", "post", "/organizations", {"name": "New"})``."""

    def send(who, method, address, data=None, **headers):
        return call(address, user=people[who] if who else None, method=method, data=data, **headers)

    return send


@pytest.fixture
def neighbour(people):
    """Return the outsider's organization with a key and a member. Assert after the test that they are unchanged."""
    organization = people["outsider"].closient_auth_memberships.get().organization
    make_key(organization=organization)

    def look():
        return [list(model.objects.filter(organization=organization).values()) for model in (ApiKey, Membership)]

    before = look()
    yield organization
    assert look() == before


@pytest.fixture
def world(call, acme, people):
    return World(call, acme, people)


@pytest.fixture
def tree(acme):
    return f"/organizations/{acme.pk}"
