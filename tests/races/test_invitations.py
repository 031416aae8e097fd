"""Concurrent requests: an invitation has one answer, an address gets three mails, and an Owner remains."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from http import HTTPStatus

import pytest
from django.core import mail
from django.db import IntegrityError
from django.urls import include, path
from django.utils import timezone

from closient_auth.models import AuditEntry, Invitation, MailedAddress, Membership
from closient_auth.models.invitations import hash_token
from closient_auth.models.mailed_addresses import hash_address
from tests.factories import MembershipFactory, UserFactory
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def owner():
    return MembershipFactory.create(role="owner")


def invite(owner, email="grace@example.com"):
    return Invitation.objects.invite(organization=owner.organization, email=email, by=owner.user)


def read_token():
    (token,) = re.findall(r"^ +(\w{32})$", str(mail.outbox[-1].body), re.MULTILINE)
    return token


@pytest.mark.parametrize("round", rounds(4))
def test_eight_accepts_make_one_membership(owner, round):
    invite(owner)
    token = read_token()
    grace = UserFactory.create(email="grace@example.com")

    errors = race(*[lambda: Invitation.objects.accept(token, grace)] * 8)

    # The others get the same membership.
    assert errors == [None] * 8
    assert Membership.objects.get(user=grace).organization == owner.organization
    assert AuditEntry.objects.filter(event="invitation_accepted").count() == 1


@pytest.mark.parametrize("round", rounds(4))
def test_accept_and_decline(owner, round):
    """One answer wins, and the other is refused."""
    invite(owner)
    token = read_token()
    grace = UserFactory.create(email="grace@example.com")

    errors = race(
        *[lambda: Invitation.objects.accept(token, grace)] * 4, *[lambda: Invitation.objects.decline(token, grace)] * 4
    )

    state = Invitation.objects.get().state
    winners, losers = (errors[:4], errors[4:]) if state == "accepted" else (errors[4:], errors[:4])
    assert winners == [None] * 4
    assert [getattr(error, "code", error) for error in losers] == ["invalid_invitation"] * 4
    assert Membership.objects.filter(user=grace).exists() == (state == "accepted")
    assert AuditEntry.objects.filter(event__in=["invitation_accepted", "invitation_declined"]).count() == 1


@pytest.mark.parametrize("round", rounds(4))
def test_accept_while_somebody_adds_the_user(owner, round):
    invite(owner)
    token = read_token()
    grace = UserFactory.create(email="grace@example.com")

    accepted, added = race(
        lambda: Invitation.objects.accept(token, grace),
        lambda: Membership.objects.create(organization=owner.organization, user=grace, role="billing"),
    )

    membership = Membership.objects.get(user=grace)
    if membership.role == "editor":
        # The acceptance came first.
        assert (accepted, type(added)) == (None, IntegrityError)
    else:
        assert (added, accepted.code) == (None, "invalid_invitation")
    assert Invitation.objects.get().state == ("accepted" if membership.role == "editor" else "withdrawn")


@pytest.mark.parametrize("row", ["new", "used"])
@pytest.mark.parametrize("round", rounds(4))
def test_eight_organizations_write_to_one_address(round, row):
    """Their locks are different rows; the lock of the address lets three of them write."""
    owners = MembershipFactory.create_batch(8, role="owner")
    if row == "used":
        MailedAddress.objects.create(
            hashed_address=hash_address("grace@example.com"), last_sent_at=timezone.now() - timedelta(days=2)
        )

    errors = race(*[partial(invite, owner) for owner in owners])

    refused = [error for error in errors if error is not None]
    assert [getattr(error, "code", error) for error in refused] == ["too_many_mails"] * 5
    assert Invitation.objects.count() == len(mail.outbox) == 3
    (counted,) = MailedAddress.objects.all()
    assert len(counted.sent_at) == 3


@pytest.mark.parametrize("round", rounds(4))
def test_organizations_write_while_old_rows_are_deleted(round):
    """Each mail deletes old rows, and another mail may use one of them again."""
    owners = MembershipFactory.create_batch(6, role="owner")
    names = [f"guest{number}@example.com" for number in range(6)]
    long_ago = timezone.now() - timedelta(days=2)
    MailedAddress.objects.bulk_create(
        MailedAddress(hashed_address=hash_address(name), last_sent_at=long_ago) for name in names
    )

    def write(owner, names):
        for name in names:
            invite(owner, name)

    errors = race(*[partial(write, owner, names[shift:3] + names[:shift]) for shift, owner in enumerate(owners[:3])])

    assert errors == [None] * 3
    assert {len(row.sent_at) for row in MailedAddress.objects.all()} == {3}
    assert MailedAddress.objects.count() == 3


@pytest.mark.parametrize("round", rounds(4))
def test_eight_resends_send_one_mail(owner, round):
    invitation = invite(owner)
    Invitation.objects.update(last_sent_at=timezone.now() - timedelta(minutes=2))
    mail.outbox.clear()

    errors = race(*[lambda: Invitation.objects.get(pk=invitation.pk).resend(by=owner.user)] * 8)

    refused = [error for error in errors if error is not None]
    assert [getattr(error, "code", error) for error in refused] == ["sent_recently"] * 7
    assert len(mail.outbox) == 1
    assert Invitation.objects.get().hashed_token == hash_token(read_token())


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
