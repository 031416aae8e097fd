"""Concurrent requests: an invitation is accepted once, an address is invited once, and an Owner remains."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.urls import include, path

from closient_auth.models import AuditEntry, Invitation, Membership
from tests.factories import MembershipFactory, UserFactory
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def owner():
    return MembershipFactory.create(role="owner")


def invite(owner):
    return Invitation.objects.invite(organization=owner.organization, email="grace@example.com", by=owner.user)


@pytest.mark.parametrize("round", rounds(4))
def test_eight_accepts_make_one_membership(owner, round):
    invite(owner)
    (token,) = [line.strip() for line in str(mail.outbox[-1].body).splitlines() if len(line.split()) == 1]
    grace = UserFactory.create(email="grace@example.com")

    errors = race(*[lambda: Invitation.objects.accept(token, grace)] * 8)

    refused = [error for error in errors if error is not None]
    assert [type(error) for error in refused] == [ValidationError] * 7, errors
    assert {error.code for error in refused} == {"invalid_invitation"}
    assert Membership.objects.get(user=grace).organization == owner.organization
    assert AuditEntry.objects.filter(event="invitation_accepted").count() == 1


@pytest.mark.parametrize("round", rounds(4))
def test_eight_invitations_make_one(owner, round):
    errors = race(*[lambda: invite(owner)] * 8)

    refused = [error for error in errors if error is not None]
    assert [getattr(error, "code", error) for error in refused] == ["already_invited"] * 7
    assert Invitation.objects.get().state == "pending"


@pytest.mark.parametrize("round", rounds(12))
@pytest.mark.parametrize("methods", [("patch", "patch"), ("patch", "delete"), ("delete", "delete")])
def test_two_requests_of_owners_leave_one(owner, mount, call, methods, round):
    mount(path("", include("closient_auth.urls")))
    other = MembershipFactory.create(organization=owner.organization, role="owner")
    statuses = []

    def send(actor, target, method):
        def operation():
            address = f"/organizations/{owner.organization_id}/members/{target.pk}"
            data = {"role": "editor"} if method == "patch" else None
            response = call(address, user=actor.user, method=method, data=data)
            statuses.append(response.status_code)

        return operation

    assert race(send(owner, other, methods[0]), send(other, owner, methods[1])) == [None, None]

    # The second request came too late: its user had lost the role or the membership.
    assert sorted(statuses)[0] == HTTPStatus.OK
    assert sorted(statuses)[1] in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
    assert owner.organization.memberships.filter(role="owner").count() == 1
