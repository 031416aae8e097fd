from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.core import mail
from django.db import connections
from django.http import HttpResponse
from django.urls import include, path
from django.utils import timezone

from closient_auth.models import Invitation, Membership
from tests.factories import MembershipFactory, UserFactory, make_invitation


@pytest.fixture
def invite(send, tree, django_capture_on_commit_callbacks):
    """Send an invitation; return the response and the tokens of the last e-mail."""

    def invite(who="owner", **body):
        with django_capture_on_commit_callbacks(execute=True):
            response = send(who, "post", f"{tree}/invitations", {"email": "grace@example.com", **body})
        tokens = re.findall(r"^ +(\w{32})$", str(mail.outbox[-1].body), re.MULTILINE) if mail.outbox else []
        return response, tokens

    return invite


@pytest.fixture
def grace(people):
    people["grace"] = UserFactory.create(username="grace", email="Grace@Example.com")
    return people["grace"]


def test_from_invitation_to_member(invite, send, tree, acme, grace):
    response, (token,) = invite()

    assert response.status_code == HTTPStatus.CREATED
    invitation = response.json()
    assert invitation == {
        "id": str(Invitation.objects.get().pk),
        "email": "grace@example.com",
        "role": "editor",
        "status": "pending",
        "invited_by": "owner",
        "created_at": invitation["created_at"],
        "expires_at": invitation["expires_at"],
        "last_sent_at": invitation["last_sent_at"],
        "mail_error": "",
        "url": "",
    }
    assert send("manager", "get", f"{tree}/invitations").json()["results"] == [invitation]
    accepted = send("grace", "post", "/invitations/accept", {"token": token})
    assert accepted.status_code == HTTPStatus.CREATED
    assert accepted.json() == {
        "id": str(grace.closient_auth_memberships.get().pk),
        "organization": accepted.json()["organization"],
        "role": "editor",
    }
    assert accepted.json()["organization"]["id"] == str(acme.pk)
    assert send("grace", "get", tree).status_code == HTTPStatus.OK
    again = send("grace", "post", "/invitations/accept", {"token": token})
    assert (again.status_code, again.json()) == (HTTPStatus.CREATED, accepted.json())
    gone = send("owner", "delete", f"{tree}/invitations/{invitation['id']}")
    assert (gone.status_code, gone.json()["code"]) == (HTTPStatus.CONFLICT, "not_open")


def test_mail_in_the_words_of_the_host(invite, grace, settings, tmp_path):
    (tmp_path / "closient_auth").mkdir()
    (tmp_path / "closient_auth" / "invitation_subject.txt").write_text("Come to\n{{ organization.name }}\n")
    (tmp_path / "closient_auth" / "invitation.txt").write_text(
        "{{ inviter.username }} asks {{ invitation.email }}: https://example.com/join#{{ token }}"
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    invite()

    (message,) = mail.outbox
    text, _, token = str(message.body).partition("#")
    assert (message.subject, text) == ("Come to Acme", "owner asks grace@example.com: https://example.com/join")
    assert Invitation.objects.accept(token, grace).role == "editor"


def test_answers_of_accept(invite, send, people, grace):
    _, (token,) = invite()

    for who, body, status, code in (
        ("editor", {"token": token}, HTTPStatus.CONFLICT, "other_email"),
        ("grace", {"token": "x" * 32}, HTTPStatus.CONFLICT, "invalid_invitation"),
    ):
        response = send(who, "post", "/invitations/accept", body)
        assert (response.status_code, response.json()["code"]) == (status, code)
    assert send("grace", "post", "/invitations/accept", {}).json().keys() == {"token"}
    assert send("grace", "post", "/invitations/accept", {"token": token, "role": "owner"}).json().keys() == {"role"}
    assert send(None, "post", "/invitations/accept", {"token": token}).status_code == HTTPStatus.UNAUTHORIZED
    assert Invitation.objects.get().state == "pending"


def test_resend_and_withdraw(invite, send, tree, grace, django_capture_on_commit_callbacks):
    response, (first,) = invite()
    address = f"{tree}/invitations/{response.json()['id']}"

    assert send("manager", "post", f"{address}/resend", {"role": "owner"}).json().keys() == {"role"}
    early = send("manager", "post", f"{address}/resend")
    assert (early.status_code, early.json()["code"]) == (HTTPStatus.CONFLICT, "sent_recently")
    Invitation.objects.update(last_sent_at=timezone.now() - timedelta(minutes=1))
    assert send("manager", "post", f"{address}/resend").json()["invited_by"] == "manager"
    stale = send("grace", "post", "/invitations/accept", {"token": first})
    assert stale.json()["code"] == "invalid_invitation"
    for _ in range(2):
        assert send("manager", "delete", address).status_code == HTTPStatus.NO_CONTENT
    assert send("manager", "get", address).json()["status"] == "withdrawn"
    assert send("manager", "post", f"{address}/resend").json()["code"] == "not_open"
    for state, count in (("withdrawn", 1), ("pending", 0)):
        assert send("manager", "get", f"{tree}/invitations?status={state}").json()["count"] == count


def test_only_owners_invite_owners(invite, send, tree):
    assert invite("manager", role="owner")[0].status_code == HTTPStatus.FORBIDDEN
    response, _ = invite("owner", role="owner")
    address = f"{tree}/invitations/{response.json()['id']}"

    assert send("manager", "post", f"{address}/resend").status_code == HTTPStatus.FORBIDDEN
    assert send("manager", "delete", address).status_code == HTTPStatus.FORBIDDEN
    for who in ("billing", "editor"):
        assert invite(who, email="x@example.com")[0].status_code == HTTPStatus.FORBIDDEN
        assert send(who, "get", f"{tree}/invitations").status_code == HTTPStatus.FORBIDDEN
    assert Invitation.objects.get().state == "pending"


@pytest.mark.parametrize(
    "body", [{"email": "none"}, {"role": "boss"}, {"token": "x"}, {"expires_at": "x"}, {"status": "accepted"}]
)
def test_body_that_cannot_be(invite, body):
    response, _ = invite(**body)

    assert (response.status_code, response.json().keys()) == (HTTPStatus.BAD_REQUEST, body.keys())
    assert not Invitation.objects.exists()


def test_second_invitation(invite):
    invite()

    response, _ = invite(email="GRACE@EXAMPLE.COM")
    assert (response.status_code, response.json()["code"]) == (HTTPStatus.CONFLICT, "already_invited")
    response, _ = invite(email="EDITOR@example.com")
    assert (response.status_code, response.json()["code"]) == (HTTPStatus.CONFLICT, "already_member")


def test_link_is_shown_once(invite, send, tree, settings):
    settings.CLOSIENT_AUTH = {"INVITATION_URL": "https://app.example/join/{token}"}

    response, (token,) = invite()

    invitation = response.json()
    assert invitation["url"] == f"https://app.example/join/{token}"
    listed = send("owner", "get", f"{tree}/invitations")
    found = send("owner", "get", f"{tree}/invitations/{invitation['id']}")
    assert found.json() == listed.json()["results"][0] == invitation | {"url": ""}
    for read in (listed, found, send("owner", "get", f"{tree}/audit")):
        assert token not in read.content.decode()
    Invitation.objects.update(last_sent_at=None)
    again = send("owner", "post", f"{tree}/invitations/{invitation['id']}/resend").json()
    assert again["url"].startswith("https://app.example/join/")
    assert token not in again["url"]


@pytest.mark.parametrize(
    ("hosts", "host", "expected"),
    [
        (["app.example"], "app.example", "http://app.example"),
        (["app.example", "*"], "app.example:8000", "http://app.example:8000"),
        (["*"], "evil.example", ""),
        ([".app.example"], "evil.app.example", ""),
    ],
)
def test_link_to_the_dashboard(mount, call, acme, people, settings, hosts, host, expected, client):
    """A link leads to a host that ``ALLOWED_HOSTS`` names, and never to another host that the sender names."""
    settings.ALLOWED_HOSTS = hosts
    pages = [path("join/<str:token>/", lambda request, token: HttpResponse(), name="join")]
    mount(path("", include("closient_auth.urls")), path("settings/", include((pages, "closient_dashboard"))))
    address = f"/organizations/{acme.pk}/invitations"

    response = call(address, user=people["owner"], method="post", data={"email": "grace@example.com"}, host=host)

    assert response.status_code == HTTPStatus.CREATED
    assert response.json()["url"].rpartition("/settings/join/")[0] == expected


def test_preview(invite, send, people, grace):
    people["owner"].first_name = "Ada"
    people["owner"].save()
    response, (token,) = invite(role="manager")
    shown = {
        "organization": "Acme",
        "role": "manager",
        "invited_by": "Ada",
        "expires_at": response.json()["expires_at"],
    }

    previews = {who: send(who, "post", "/invitations/preview", {"token": token}) for who in ("grace", "outsider")}

    assert {preview.status_code for preview in previews.values()} == {HTTPStatus.OK}
    assert previews["grace"].json() == shown | {"email": "grace@example.com", "is_yours": True}
    assert previews["outsider"].json() == shown | {"email": "g…@example.com", "is_yours": False}
    assert Invitation.objects.get().state == "pending"
    unknown = send("grace", "post", "/invitations/preview", {"token": "x" * 32})
    assert (unknown.status_code, unknown.json()["code"]) == (HTTPStatus.CONFLICT, "invalid_invitation")
    assert send("grace", "post", "/invitations/preview", {}).json().keys() == {"token"}
    assert send(None, "post", "/invitations/preview", {"token": token}).status_code == HTTPStatus.UNAUTHORIZED


def test_preview_of_an_accepted_invitation(invite, send, people, grace):
    """The accepter may have clicked the link twice. Others learn nothing, and neither does who is no member any more."""

    def preview(who):
        response = send(who, "post", "/invitations/preview", {"token": token})
        return response.status_code, response.json().get("code") or response.json()["is_yours"]

    _, (token,) = invite()
    send("grace", "post", "/invitations/accept", {"token": token})
    assert preview("grace") == (HTTPStatus.OK, True)
    for who in ("outsider", "owner"):
        assert preview(who) == (HTTPStatus.CONFLICT, "invalid_invitation")
    Membership.objects.get(user=grace).remove()
    assert preview("grace") == (HTTPStatus.CONFLICT, "invalid_invitation")


def test_decline(invite, send, tree, grace):
    response, (token,) = invite()

    other = send("outsider", "post", "/invitations/decline", {"token": token})
    assert (other.status_code, other.json()["code"]) == (HTTPStatus.CONFLICT, "other_email")
    for _ in range(2):
        declined = send("grace", "post", "/invitations/decline", {"token": token})
        assert (declined.status_code, declined.content) == (HTTPStatus.NO_CONTENT, b"")

    assert (
        send("owner", "get", f"{tree}/invitations?status=declined").json()["results"][0]["id"]
        == (response.json()["id"])
    )
    late = send("grace", "post", "/invitations/accept", {"token": token})
    assert late.json()["code"] == "invalid_invitation"
    assert send("owner", "get", f"{tree}/audit?event=invitation_declined").json()["results"][0]["actor"] == "grace"


def test_own_invitations(invite, send, grace, acme):
    response, (token,) = invite(role="billing")
    invite(email="heidi@example.com")

    listed = send("grace", "get", "/me/invitations")

    invitation = response.json()
    assert listed.json()["results"] == [
        {
            "id": invitation["id"],
            "organization": "Acme",
            "email": "grace@example.com",
            "role": "billing",
            "invited_by": "owner",
            "expires_at": invitation["expires_at"],
        }
    ]
    assert token not in listed.content.decode()
    assert send("outsider", "get", "/me/invitations").json()["results"] == []
    send("grace", "post", "/invitations/accept", {"token": token})
    assert send("grace", "get", "/me/invitations").json()["count"] == 0


def test_pages_of_own_invitations(send, grace):
    for _ in range(3):
        member = MembershipFactory.create(role="owner")
        make_invitation(member.organization, "grace@example.com", by=member.user)

    first = send("grace", "get", "/me/invitations?page_size=2").json()

    assert (first["count"], len(first["results"])) == (3, 2)
    assert len(send("grace", "get", "/me/invitations?page_size=2&page=2").json()["results"]) == 1
    assert send("grace", "get", "/me/invitations?page_size=0").status_code == HTTPStatus.BAD_REQUEST


def test_too_many_mails(invite, send, tree):
    """The response does not say when others have written to the address."""
    for _ in range(3):
        response, _ = invite()
        send("owner", "delete", f"{tree}/invitations/{response.json()['id']}")

    refused, _ = invite()

    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.CONFLICT, "too_many_mails")
    assert "Retry-After" not in refused
    assert len(mail.outbox) == Invitation.objects.count() == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic requests"])
def test_mail_that_could_not_be_sent(send, tree, monkeypatch, is_atomic):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", is_atomic)

    def fail(*args, **kwargs):
        raise ConnectionRefusedError("mail.example for grace@example.com")

    monkeypatch.setattr("closient_auth.models.mails.send_mail", fail)

    response = send("owner", "post", f"{tree}/invitations", {"email": "grace@example.com"})

    assert (response.status_code, response.json()["mail_error"]) == (HTTPStatus.CREATED, "ConnectionRefusedError")
    assert send("manager", "get", f"{tree}/invitations").json()["results"][0]["mail_error"] == "ConnectionRefusedError"
