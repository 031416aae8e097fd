"""The pages about the invitations of an organization."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from http import HTTPStatus
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import DatabaseError, IntegrityError, connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.limits.windows import Window
from closient_auth.models import AuditEntry, Invitation, Membership
from closient_auth.models.invitations import hash_token
from tests.dashboard.routes import get_text
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation

pytestmark = pytest.mark.django_db

INVITATIONS = "/settings/o/acme/invitations/"
LINK = re.compile(r"http://testserver/settings/join/(\w{32})/")
# Who may invite with which role, and resend and withdraw an invitation with this role.
ROLES = {
    "owner": ["owner", "manager", "billing", "editor"],
    "manager": ["manager", "billing", "editor"],
    "billing": [],
    "editor": [],
    "superuser": ["owner", "manager", "billing", "editor"],
}


@pytest.fixture
def everybody(people, outsider):
    """Return the users by role, with a superuser and a stranger."""
    return {**people, "superuser": UserFactory.create(username="root", is_superuser=True), "outsider": outsider}


@pytest.fixture
def neighbour(people):
    """Return an invitation to another organization, by the same inviter."""
    member = MembershipFactory.create(user=people["owner"], role="owner", organization__slug="beta")
    return make_invitation(member.organization, "new@example.org", by=people["owner"])[0]


def snapshot():
    fields = (
        "pk",
        "organization",
        "email",
        "role",
        "hashed_token",
        "expires_at",
        "accepted_at",
        "withdrawn_at",
        "declined_at",
    )
    return list(Invitation.objects.order_by("pk").values_list(*fields))


def read(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def get_results(response):
    return [(result.email, str(result.title)) for result in response.context["results"]]


@pytest.mark.parametrize("who", ROLES)
def test_matrix(client, acme, everybody, neighbour, who):
    client.force_login(everybody[who])
    may_see = bool(ROLES[who])
    assert client.get(INVITATIONS).status_code == (HTTPStatus.OK if may_see else HTTPStatus.FORBIDDEN)
    for role in ROLES["owner"]:
        may_change, address = role in ROLES[who], f"{role}@example.org"
        refused = {HTTPStatus.OK if may_see else HTTPStatus.FORBIDDEN}
        before = snapshot()
        response = client.post(INVITATIONS, {"emails": address, "role": role})
        assert response.status_code == (HTTPStatus.OK if may_see else HTTPStatus.FORBIDDEN)
        assert Invitation.objects.filter(email=address, role=role, organization=acme).exists() == may_change
        if not may_change:
            assert snapshot() == before
            assert not may_see or "Select a valid choice." in response.text
        invitation = make_invitation(acme, f"other-{role}@example.org", by=everybody["owner"], role=role)[0]
        for path in ("resend", "withdraw"):
            url = f"{INVITATIONS}{invitation.pk}/{path}/"
            assert {client.get(url).status_code} == refused
            before = snapshot()
            status = client.post(url).status_code
            expected = {"resend": HTTPStatus.OK, "withdraw": HTTPStatus.FOUND}[path]
            assert status == (expected if may_change else HTTPStatus.FORBIDDEN)
            assert (snapshot() != before) == may_change
        invitation.delete()
    fresh = Invitation.objects.get(pk=neighbour.pk)
    assert (fresh.hashed_token, fresh.state) == (neighbour.hashed_token, "pending")


@pytest.mark.parametrize("path", ["", "{pk}/resend/", "{pk}/withdraw/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_outsiders_get_the_response_of_an_unknown_organization(sign_in, acme, people, outsider, path, method):
    client, invitation = sign_in(outsider), make_invitation(acme, "new@example.org", by=people["owner"])[0]
    address = f"/settings/o/{{}}/invitations/{path.format(pk=invitation.pk)}"
    foreign, unknown = (getattr(client, method)(address.format(name)) for name in ("acme", "umbra"))

    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert get_text(foreign).replace("acme", "umbra") == get_text(unknown)


@pytest.mark.parametrize("pk", ["foreign", "unknown", "nonsense", "\0"])
@pytest.mark.parametrize("path", ["resend", "withdraw"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_other_rows_are_404(owner, neighbour, pk, path, method):
    before = snapshot()
    pks = {"foreign": neighbour.pk, "unknown": uuid4()}

    response = getattr(owner, method)(f"{INVITATIONS}{pks.get(pk, pk)}/{path}/")

    assert (response.status_code, snapshot()) == (404, before)


@pytest.mark.parametrize("verb", ["resend", "withdraw"])
def test_a_row_that_goes_away_meanwhile_is_404(owner, acme, people, monkeypatch, verb):
    invitation = make_invitation(acme, "new@example.org", by=people["owner"])[0]
    real = getattr(Invitation, verb)

    def late(self, **kwargs):
        Invitation.objects.filter(pk=self.pk).delete()
        return real(self, **kwargs)

    monkeypatch.setattr(Invitation, verb, late)

    assert owner.post(f"{INVITATIONS}{invitation.pk}/{verb}/").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("path", ["", "{pk}/resend/", "{pk}/withdraw/"])
def test_forms_need_a_csrf_token(acme, people, path):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])
    invitation = make_invitation(acme, "old@example.org", by=people["owner"])[0]
    url, data = f"{INVITATIONS}{path.format(pk=invitation.pk)}", {"emails": "new@example.org", "role": "editor"}
    before = snapshot()

    assert client.post(url, data).status_code == HTTPStatus.FORBIDDEN
    assert snapshot() == before
    client.get(INVITATIONS)
    response = client.post(url, {**data, "csrfmiddlewaretoken": client.cookies["csrftoken"].value})
    assert response.status_code in (HTTPStatus.OK, HTTPStatus.FOUND)
    assert snapshot() != before


@pytest.mark.django_db(transaction=True)
def test_each_address_has_a_result(owner, acme, people, caplog):
    caplog.set_level(logging.DEBUG)
    make_invitation(acme, "old@example.org", by=people["owner"])
    for number in range(3):
        other = MembershipFactory.create(organization=OrganizationFactory.create(), role="owner")
        Invitation.objects.invite(organization=other.organization, email="many@example.org", by=other.user)
        assert len(mail.outbox) == number + 1
    mail.outbox.clear()
    addresses = [
        "One@Example.org ",
        "",
        "the-editor@example.com",
        "old@example.org",
        "many@example.org",
        "one@example.org",
    ]
    response = owner.post(INVITATIONS, {"emails": "\r\n".join([*addresses, "two@example.org"]), "role": "billing"})

    assert get_results(response) == [
        ("one@example.org", "Sent"),
        ("the-editor@example.com", "Already a member"),
        ("old@example.org", "Already invited"),
        ("many@example.org", "Too many mails"),
        ("two@example.org", "Sent"),
    ]
    assert "2 invitations are on their way" in response.text
    assert [message.to for message in mail.outbox] == [["one@example.org"], ["two@example.org"]]
    tokens = LINK.findall(response.text)
    assert len(tokens) == len(set(tokens)) == 2
    for token, message, address in zip(tokens, mail.outbox, ("one@example.org", "two@example.org"), strict=True):
        assert token in message.body
        assert Invitation.objects.get(hashed_token=hash_token(token)).email == address
    # The links are in this response alone.
    page = owner.get(INVITATIONS)
    sessions = [session.get_decoded() for session in Session.objects.all()]
    for token in tokens:
        assert token not in page.text
        assert token not in str(sessions)
        assert token not in caplog.text
        assert token not in str(list(AuditEntry.objects.values()))
    assert read(response) == []
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic requests"])
def test_a_mail_that_cannot_be_sent(owner, monkeypatch, is_atomic):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", is_atomic)
    monkeypatch.setattr("closient_auth.models.mails.send_mail", lambda *args, **kwargs: 0)
    response = owner.post(INVITATIONS, {"emails": "new@example.org", "role": "editor"})

    assert get_results(response) == [("new@example.org", "Could not be sent")]
    assert "No invitation was sent" in response.text
    assert "pass the link on yourself" in response.text
    assert LINK.search(response.text)
    page = owner.get(INVITATIONS)
    assert [row["badge"] for row in page.context["invitations"]] == [("bad", "Could not be sent")]


def test_no_link_without_a_certain_host(owner, settings):
    settings.ALLOWED_HOSTS = ["*"]
    response = owner.post(INVITATIONS, {"emails": "new@example.org", "role": "editor"})

    assert get_results(response) == [("new@example.org", "Sent")]
    assert "/join/" not in response.text
    assert "pass the links on" not in response.text


def test_addresses_that_are_none_stop_the_form(owner):
    response = owner.post(INVITATIONS, {"emails": "good@example.org\nnonsense\n<script>@x", "role": "editor"})

    assert "nonsense, &lt;script&gt;@x are not e-mail addresses." in response.text
    assert "good@example.org" in response.text
    assert not Invitation.objects.exists()


def test_an_address_that_the_model_refuses(owner):
    address = f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 20}.example"
    response = owner.post(INVITATIONS, {"emails": f"{address}\nnew@example.org", "role": "editor"})

    assert get_results(response) == [(address, "Not sent"), ("new@example.org", "Sent")]
    assert "1 invitation is on its way" in response.text


@pytest.mark.parametrize(
    ("number", "error"), [(0, "This field is required."), (21, "Invite at most 20 people at a time.")]
)
def test_too_few_and_too_many(owner, number, error):
    emails = "\n".join(f"p{index}@example.org" for index in range(number))

    assert error in owner.post(INVITATIONS, {"emails": emails, "role": "editor"}).text
    assert not Invitation.objects.exists()


def test_lines_are_counted_before_they_are_compared(owner):
    emails = "\n".join(f"ada@{'x' * index}X{'x' * (20 - index)}.example" for index in range(21))

    assert "Invite at most 20 people at a time." in owner.post(INVITATIONS, {"emails": emails, "role": "editor"}).text
    assert not Invitation.objects.exists()


def test_an_error_does_not_repeat_a_long_line(owner):
    response = owner.post(INVITATIONS, {"emails": "n" * 5000, "role": "editor"})

    assert f"{'n' * 100} is not an e-mail address." in response.text
    assert f"{'n' * 101} is not" not in response.text


def test_every_address_counts_against_the_limit(owner, acme, people, monkeypatch):
    monkeypatch.setattr("closient_auth.dashboard.frame.CHANGE_WINDOWS", (Window(2, 86_400),))
    emails = "one@example.org\ntwo@example.org\nthree@example.org"
    response = owner.post(INVITATIONS, {"emails": emails, "role": "editor"})

    assert get_results(response) == [
        ("one@example.org", "Sent"),
        ("two@example.org", "Sent"),
        ("three@example.org", "Not sent yet"),
    ]
    assert "Too many changes. Try again in" in response.text
    assert "Too many changes." in owner.post(INVITATIONS, {"emails": "four@example.org", "role": "editor"}).text
    invitation = Invitation.objects.get(email="one@example.org")
    assert "Too many changes." in owner.post(f"{INVITATIONS}{invitation.pk}/resend/").text
    assert owner.post(f"{INVITATIONS}{invitation.pk}/withdraw/").status_code == HTTPStatus.FOUND


@pytest.mark.parametrize("error", [IntegrityError, DatabaseError])
def test_an_error_of_the_database_keeps_the_links_of_the_others(owner, monkeypatch, error):
    real = type(Invitation.objects).invite

    def fail(self, *, email, **kwargs):
        if email == "two@example.org":
            raise error
        return real(self, email=email, **kwargs)

    monkeypatch.setattr(type(Invitation.objects), "invite", fail)
    data = {"emails": "one@example.org\ntwo@example.org\nthree@example.org", "role": "editor"}
    if error is DatabaseError:
        with pytest.raises(DatabaseError):
            owner.post(INVITATIONS, data)
        return
    response = owner.post(INVITATIONS, data)

    assert [title for _, title in get_results(response)] == ["Sent", "Not sent", "Sent"]
    assert len(LINK.findall(response.text)) == 2


def test_resending(owner, acme, people):
    invitation, old = make_invitation(acme, "new@example.org", by=people["manager"])
    assert "The old link stops working." in owner.get(f"{INVITATIONS}{invitation.pk}/resend/").text
    response = owner.post(f"{INVITATIONS}{invitation.pk}/resend/")

    (token,) = LINK.findall(response.text)
    assert token != old
    invitation.refresh_from_db()
    assert (invitation.hashed_token, invitation.invited_by) == (hash_token(token), people["owner"])
    again = owner.post(f"{INVITATIONS}{invitation.pk}/resend/")
    assert "This invitation was sent a moment ago." in again.text
    assert not LINK.findall(again.text)


@pytest.mark.parametrize("state", ["accepted", "declined", "withdrawn"])
def test_no_button_for_what_is_over(owner, acme, people, state):
    invitation = make_invitation(acme, "new@example.org", by=people["owner"])[0]
    Invitation.objects.filter(pk=invitation.pk).update(**{f"{state}_at": timezone.now()})
    (row,) = owner.get(INVITATIONS).context["invitations"]

    assert (row["may_resend"], row["may_withdraw"], str(row["badge"][1])) == (False, False, state.title())
    before = snapshot()
    assert (
        "has already been accepted, declined or withdrawn" in owner.post(f"{INVITATIONS}{invitation.pk}/resend/").text
    )
    response = owner.post(f"{INVITATIONS}{invitation.pk}/withdraw/")
    assert response.status_code == (HTTPStatus.OK if state == "accepted" else HTTPStatus.FOUND)
    assert snapshot() == before


def test_withdrawing(owner, acme, people, neighbour):
    invitation = make_invitation(acme, "new@example.org", by=people["owner"])[0]
    assert (
        "The link that new@example.org has got stops working."
        in owner.get(f"{INVITATIONS}{invitation.pk}/withdraw/").text
    )
    response = owner.post(f"{INVITATIONS}{invitation.pk}/withdraw/")

    assert (response.status_code, response["Location"]) == (302, INVITATIONS)
    assert read(response) == ["The invitation to new@example.org is withdrawn."]
    states = {row.pk: row.state for row in Invitation.objects.all()}
    assert states == {invitation.pk: "withdrawn", neighbour.pk: "pending"}


def test_badges(owner, acme, people, time_machine):
    for email, hours in {"new": 167, "soon": 40, "today": 3, "late": -1}.items():
        invitation = make_invitation(acme, f"{email}@example.org", by=people["owner"])[0]
        Invitation.objects.filter(pk=invitation.pk).update(
            expires_at=timezone.now() + timedelta(hours=hours, minutes=1)
        )
    rows = owner.get(INVITATIONS).context["invitations"]

    assert {row["invitation"].email: (row["badge"][0], str(row["badge"][1]).replace("\xa0", " ")) for row in rows} == {
        "new@example.org": ("good", "Expires in 7 days"),
        "soon@example.org": ("good", "Expires in 2 days"),
        "today@example.org": ("warn", "Expires in 3 hours"),
        "late@example.org": ("off", "Expired"),
    }
    assert all(row["may_resend"] and row["may_withdraw"] for row in rows)


@pytest.fixture
def inviters(acme, people, everybody):
    """Return the inviters of invitations with every role, by what has become of them."""
    return {
        **everybody,
        "gone": None,
        "inactive": MembershipFactory.create(organization=acme, role="owner", user__is_active=False).user,
        "elsewhere": MembershipFactory.create(role="owner").user,
        "inactive superuser": UserFactory.create(is_superuser=True, is_active=False),
    }


def test_void_is_what_nobody_can_accept(owner, acme, inviters, django_assert_num_queries):
    """The list asks for all rows at once, and must agree with the model, which asks for one."""
    for name, inviter in inviters.items():
        for role in ROLES["owner"]:
            make_invitation(acme, f"{name.replace(' ', '.')}.{role}@example.org", by=inviter, role=role)
    invitations = list(Invitation.objects.select_related("organization"))
    with django_assert_num_queries(2):
        void = Invitation.objects.find_void(invitations)

    assert void == {row.pk for row in invitations if not row.is_valid(lock=False)}
    valid = {(row.email.partition(".")[0], row.role) for row in invitations if row.pk not in void}
    assert valid == {(who, role) for who, roles in ROLES.items() for role in roles}
    Invitation.objects.update(withdrawn_at=timezone.now())
    assert Invitation.objects.find_void(Invitation.objects.all()) == set()


def test_the_reason_of_a_void_invitation(sign_in, acme, people):
    people["editor"].first_name = "<b>Eli</b>"
    people["editor"].save()
    make_invitation(acme, "one@example.org", by=people["editor"], role="owner")
    make_invitation(acme, "two@example.org", by=None)
    response = sign_in(people["manager"]).get(INVITATIONS)

    rows = {row["invitation"].email: row for row in response.context["invitations"]}
    assert {str(row["badge"][1]) for row in rows.values()} == {"Void"}
    assert "&lt;b&gt;Eli&lt;/b&gt; may no longer invite people as Owner." in response.text
    assert "The account of the person who invited is gone." in response.text
    # Every Manager may withdraw it, and no Manager may renew the invitation of an Owner.
    assert (rows["one@example.org"]["may_resend"], rows["one@example.org"]["may_withdraw"]) == (False, True)
    url = f"{INVITATIONS}{rows['one@example.org']['invitation'].pk}"
    client = sign_in(people["manager"])
    assert client.post(f"{url}/resend/").status_code == HTTPStatus.FORBIDDEN
    assert client.post(f"{url}/withdraw/").status_code == HTTPStatus.FOUND


@pytest.mark.parametrize(
    ("query", "emails"),
    [
        ("", {"pending@example.org", "declined@example.org"}),
        ("state=pending", {"pending@example.org"}),
        ("state=declined", {"declined@example.org"}),
        ("state=accepted", set()),
        ("state=umbra", {"pending@example.org", "declined@example.org"}),
    ],
)
def test_filter(owner, acme, people, query, emails):
    for state in ("pending", "declined"):
        invitation = make_invitation(acme, f"{state}@example.org", by=people["owner"])[0]
        if state == "declined":
            Invitation.objects.filter(pk=invitation.pk).update(declined_at=timezone.now())
    response = owner.get(f"{INVITATIONS}?{query}")

    assert {row["invitation"].email for row in response.context["invitations"]} == emails
    assert ("Select a valid choice." in response.text) == (query == "state=umbra")
    assert ("No invitation matches" in response.text) == (not emails)


def test_no_invitations(owner):
    assert "No invitations yet" in owner.get(INVITATIONS).text


def test_queries_do_not_depend_on_the_rows(owner, acme, people):
    def count():
        with CaptureQueriesContext(connection) as queries:
            assert owner.get(INVITATIONS).status_code == HTTPStatus.OK
        return len(queries)

    make_invitation(acme, "new@example.org", by=people["owner"])
    few = count()
    for number in range(100):
        inviter = MembershipFactory.create(organization=acme, role="manager").user
        make_invitation(acme, f"p{number}@example.org", by=inviter)

    assert count() == few
    assert owner.get(f"{INVITATIONS}?page=9").context["rows"].number == 5


def test_names_are_escaped(owner, acme, people):
    evil = '"<script>alert(1)</script>"@example.org'
    people["owner"].last_name = "<script>alert(1)</script>"
    people["owner"].save()
    invitation = make_invitation(acme, evil, by=people["owner"])[0]
    for path in ("", f"{invitation.pk}/resend/", f"{invitation.pk}/withdraw/"):
        page = owner.get(f"{INVITATIONS}{path}").text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    page = owner.post(f"{INVITATIONS}{invitation.pk}/withdraw/", follow=True).text
    assert "<script>alert" not in page


def test_a_suspended_organization(owner, acme, people):
    invitation = make_invitation(acme, "new@example.org", by=people["owner"])[0]
    acme.suspend()
    before = snapshot()
    for path in ("", f"{invitation.pk}/resend/", f"{invitation.pk}/withdraw/"):
        assert owner.get(f"{INVITATIONS}{path}").status_code == HTTPStatus.FORBIDDEN
        assert (
            owner.post(f"{INVITATIONS}{path}", {"emails": "a@b.example", "role": "editor"}).status_code
            == HTTPStatus.FORBIDDEN
        )
    assert snapshot() == before


@pytest.mark.parametrize("path", ["", "{pk}/resend/", "{pk}/withdraw/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_project_with_members_of_its_own_has_its_own_pages(owner, acme, people, settings, path, method):
    invitation = make_invitation(acme, "new@example.org", by=people["owner"])[0]
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": "tests.memberships.adapters.TeamMemberships"}
    before = snapshot()

    response = getattr(owner, method)(f"{INVITATIONS}{path.format(pk=invitation.pk)}", {"emails": "a@b.example"})

    assert (response.status_code, snapshot()) == (404, before)


def test_an_inviter_who_is_demoted_meanwhile(owner, people, monkeypatch):
    """The page was shown to an Owner, and the form is sent by an Editor."""
    real = type(Invitation.objects).invite

    def late(self, **kwargs):
        Membership.objects.filter(user=people["owner"]).update(role="editor")
        return real(self, **kwargs)

    monkeypatch.setattr(type(Invitation.objects), "invite", late)

    assert owner.post(INVITATIONS, {"emails": "a@b.example", "role": "editor"}).status_code == HTTPStatus.FORBIDDEN
    assert not Invitation.objects.exists()
