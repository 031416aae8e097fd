"""Concurrent requests to the management API: one succeeds, the others get an error with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import include, path
from rest_framework.test import APIClient

from closient_auth.models import ApiKey, Membership
from tests.factories import MembershipFactory, UserFactory, make_invitation, make_key
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def neighbour(mount):
    """Mount the API; fail the test if another organization has changed."""
    mount(path("", include("closient_auth.urls")))
    owner = MembershipFactory.create(role="owner")
    key, _ = make_key(organization=owner.organization)
    yield
    assert Membership.objects.get(pk=owner.pk).role == "owner"
    assert ApiKey.objects.get(organization=owner.organization).pk == key.pk


@pytest.fixture
def owner():
    return MembershipFactory.create(role="owner")


@pytest.fixture
def send_at_once(call):
    """Return a function to send ``(user, method, address, body)`` at once and return ``(status, code)`` in order."""

    def send_at_once(*requests):
        answers = {}

        def prepare(index, user, method, address, body):
            # Log in beforehand, so all threads start with the request itself.
            client = APIClient()
            client.force_login(user)

            def send():
                response = call(address, client=client, method=method, data=body)
                answers[index] = (response.status_code, response.json().get("code") if response.content else None)

            return send

        assert race(*[prepare(index, *request) for index, request in enumerate(requests)]) == [None] * len(requests)
        return [answers[index] for index in range(len(requests))]

    return send_at_once


def count_owners(organization):
    return organization.memberships.filter(role="owner", user__is_active=True).count()


def test_eight_accepts_make_one_membership(send_at_once, owner):
    for _ in rounds(4):
        grace = UserFactory.create()
        _, token = make_invitation(owner.organization, grace.email, by=owner.user)

        answers = send_at_once(*[(grace, "post", "/invitations/accept", {"token": token})] * 8)

        # The others get the same membership.
        assert answers == [(201, None)] * 8
        assert Membership.objects.get(user=grace).organization == owner.organization
        assert count_owners(owner.organization) == 1


@pytest.mark.parametrize("kind", ["organization's", "own"])
def test_eight_rotations_make_one_successor(send_at_once, kind):
    for _ in rounds(4):
        owner = MembershipFactory.create(role="owner")
        if kind == "own":
            key, _ = make_key("csu", user=owner.user)
            address = f"/me/keys/{key.pk}/rotate"
        else:
            key, _ = make_key(organization=owner.organization)
            address = f"/organizations/{owner.organization_id}/keys/{key.pk}/rotate"

        answers = send_at_once(*[(owner.user, "post", address, {"grace_seconds": 3600})] * 8)

        assert sorted(answers, key=str) == [(201, None)] + [(409, "already_rotated")] * 7
        assert ApiKey.objects.filter(rotated_from=key).count() == 1


# Concurrent requests of two Owners, as (actor, method, target).
OWNERS = {
    "demote each other": ((0, "patch", 1), (1, "patch", 0)),
    "demote themselves": ((0, "patch", 0), (1, "patch", 1)),
    "demote and remove": ((0, "patch", 1), (1, "delete", 0)),
    "remove each other": ((0, "delete", 1), (1, "delete", 0)),
    "leave and demote": ((0, "delete", 0), (0, "patch", 1)),
    "leave both": ((0, "delete", 0), (1, "delete", 1)),
}
BODIES: dict[str, Any] = {"patch": {"role": "editor"}, "delete": None}
# The losing Owner lost the role (403), lost the membership (404), or is now the last Owner (409).
LOSES = {(403, "permission_denied"), (404, None), (409, "last_owner")}


@pytest.mark.parametrize("name", OWNERS)
def test_one_owner_stays_and_the_loser_is_told(send_at_once, name):
    for _ in rounds(12):
        first = MembershipFactory.create(role="owner")
        pair = [first, MembershipFactory.create(organization=first.organization, role="owner")]
        members = f"/organizations/{first.organization_id}/members"
        requests = [
            (pair[actor].user, method, f"{members}/{pair[target].pk}", BODIES[method])
            for actor, method, target in OWNERS[name]
        ]

        winner, loser = sorted(send_at_once(*requests), key=str)

        assert winner == (200, None)
        assert loser in LOSES
        assert count_owners(first.organization) == 1


@pytest.mark.parametrize("method", ["delete", "patch"])
def test_one_of_two_removals_finds_nobody(send_at_once, owner, method):
    """The other Owner's request may run before or after the removal; neither order causes a server error."""
    second = MembershipFactory.create(organization=owner.organization, role="owner")
    for _ in rounds(5):
        member = MembershipFactory.create(organization=owner.organization)
        address = f"/organizations/{owner.organization_id}/members/{member.pk}"

        removal, other = send_at_once(
            (owner.user, "delete", address, None), (second.user, method, address, BODIES[method])
        )

        answers = {removal, other}
        assert answers == {(200, None), (404, None)} or (method == "patch" and answers == {(200, None)})
        assert not Membership.objects.filter(pk=member.pk).exists()
        assert count_owners(owner.organization) == 2
