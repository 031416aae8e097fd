from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.core import mail
from django.utils import timezone

from closient_auth.models import Invitation
from tests.factories import UserFactory


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
    del invitation["url"]
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
