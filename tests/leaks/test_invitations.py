"""Only the mail, and the response to its sender, contain the token of an invitation."""

from __future__ import annotations

import pytest
from django.core import mail
from django.urls import reverse
from rest_framework.test import APIClient

from closient_auth import signals
from closient_auth.models import AuditEntry, Invitation
from closient_auth.models.invitations import hash_token
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db

API = "/account"


@pytest.fixture
def owner():
    return MembershipFactory.create(role="owner", user__is_staff=True, user__is_superuser=True)


@pytest.fixture
def ask(sinks, django_capture_on_commit_callbacks):
    """Return a function to send a request as a user, and to note everything but the response of a sender."""

    def ask(user, method, address, *, is_told=False, **data):
        client = APIClient(raise_request_exception=False)
        client.force_login(user)
        with django_capture_on_commit_callbacks(execute=True):
            response = getattr(client, method)(f"{API}{address}", data or None)
        if is_told:
            sinks.add("cookie", response.cookies.output())
            sinks.add("header", response.headers)
        else:
            sinks.add_response(response)
        return response

    return ask


@pytest.mark.parametrize("debug", [False, True], ids=["debug off", "debug on"])
@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_token_is_told_once(owner, ask, sinks, settings, debug, answer):
    settings.DEBUG = debug
    settings.CLOSIENT_AUTH = {"INVITATION_URL": "https://app.example/join/{token}"}
    seen = []

    def receive(instance, entry, **kwargs):
        seen.append(str([vars(instance), vars(entry)]))

    for signal in (signals.invitation_created, signals.invitation_resent):
        signal.connect(receive)
    grace = UserFactory.create(email="grace@example.com")
    tree = f"/organizations/{owner.organization_id}"
    created = ask(owner.user, "post", f"{tree}/invitations", is_told=True, email="grace@example.com")
    Invitation.objects.update(last_sent_at=None)
    path = f"{tree}/invitations/{created.json()['id']}"
    resent = ask(owner.user, "post", f"{path}/resend", is_told=True)
    tokens = [response.json()["url"].rpartition("/")[2] for response in (created, resent)]

    for address in (path, f"{tree}/invitations", f"{tree}/audit", f"{tree}/members"):
        assert ask(owner.user, "get", address).status_code == 200
    assert ask(owner.user, "post", f"{path}/resend").status_code == 409
    stranger = UserFactory.create()
    for token, user, status in ((tokens[0], grace, 409), (tokens[1], stranger, 409)):
        assert ask(user, "post", f"/invitations/{answer}", token=token).status_code == status
    assert ask(grace, "post", "/invitations/preview", token=tokens[1]).status_code == 200
    assert ask(grace, "get", "/me/invitations").json()["count"] == 1
    assert ask(grace, "post", f"/invitations/{answer}", token=tokens[1]).status_code < 300
    page = reverse("admin:closient_auth_organization_change", args=[owner.organization_id])
    client = APIClient()
    client.force_login(owner.user)
    assert sinks.add_response(client.get(page)).status_code == 200
    for signal in (signals.invitation_created, signals.invitation_resent):
        assert signal.disconnect(receive)

    assert [token in message.body for token, message in zip(tokens, mail.outbox, strict=True)] == [True, True]
    assert len(seen) == 2
    for token in tokens:
        assert sinks.find(token) == set()
        assert token not in str(seen)
    assert sinks.find(hash_token(tokens[1])) - {"log django.db.backends"} == {"closient_auth_invitation.hashed_token"}


@pytest.mark.parametrize("name", ["find_valid", "is_valid", "is_for"])
@pytest.mark.parametrize("answer", ["accept", "decline", "preview"])
def test_token_in_an_answer_that_fails(owner, ask, sinks, monkeypatch, name, answer):
    Invitation.objects.invite(organization=owner.organization, email="grace@example.com", by=owner.user)
    token = "T0" * 16
    Invitation.objects.update(hashed_token=hash_token(token))
    grace = UserFactory.create(email="grace@example.com")

    def fail(*args, **kwargs):
        raise RuntimeError("It is broken.")

    place = type(Invitation.objects.all()) if name == "find_valid" else Invitation
    monkeypatch.setattr(place, name, fail)
    status = ask(grace, "post", f"/invitations/{answer}", token=token).status_code

    assert status == 500 or (name == "find_valid" and answer != "preview")
    assert sinks.find(token) - {"frames"} == set()
    assert sinks.find("It is broken.") or status < 300


def test_link_in_a_mail_that_cannot_be_rendered(owner, ask, sinks, monkeypatch, settings):
    settings.CLOSIENT_AUTH = {"INVITATION_URL": "https://app.example/join/{token}"}
    made = []

    def note(*args):
        made.append("T0" * 16)
        return made[-1]

    monkeypatch.setattr("closient_auth.models.invitations.get_random_string", note)

    def fail(*args, **kwargs):
        raise RuntimeError("It is broken.")

    monkeypatch.setattr("closient_auth.models.mails.render_to_string", fail)

    response = ask(owner.user, "post", f"/organizations/{owner.organization_id}/invitations", email="grace@example.com")

    assert response.status_code == 500
    (token,) = made
    assert sinks.find("It is broken.") >= {"mail"}
    assert sinks.find(token) - {"frames"} == set()
    assert not Invitation.objects.exists()
    assert not AuditEntry.objects.filter(target_model="invitation").exists()
