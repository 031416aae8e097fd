from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError

from closient_auth.models import Invitation, Membership
from tests.factories import UserFactory

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
ADDRESS = "Grace@example.com"


@pytest.fixture(autouse=True)
def clock(time_machine):
    time_machine.move_to(NOW, tick=False)
    return time_machine


@pytest.fixture
def owner(join):
    return join("owner").user


@pytest.fixture
def grace(db):
    return UserFactory.create(username="grace", email=ADDRESS)


@pytest.fixture
def invite(organization, owner, django_capture_on_commit_callbacks):
    """Return a function to invite a user and return the invitation and the token of its mail."""

    def invite(email=ADDRESS, **kwargs):
        with django_capture_on_commit_callbacks(execute=True):
            invitation = Invitation.objects.invite(
                **{"organization": organization, "email": email, "by": owner} | kwargs
            )
        return invitation, read_token()

    return invite


def read_token():
    (token,) = re.findall(r"^ +(\w{32})$", str(mail.outbox[-1].body), re.MULTILINE)
    return token


def resend(invitation):
    Invitation.objects.filter(pk=invitation.pk).update(last_sent_at=NOW - timedelta(minutes=1))
    invitation.resend(by=invitation.invited_by)


def refusal(function, *args, **kwargs):
    """Return the code of the ``ValidationError`` raised by this call."""
    with pytest.raises(ValidationError) as caught:
        function(*args, **kwargs)
    return caught.value.code


def test_mail_has_the_token_and_the_row_has_not(invite, organization, owner):
    type(organization).objects.update(name="Acme <Foods>\nBcc: everybody\u202e\x1b")
    organization.refresh_from_db()

    invitation, token = invite()

    (message,) = mail.outbox
    assert (message.to, message.subject) == (
        ["grace@example.com"],
        f"{owner.username} invites you to Acme <Foods> Bcc: everybody",
    )
    assert "join Acme <Foods> Bcc: everybody as Editor." in message.body
    assert token not in repr(Invitation.objects.values().get())
    assert (invitation.role, invitation.expires_at, invitation.state) == ("editor", NOW + timedelta(days=7), "pending")


def test_mail_says_the_time_in_utc(invite, settings):
    settings.TIME_ZONE = "Asia/Tokyo"

    invite()

    assert "expires on 8 May 2030, 12:00 UTC." in mail.outbox[0].body


def test_mail_that_fails(organization, owner, monkeypatch, caplog, django_capture_on_commit_callbacks):
    def send_messages(self, messages):
        raise ConnectionRefusedError(messages[0].body)

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)
    with django_capture_on_commit_callbacks(execute=True):
        invitation = Invitation.objects.invite(organization=organization, email=ADDRESS, by=owner)

    assert caplog.messages == [f"invitation=not_mailed id={invitation.pk} error=ConnectionRefusedError"]
    assert Invitation.objects.get().state == "pending"


def test_accept_once(invite, organization, grace):
    invitation, token = invite(role="billing")

    membership = Invitation.objects.accept(token, grace)

    assert (membership.organization, membership.user, membership.role) == (organization, grace, "billing")
    invitation.refresh_from_db()
    assert (invitation.state, invitation.accepted_at) == ("accepted", NOW)
    membership.remove()
    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"
    assert not organization.memberships.filter(user=grace).exists()


@pytest.mark.parametrize("email", ["grace@example.com", "GRACE@EXAMPLE.COM"])
def test_address_in_other_letters(invite, email):
    _, token = invite()

    assert Invitation.objects.accept(token, UserFactory.create(email=email)).role == "editor"


@pytest.mark.parametrize(
    "email",
    # Case folding or Unicode normalization would treat the full-width letter, dotless i or Kelvin sign as equal.
    [
        "kit+1@example.com",
        "ｋit@example.com",
        "kıt@example.com",
        "\u212ait@example.com",
        "kit@example.com.",
        " kit@example.com",
    ],
)
def test_address_of_another(invite, email):
    invitation, token = invite("kit@example.com")

    assert refusal(Invitation.objects.accept, token, UserFactory.create(email=email)) == "other_email"
    assert Membership.objects.count() == 1
    assert Invitation.objects.get() == invitation
    assert invitation.state == "pending"


def test_address_that_was_changed_since(invite, grace):
    """The account's current address is compared; the host project must verify a new address before it saves it."""
    _, token = invite()
    grace.email = "other@example.com"
    grace.save()
    assert refusal(Invitation.objects.accept, token, grace) == "other_email"

    other = UserFactory.create(email="another@example.com")
    assert refusal(Invitation.objects.accept, token, other) == "other_email"
    other.email = ADDRESS
    other.save()
    assert Invitation.objects.accept(token, other).user == other


def test_inactive_user(invite):
    _, token = invite()

    assert (
        refusal(Invitation.objects.accept, token, UserFactory.create(email=ADDRESS, is_active=False)) == "other_email"
    )


def test_user_without_an_address(invite, grace):
    _, token = invite()
    grace.email = ""

    assert refusal(Invitation.objects.accept, token, grace) == "no_email"


def test_user_model_without_addresses(invite, grace, monkeypatch):
    _, token = invite()
    monkeypatch.setattr(type(grace), "EMAIL_FIELD", "no_such_field")

    assert refusal(Invitation.objects.accept, token, grace) == "no_email"
    assert invite("other@example.com")[0].state == "pending"


def test_member_already(invite, join, grace):
    join("billing", user=grace)

    assert refusal(invite, "GRACE@example.com") == "already_member"
    assert Membership.objects.get(user=grace).role == "billing"
    assert not Invitation.objects.exists()


VOID = {
    "unknown": lambda invitation: Invitation.objects.update(hashed_token="0" * 64),
    "withdrawn": lambda invitation: invitation.withdraw(),
    "resent": lambda invitation: resend(invitation),
    "inviter demoted": lambda invitation: Membership.objects.update(role="editor"),
    "inviter gone": lambda invitation: Membership.objects.all()._raw_delete(Membership.objects.db),
    "inviter inactive": lambda invitation: type(invitation.invited_by).objects.update(is_active=False),
    "inviter deleted": lambda invitation: Invitation.objects.update(invited_by=None),
}


@pytest.mark.parametrize("cause", VOID)
def test_void(invite, organization, cause, grace):
    invitation, token = invite()
    VOID[cause](invitation)

    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"
    assert not organization.memberships.filter(user=grace).exists()


def test_token_that_is_replaced_meanwhile(invite, organization, grace, monkeypatch):
    _, token = invite()
    keep_owner = type(organization).keep_owner

    def wait_for_the_lock(self):
        Invitation.objects.update(hashed_token="0" * 64)
        return keep_owner(self)

    monkeypatch.setattr(type(organization), "keep_owner", wait_for_the_lock)

    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"
    assert not organization.memberships.filter(user=grace).exists()


def test_expiry(invite, grace, clock):
    _, token = invite()

    clock.move_to(NOW + timedelta(days=7), tick=False)
    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"
    clock.move_to(NOW + timedelta(days=7, microseconds=-1), tick=False)
    assert Invitation.objects.accept(token, grace).role == "editor"


def test_role_that_the_inviter_may_no_longer_grant(invite, owner, join, grace):
    _, token = invite(role="owner")
    join("owner")
    Membership.objects.get(user=owner).change_role("manager")

    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"


@pytest.mark.parametrize("actor", ["manager", "editor"])
def test_void_invitation_is_cleared_away_by_who_manages_members(invite, owner, join, actor):
    """An Owner invitation of a demoted Owner would otherwise block its address until it expires."""
    invitation, _ = invite(role="owner")
    beside, _ = invite("beside@example.com", role="owner", by=join("owner").user)
    Membership.objects.get(user=owner).change_role("editor")
    by = join(actor).user

    if actor == "editor":
        with pytest.raises(PermissionDenied):
            invitation.withdraw(by=by)
        assert Invitation.objects.get(pk=invitation.pk).state == "pending"
        return
    with pytest.raises(PermissionDenied):
        invitation.resend(by=by)
    invitation.withdraw(by=by)
    assert invite(by=by)[0].state == "pending"
    with pytest.raises(PermissionDenied):
        beside.withdraw(by=by)
    assert Invitation.objects.get(pk=beside.pk).state == "pending"


def test_organization_is_gone(invite, organization, grace):
    _, token = invite()
    organization.delete()

    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"


@pytest.mark.parametrize(
    ("actor", "role"), [("manager", "owner"), ("editor", "editor"), ("billing", "editor"), (None, "editor")]
)
def test_who_may_not_invite(invite, owner, join, actor, role, django_capture_on_commit_callbacks):
    by = join(actor).user if actor else UserFactory.create()
    with pytest.raises(PermissionDenied):
        invite(by=by, role=role)
    assert mail.outbox == []

    invitation, token = invite(role=role)
    before = Invitation.objects.values().get()
    for operation in (invitation.resend, invitation.withdraw):
        with pytest.raises(PermissionDenied):
            operation(by=by)
    assert Invitation.objects.values().get() == before


def test_resend(invite, join, grace, clock, django_capture_on_commit_callbacks):
    invitation, first = invite()
    manager = join("manager").user
    clock.move_to(NOW + timedelta(days=8), tick=False)
    assert invitation.state == "expired"

    with django_capture_on_commit_callbacks(execute=True):
        invitation.resend(by=manager)

    assert (invitation.state, invitation.invited_by) == ("pending", manager)
    assert invitation.expires_at == NOW + timedelta(days=15)
    assert refusal(Invitation.objects.accept, first, grace) == "invalid_invitation"
    assert Invitation.objects.accept(read_token(), grace).role == "editor"
    assert refusal(invitation.resend, by=manager) == "not_open"
    assert refusal(invitation.withdraw, by=manager) == "not_open"


def test_one_invitation_for_an_address(invite, clock, owner):
    first, _ = invite()
    assert refusal(invite, ADDRESS.upper()) == "already_invited"

    clock.move_to(NOW + timedelta(days=8), tick=False)
    second, _ = invite()

    assert refusal(first.resend, by=owner) == "already_invited"
    assert (first.state, second.state) == ("expired", "pending")


def test_withdraw_twice(invite):
    invitation, _ = invite()
    invitation.withdraw()
    first = invitation.withdrawn_at
    invitation.withdraw()

    assert (invitation.state, invitation.withdrawn_at) == ("withdrawn", first)
    assert invite()[0] != invitation


@pytest.mark.parametrize("values", [{"email": "no address"}, {"role": "admin"}, {"email": ""}])
def test_values_that_cannot_be(invite, values):
    with pytest.raises(ValidationError) as caught:
        invite(**values)

    assert set(caught.value.message_dict) == set(values)
    assert not Invitation.objects.exists()


def test_states(invite, grace, clock):
    expired, _ = invite("a@example.com")
    clock.move_to(NOW + timedelta(days=8), tick=False)
    withdrawn, _ = invite("b@example.com")
    withdrawn.withdraw()
    accepted, token = invite()
    Invitation.objects.accept(token, grace)
    pending, _ = invite("c@example.com")

    found = {
        state: list(Invitation.objects.in_state(state)) for state in ("expired", "withdrawn", "accepted", "pending")
    }
    assert found == {"expired": [expired], "withdrawn": [withdrawn], "accepted": [accepted], "pending": [pending]}
    assert str(pending) == "c@example.com: Editor"
