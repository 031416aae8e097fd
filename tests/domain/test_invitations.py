from __future__ import annotations

import pickle
import re
from copy import copy
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.core import mail, serializers
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils import translation

from closient_auth import signals
from closient_auth.actors import Actor
from closient_auth.models import AuditEntry, Invitation, Membership
from closient_auth.models.invitations import hash_token
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key

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


def find_addresses(user):
    """The setting ``VERIFIED_ADDRESSES`` of some tests."""
    return [f"{user.get_username()}@work.example"]


@pytest.fixture
def verified(settings):
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": f"{__name__}.find_addresses"}


def get_events():
    events = AuditEntry.objects.filter(target_model="invitation").order_by("event")
    return [event.removeprefix("invitation_") for event in events.values_list("event", flat=True)]


def test_accept_twice(invite, organization, grace, owner):
    _, token = invite()
    membership = Invitation.objects.accept(token, grace)
    membership.change_role("billing")
    type(owner).objects.update(is_active=False)
    type(owner).objects.filter(pk=grace.pk).update(is_active=True)

    again = Invitation.objects.accept(token, grace)

    assert (again, again.role) == (membership, "billing")
    assert get_events() == ["accepted", "created"]
    assert organization.memberships.filter(user=grace).count() == 1


def test_another_member_does_not_accept_again(invite, join, grace):
    _, token = invite()
    Invitation.objects.accept(token, grace)

    assert refusal(Invitation.objects.accept, token, join("editor").user) == "invalid_invitation"
    grace.email = ""
    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"
    assert refusal(Invitation.objects.decline, token, grace) == "invalid_invitation"


def test_member_meanwhile(invite, organization, grace):
    """The invitation ends, and the role of the member stays."""
    invitation, token = invite(role="manager")
    # ``bulk_create()`` sends no signal.
    Membership.objects.bulk_create([Membership(organization=organization, user=grace, role="billing")])

    membership = Invitation.objects.accept(token, grace)

    assert (membership.user, membership.role) == (grace, "billing")
    invitation.refresh_from_db()
    assert invitation.state == "accepted"
    assert get_events() == ["accepted", "created"]
    assert Invitation.objects.accept(token, grace) == membership


def test_membership_ends_the_invitations_to_the_same_person(invite, join, organization, grace, verified):
    first, token = invite()
    second, _ = invite("grace@work.example")
    beside, _ = invite("heidi@example.com")
    neighbour = make_invitation(OrganizationFactory.create(), "grace@example.com", by=grace)[0]

    join("billing", user=grace)

    states = {row.pk: row.state for row in Invitation.objects.all()}
    assert states == {first.pk: "withdrawn", second.pk: "withdrawn", beside.pk: "pending", neighbour.pk: "pending"}
    assert get_events().count("withdrawn") == 2
    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"
    assert Membership.objects.get(user=grace).role == "billing"


def test_acceptance_ends_the_other_invitations_to_the_same_person(invite, grace, verified):
    first, token = invite()
    second, _ = invite("grace@work.example", role="manager")

    assert Invitation.objects.accept(token, grace).role == "editor"

    assert {row.pk: row.state for row in Invitation.objects.all()} == {first.pk: "accepted", second.pk: "withdrawn"}


def test_changed_membership_ends_no_invitation(invite, join, grace):
    membership = join("editor")
    invitation, _ = invite(ADDRESS)
    type(grace).objects.filter(pk=membership.user_id).update(email=ADDRESS)
    Membership.objects.get(pk=membership.pk).change_role("billing")

    assert Invitation.objects.get().state == invitation.state == "pending"


def test_loaded_membership_ends_no_invitation(invite, organization, grace):
    """A fixture contains the invitations too."""
    invite()
    row = Membership(organization=organization, user=grace, role="editor", created_at=NOW)
    data = serializers.serialize("python", [row])
    for loaded in serializers.deserialize("python", data):
        loaded.save()

    assert Invitation.objects.get().state == "pending"


def test_idn_address(invite, grace, join):
    grace.email = "Grace@Bücher.example"
    grace.save()
    invitation, token = invite("grace@xn--bcher-kva.example")

    assert Invitation.objects.accept(token, grace).role == "editor"
    assert refusal(invite, "GRACE@bücher.example") == "already_member"
    assert refusal(invite, "grace@xn--bcher-kva.example") == "already_member"
    pending, _ = invite("grace@straße.example")
    assert (invitation.email, pending.email) == ("grace@xn--bcher-kva.example", "grace@straße.example")
    assert mail.outbox[0].to == ["grace@xn--bcher-kva.example"]
    assert refusal(
        Invitation.objects.accept, read_token(), join("editor", user__email="grace@strasse.example").user
    ) == ("other_email")


def test_decline(invite, organization, grace):
    invitation, token = invite()
    beside, _ = invite("heidi@example.com")

    for _ in range(2):
        assert Invitation.objects.decline(token, grace) == invitation

    invitation.refresh_from_db()
    assert (invitation.state, invitation.declined_at) == ("declined", NOW)
    entry = AuditEntry.objects.get(event="invitation_declined")
    assert (entry.actor, entry.old_values, entry.new_values) == ("grace", {"state": "pending"}, {"state": "declined"})
    assert refusal(Invitation.objects.accept, token, grace) == "invalid_invitation"
    assert not organization.memberships.filter(user=grace).exists()
    assert list(Invitation.objects.in_state("declined")) == [invitation]
    assert list(Invitation.objects.in_state("pending")) == [beside]


def test_declined_invitation_is_over(invite, grace, owner):
    invitation, token = invite()
    Invitation.objects.decline(token, grace)

    assert refusal(resend, invitation) == "not_open"
    invitation.withdraw(by=owner)
    assert (invitation.state, invitation.withdrawn_at) == ("declined", None)
    assert get_events() == ["created", "declined"]
    assert invite()[0] != invitation


def test_who_may_not_decline(invite, grace, join, owner):
    invitation, token = invite()

    assert refusal(Invitation.objects.decline, "x" * 32, grace) == "invalid_invitation"
    assert refusal(Invitation.objects.decline, token, join("manager").user) == "other_email"
    grace.email = ""
    assert refusal(Invitation.objects.decline, token, grace) == "no_email"
    grace.email = ADDRESS
    api_key = make_key("csu", user=grace, permissions=[])[0]
    with pytest.raises(PermissionDenied, match="restricted API key"):
        Invitation.objects.decline(token, grace, by=Actor(grace, api_key))
    type(owner).objects.filter(pk=owner.pk).update(is_active=False)
    assert refusal(Invitation.objects.decline, token, grace) == "invalid_invitation"
    assert Invitation.objects.get().state == invitation.state == "pending"


def test_find_valid(invite, owner, organization, grace, django_assert_num_queries):
    invitation, token = invite()
    before = Invitation.objects.values().get(), AuditEntry.objects.count()

    with django_assert_num_queries(3):
        found = Invitation.objects.find_valid(token)

    assert (found, found.organization, found.invited_by, found.url) == (invitation, organization, owner, "")
    assert (Invitation.objects.values().get(), AuditEntry.objects.count()) == before
    assert refusal(Invitation.objects.find_valid, token[::-1]) == "invalid_invitation"


@pytest.mark.parametrize("cause", VOID)
def test_find_void(invite, cause, grace):
    invitation, token = invite()
    VOID[cause](invitation)

    assert refusal(Invitation.objects.find_valid, token) == "invalid_invitation"
    assert Invitation.objects.for_user(grace) == ([invitation] if cause in ("unknown", "resent") else [])


def test_find_used(invite, grace, clock):
    _, token = invite()
    clock.move_to(NOW + timedelta(days=7), tick=False)
    assert refusal(Invitation.objects.find_valid, token) == "invalid_invitation"
    assert Invitation.objects.for_user(grace) == []

    clock.move_to(NOW, tick=False)
    Invitation.objects.accept(token, grace)
    assert refusal(Invitation.objects.find_valid, token) == "invalid_invitation"


def test_preview_takes_no_lock(invite, grace):
    """``SELECT FOR UPDATE`` would make readers wait, and is an error outside a transaction."""
    _, token = invite()

    with CaptureQueriesContext(connection) as queries:
        Invitation.objects.find_valid(token)
        Invitation.objects.for_user(grace)

    assert not [query["sql"] for query in queries if "FOR UPDATE" in query["sql"].upper() or "UPDATE " in query["sql"]]


def test_own_invitations(invite, grace, clock):
    first, _ = invite()
    clock.move_to(NOW + timedelta(hours=1), tick=False)
    other = MembershipFactory.create(role="owner")
    second, _ = invite(organization=other.organization, by=other.user)
    invite("heidi@example.com")

    assert Invitation.objects.for_user(grace) == [second, first]
    assert Invitation.objects.for_user(UserFactory.create(email="")) == []
    assert Invitation.objects.for_user(UserFactory.create(email=ADDRESS, is_active=False)) == []


def test_address_that_the_database_takes_for_another(invite, grace, join):
    """MariaDB compares a letter as equal to its full-width form."""
    invitation, _ = invite("grace@ｅxample.com")

    assert Invitation.objects.for_user(grace) == []
    join("editor", user=grace)
    invitation.refresh_from_db()
    assert invitation.state == "pending"


def test_own_invitations_with_verified_addresses(invite, grace, verified):
    """A project that can name the verified addresses shows nothing to people who only claim an address."""
    invite()
    work, _ = invite("Grace@Work.example")

    assert Invitation.objects.for_user(grace) == [work]


def test_verified_address(invite, grace, verified):
    _, token = invite("Grace@Work.example", role="billing")
    stranger = UserFactory.create(username="stranger", email="stranger@example.com")

    assert refusal(Invitation.objects.accept, token, stranger) == "other_email"
    assert Invitation.objects.accept(token, grace).role == "billing"
    grace.email = ""
    assert Invitation.objects.accept(token, grace).role == "billing"


@pytest.mark.parametrize("answer", ["accept_as", "decline_as"])
def test_answer_without_a_token(invite, grace, settings, answer):
    """The address of an account is no proof, because the project may not have verified it."""
    invitation, _ = invite()
    work, _ = invite("grace@work.example", role="billing")
    stranger = UserFactory.create(username="stranger", email="grace@work.example")

    assert (invitation.is_for(grace), invitation.is_verified_for(grace)) == (True, False)
    assert refusal(getattr(invitation, answer), grace) == "unverified_email"
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": f"{__name__}.find_addresses"}
    for row, user in ((invitation, grace), (work, stranger)):
        assert row.is_verified_for(user) is False
        assert refusal(getattr(row, answer), user, by=Actor(user)) == "unverified_email"
    assert {row.state for row in Invitation.objects.all()} == {"pending"}

    assert work.is_verified_for(grace)
    answered = getattr(work, answer)(grace, by=Actor(grace, address="192.0.2.1"))
    if answer == "accept_as":
        assert (answered.user, answered.role) == (grace, "billing")
    work.refresh_from_db()
    assert work.state == {"accept_as": "accepted", "decline_as": "declined"}[answer]
    assert AuditEntry.objects.get(event=f"invitation_{work.state}").address == "192.0.2.1"
    invitation.refresh_from_db()
    assert invitation.state == ("withdrawn" if answer == "accept_as" else "pending")


def test_inactive_user_with_a_verified_address(invite, grace, verified):
    work, token = invite("grace@work.example")
    grace.is_active = False

    assert not work.is_for(grace)
    assert refusal(work.accept_as, grace) == "unverified_email"
    assert refusal(Invitation.objects.accept, token, grace) == "other_email"


def test_answer_without_a_token_to_a_void_invitation(invite, grace, owner, verified):
    work, _ = invite("grace@work.example")
    type(owner).objects.filter(pk=owner.pk).update(is_active=False)

    assert refusal(work.accept_as, grace) == "invalid_invitation"
    type(work.organization).objects.get().delete()
    assert refusal(work.decline_as, grace) == "invalid_invitation"


def test_cooldown(invite, owner, clock):
    invitation, token = invite()
    before = Invitation.objects.values().get()

    clock.move_to(NOW + timedelta(seconds=59), tick=False)
    assert refusal(invitation.resend, by=owner) == "sent_recently"
    assert (Invitation.objects.values().get(), len(mail.outbox), invitation.url) == (before, 1, "")
    clock.move_to(NOW + timedelta(seconds=60), tick=False)
    invitation.resend(by=owner)
    assert invitation.last_sent_at == NOW + timedelta(seconds=60)
    assert Invitation.objects.get().hashed_token != hash_token(token)


def test_mail_error_is_kept_until_the_next_mail(
    invite, owner, clock, monkeypatch, caplog, django_capture_on_commit_callbacks
):
    with monkeypatch.context() as patch:
        patch.setattr("closient_auth.models.mails.send_mail", lambda *args, **kwargs: 0)
        with pytest.raises(IndexError):
            invite()
    invitation = Invitation.objects.get()
    assert (invitation.last_error, invitation.last_sent_at, invitation.state) == ("not_accepted", NOW, "pending")
    assert caplog.messages == [f"invitation=not_mailed id={invitation.pk} error=not_accepted"]

    clock.move_to(NOW + timedelta(minutes=1), tick=False)
    with django_capture_on_commit_callbacks(execute=True):
        invitation.resend(by=owner)
    assert (invitation.last_error, Invitation.objects.get().last_error) == ("", "")


def test_late_error_of_an_older_mail(organization, owner, clock, monkeypatch, django_capture_on_commit_callbacks):
    """The error of the first mail comes after the second mail, which was sent."""
    with django_capture_on_commit_callbacks() as callbacks:
        invitation = Invitation.objects.invite(organization=organization, email=ADDRESS, by=owner)
    clock.move_to(NOW + timedelta(minutes=1), tick=False)
    with django_capture_on_commit_callbacks(execute=True):
        Invitation.objects.get().resend(by=owner)
    monkeypatch.setattr("closient_auth.models.mails.send_mail", lambda *args, **kwargs: 0)
    for callback in callbacks:
        callback()

    assert invitation.last_error == "not_accepted"
    assert Invitation.objects.get().last_error == ""


URL = "https://app.example/join/{token}"


def mount_dashboard(mount):
    pages = [path("join/<str:token>/", lambda request, token: HttpResponse(), name="join")]
    mount(path("settings/", include((pages, "closient_dashboard"))))


@pytest.mark.parametrize(
    ("url", "is_mounted", "origin", "expected"),
    [
        (URL, False, "", URL),
        (URL, True, "https://other.example", URL),
        ("https://app.example/?code={token}#join", False, "", "https://app.example/?code={token}#join"),
        ("", True, "https://app.example", "https://app.example/settings/join/{token}/"),
        ("", True, "", ""),
        ("", False, "https://app.example", ""),
    ],
)
def test_link(invite, owner, settings, mount, url, is_mounted, origin, expected, django_capture_on_commit_callbacks):
    settings.CLOSIENT_AUTH = {"INVITATION_URL": url}
    mount_dashboard(mount) if is_mounted else mount()

    invitation, token = invite(by=Actor(owner, origin=origin))

    link = expected.replace("{token}", token)
    (message,) = mail.outbox
    ((html, kind),) = getattr(message, "alternatives", [])
    assert (invitation.url, kind) == (link, "text/html")
    links = [link] if link else []
    assert re.findall(r"https?://\S+", str(message.body)) == links
    assert [unescape(found) for found in re.findall(r'href="(.+?)"', html)] == links
    assert html.count(token) == message.body.count(token) == len(links) + 1
    assert ("If the link does not work" in message.body) == bool(links)


def test_link_is_only_on_the_instance_of_the_sender(invite, settings, clock, owner, django_capture_on_commit_callbacks):
    settings.CLOSIENT_AUTH = {"INVITATION_URL": URL}
    seen = []
    receive = lambda instance, **kwargs: seen.append(instance)  # noqa: E731
    for signal in (signals.invitation_created, signals.invitation_resent):
        signal.connect(receive)

    invitation, token = invite()
    assert invitation.url.endswith(token)
    clock.move_to(NOW + timedelta(minutes=1), tick=False)
    with django_capture_on_commit_callbacks(execute=True):
        invitation.resend(by=owner)

    assert invitation.url.endswith(read_token())
    for other in [*seen, Invitation.objects.get(), copy(invitation), pickle.loads(pickle.dumps(invitation))]:
        assert other == invitation
        assert (other.url, vars(other).get("_url")) == ("", None)
    assert len(seen) == 2
    for signal in (signals.invitation_created, signals.invitation_resent):
        assert signal.disconnect(receive)


def test_mail_names_its_sender(invite, owner):
    owner.first_name, owner.last_name, owner.email = "Ada <b>", "Lindqvist", "ada@example.com"
    owner.save()
    invite()

    (message,) = mail.outbox
    ((html, _),) = getattr(message, "alternatives", [])
    assert message.subject == "Ada <b> Lindqvist invites you to Acme Foods"
    assert str(message.body).startswith(
        "Ada <b> Lindqvist invites you to join Acme Foods as Editor.\n"
        "The address of Ada <b> Lindqvist is ada@example.com.\n"
    )
    assert "<strong>Ada &lt;b&gt; Lindqvist</strong> invites you" in html


def test_hostile_names_in_the_mail(invite, owner, organization):
    url = "https://evil.example/login"
    owner.first_name, owner.email = f"Log in: {url}", '"Pay https://evil.example "@x.example'
    owner.save()
    type(organization).objects.update(name=f"<b>URGENT</b> {url} " + "x" * 200)
    organization.refresh_from_db()
    invite()

    (message,) = mail.outbox
    ((html, _),) = getattr(message, "alternatives", [])
    for text in (message.subject, message.body, html):
        assert "evil. example/login" in text
        assert not re.search(r"evil\.example|:/|x{60}", text.replace("<!DOCTYPE", ""))
    assert "<b>" not in html
    assert "Pay" not in message.body + html


def test_mail_in_the_language_of_the_sender(invite):
    with translation.override("ar"):
        invite()

    ((html, _),) = getattr(mail.outbox[0], "alternatives", [])
    assert '<html lang="ar" dir="rtl">' in html
