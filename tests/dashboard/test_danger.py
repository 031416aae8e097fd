"""Leaving, handing over and deleting an organization."""

from __future__ import annotations

import re
import sys

import pytest
from django.core.signals import got_request_exception
from django.db.models import RestrictedError
from django.test import Client
from django.views.debug import ExceptionReporter

from closient_auth.core.refusals import Refused
from closient_auth.models import ApiKey, AuditEntry, Membership, Organization
from tests.dashboard.conftest import ROLES
from tests.dashboard.routes import get_text
from tests.factories import MembershipFactory, UserFactory, make_invitation, make_key
from tests.memberships.models import Team

pytestmark = pytest.mark.django_db

LEAVE, TRANSFER, DELETE = (f"/settings/o/acme/settings/{name}/" for name in ("leave", "transfer", "delete"))
# The pages that each role may open.
ADMITTED = {
    LEAVE: {"owner", "manager", "billing", "editor"},
    TRANSFER: {"owner"},
    DELETE: {"owner"},
}


@pytest.fixture(autouse=True)
def neighbour(db):
    """Fail the test if another organization, its Owner or its key has changed."""
    member = MembershipFactory.create(role="owner", organization__slug="neighbour")
    make_key("csb", organization=member.organization)
    read = lambda: [  # noqa: E731
        list(rows.order_by("pk").values())
        for rows in (
            Organization.objects.filter(slug="neighbour"),
            Membership.objects.filter(organization=member.organization_id),
            ApiKey.objects.filter(organization=member.organization_id),
        )
    ]
    before = read()
    yield member
    assert read() == before


def get_roles(acme):
    return {member.user.get_username(): member.role for member in acme.memberships.select_related("user")}


def post(client, url):
    """Post what would change something."""
    member = Membership.objects.filter(organization__slug="acme", user__username="the-manager").first()
    data = {
        LEAVE: {},
        TRANSFER: {"member": member.pk if member else "", "role": "editor"},
        DELETE: {"name": "acme"},
    }
    return client.post(url, data[url])


def post_all(client):
    return {url: post(client, url) for url in ADMITTED}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("url", ADMITTED)
def test_roles(sign_in, people, acme, role, url):
    client, before = sign_in(people[role]), get_roles(acme)
    status = 200 if role in ADMITTED[url] else 403

    assert client.get(url).status_code == status
    if status == 403:
        response = post(client, url)
        assert response.status_code == 403
        assert "Your role does not allow this." in response.text
        assert get_roles(acme) == before


def test_others(client, sign_in, outsider, people, acme):
    before = get_roles(acme)
    assert {response.status_code for response in post_all(client).values()} == {302}
    client = sign_in(outsider)

    assert {response.status_code for response in post_all(client).values()} == {404}
    foreign, unknown = client.get(DELETE), client.get(DELETE.replace("acme", "umbra"))
    assert get_text(foreign).replace("acme", "umbra") == get_text(unknown)
    assert get_roles(acme) == before


def test_csrf(people, acme):
    before, client = get_roles(acme), Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])

    assert {response.status_code for response in post_all(client).values()} == {403}
    assert get_roles(acme) == before


def test_a_suspended_organization(owner, people, acme):
    before = get_roles(acme)
    acme.suspend()

    assert {response.status_code for response in post_all(owner).values()} == {403}
    assert get_roles(acme) == before


def test_a_superuser(sign_in, people, acme):
    """A superuser who is no member has nothing to leave and nothing to hand over, but may delete."""
    client, before = sign_in(UserFactory.create(is_superuser=True)), get_roles(acme)

    assert [client.get(url).status_code for url in (LEAVE, TRANSFER, DELETE)] == [404, 404, 200]
    assert client.post(LEAVE).status_code == 404
    assert client.post(TRANSFER, {"role": "editor"}).status_code == 404
    assert get_roles(acme) == before
    assert client.post(DELETE, {"name": "acme"}).status_code == 302
    assert not Organization.objects.filter(slug="acme").exists()


def test_a_superuser_who_is_a_manager_has_no_ownership(sign_in, people, acme):
    user = people["manager"]
    user.is_superuser = True
    user.save()
    response = sign_in(user).post(TRANSFER, {"member": "", "role": "editor"})

    assert response.status_code == 403
    assert "Only an Owner can hand over the ownership." in response.text


# Leave


def leave(client):
    """Confirm what the page has shown."""
    preview = client.get(LEAVE).context["preview"]
    return client.post(LEAVE, {"shown": preview.etag} if preview else {})


@pytest.mark.parametrize("role", ["manager", "billing", "editor"])
def test_leave(sign_in, people, acme, role):
    client = sign_in(people[role])
    assert "You lose your access to Acme Foods at once." in client.get(LEAVE).text

    response = leave(client)

    assert response["Location"] == "/settings/"
    assert "You have left Acme Foods." in client.get("/settings/").text
    assert f"the-{role}" not in get_roles(acme)
    assert len(get_roles(acme)) == 3
    entry = AuditEntry.objects.get(event="member_removed")
    assert (entry.actor, entry.address) == (f"the-{role}", "127.0.0.1")
    assert client.get(LEAVE).status_code == 404


def test_consequences_of_leaving(sign_in, people, acme):
    manager = people["manager"]
    make_key("csu", user=manager, name="Laptop")
    make_invitation(acme, "a@example.com", by=manager)
    make_invitation(acme, "b@example.com", by=manager)
    key, _ = make_key("csb", organization=acme, name="Warehouse", by=manager)
    make_key("csb", organization=acme, name="Of somebody else", by=people["owner"])
    page = sign_in(manager).get(LEAVE).text

    for text in ("Laptop", "a@example.com", "b@example.com", "1 key of the organization keeps working"):
        assert text in page
    assert f'name="revoke_keys" value="{key.pk}"' in page
    assert "Of somebody else" not in page

    Membership.objects.get(user=manager).change_role("editor", by=people["owner"])
    page = sign_in(manager).get(LEAVE).text
    assert "Laptop" in page
    assert "Warehouse" not in page
    assert f"csb_{key.hint}" not in page


def test_the_last_owner_cannot_leave(owner, people, acme):
    page = owner.get(LEAVE).text
    assert "The last Owner cannot leave" in page
    assert '<form class="ca-form"' not in page

    response = owner.post(LEAVE)

    assert response.status_code == 200
    assert "The last Owner cannot leave" in response.text
    assert get_roles(acme)["the-owner"] == "owner"


def test_one_of_two_owners_can_leave(owner, people, acme):
    people["editor"].closient_auth_memberships.get().change_role("owner")

    assert leave(owner).status_code == 302
    assert get_roles(acme) == {"the-editor": "owner", "the-manager": "manager", "the-billing": "billing"}


# Hand over


def get_options(page):
    return re.findall(r'<option value="[^"]+">([^<]*)</option>', page)


def transfer(client, acme, username, role="editor"):
    member = Membership.objects.get(user__username=username)
    return client.post(TRANSFER, {"member": member.pk, "role": role})


def test_members_to_choose(owner, people, acme):
    MembershipFactory.create(organization=acme, user__username="gone", user__is_active=False)
    MembershipFactory.create(
        organization=acme, user__username="mia", user__first_name="Mia", user__last_name="Tanaka", role="owner"
    )

    assert get_options(owner.get(TRANSFER).text) == [
        "the-manager, Manager",
        "the-billing, Billing",
        "the-editor, Editor",
        "Mia Tanaka (mia), Owner",
    ]


@pytest.mark.parametrize("role", ["manager", "billing", "editor"])
def test_transfer(owner, people, acme, role):
    people["billing"].first_name = "Mia"
    people["billing"].save()
    response = transfer(owner, acme, "the-billing", role)

    assert response["Location"] == "/settings/o/acme/settings/"
    assert get_roles(acme) == {
        "the-owner": role,
        "the-manager": "manager",
        "the-billing": "owner",
        "the-editor": "editor",
    }
    page = owner.get(response["Location"]).text
    assert f"Mia is an Owner now, and your role is {role.capitalize()}." in page
    assert "These keys" not in page
    assert [entry.actor for entry in AuditEntry.objects.filter(event="member_changed")] == ["the-owner", "the-owner"]


def test_keys_of_the_former_owner_are_named(owner, people, acme):
    key, _ = make_key("csb", organization=acme, name="Warehouse", by=people["owner"])
    response = transfer(owner, acme, "the-manager")

    text = f"These keys that you created go on working: csb_{key.hint}… Warehouse."
    assert text in owner.get(response["Location"]).text


@pytest.mark.parametrize("case", ["inactive", "foreign", "own", "none", "unknown", "odd"])
def test_members_who_cannot_be_chosen(owner, people, acme, neighbour, case):
    people["manager"].is_active = False
    people["manager"].save()
    pks = {
        "inactive": people["manager"].closient_auth_memberships.get().pk,
        "foreign": neighbour.pk,
        "own": people["owner"].closient_auth_memberships.get().pk,
        "none": "",
        "unknown": "5b0f5d9e-6a4f-4b8e-8a41-1d43b3a0e8a1",
        "odd": "x",
    }
    before = get_roles(acme)
    response = owner.post(TRANSFER, {"member": pks[case], "role": "editor"})

    assert response.status_code == 200
    assert re.search(
        r'id="id_member_error"><li>(Select a valid choice|This field is required|“x” is not)', response.text
    )
    assert get_roles(acme) == before


@pytest.mark.parametrize("role", ["owner", "emperor", ""])
def test_roles_that_cannot_be_chosen(owner, people, acme, role):
    response = transfer(owner, acme, "the-manager", role)

    assert response.status_code == 200
    assert "Select a valid choice" in response.text or "This field is required" in response.text
    assert get_roles(acme)["the-owner"] == "owner"


def test_a_member_who_leaves_meanwhile(owner, people, acme, monkeypatch):
    """The form was right, and the model is asked last."""
    find = Organization.transfer_ownership

    def transfer_ownership(self, to, **kwargs):
        Membership.objects.get(user=to).remove()
        return find(self, to, **kwargs)

    monkeypatch.setattr(Organization, "transfer_ownership", transfer_ownership)
    response = transfer(owner, acme, "the-manager")

    assert "Choose another active member of the organization." in response.text
    assert get_roles(acme)["the-owner"] == "owner"


def test_nobody_to_hand_over_to(owner, people, acme):
    acme.memberships.exclude(user=people["owner"]).delete()
    page = owner.get(TRANSFER).text

    assert "There is no other active member" in page
    assert '<form class="ca-form"' not in page


# Delete


def test_delete(owner, people, acme):
    response = owner.post(DELETE, {"name": "acme"})

    assert response["Location"] == "/settings/"
    assert "Acme Foods is deleted." in owner.get("/settings/").text
    assert not Organization.objects.filter(pk=acme.pk).exists()
    entry = AuditEntry.objects.get(event="organization_deleted")
    assert (entry.actor, entry.address) == ("the-owner", "127.0.0.1")
    assert owner.get(DELETE).status_code == 404


def test_consequences_of_deleting(owner, people, acme):
    page = owner.get(DELETE).text
    assert "4 members lose access." in page
    assert "active API key" not in page
    assert "user key" not in page
    assert "invitation" not in page.partition("<main")[2]

    make_key("csb", organization=acme)
    make_key("cpk", organization=acme)[0].revoke()
    make_key("csu", user=people["editor"], restricted_to=acme)
    make_key("csu", user=people["editor"])
    make_invitation(acme, "a@example.com", by=people["owner"])
    make_invitation(acme, "b@example.com", by=people["owner"])[0].withdraw()
    page = owner.get(DELETE).text
    assert "1 active API key stops working at once." in page
    assert "1 user key that works only here is deleted." in page
    assert "1 pending invitation ends." in page


@pytest.mark.parametrize("name", ["", "Acme Foods", "ACME", "neighbour", "acme2", "a" * 300])
def test_the_slug_confirms(owner, acme, name):
    response = owner.post(DELETE, {"name": name})

    assert response.status_code == 200
    assert re.search(
        r'id="id_name_error"><li>(This field is required\.|This is not “acme”\.|Ensure this value)', response.text
    )
    assert Organization.objects.filter(pk=acme.pk).exists()


def test_rows_of_the_project_in_the_way(owner, acme, people):
    Team.objects.create(name="Secret team", code="a", organization=acme)
    response = owner.post(DELETE, {"name": "acme"})

    assert response.status_code == 200
    assert "This cannot be deleted because other data refers to it." in response.text
    assert "<li>teams: 1</li>" in response.text
    assert "Secret team" not in response.text
    assert len(get_roles(acme)) == 4


def test_restricted_rows_in_the_way(owner, acme, people, monkeypatch):
    def delete(self, **kwargs):
        raise RestrictedError("No.", set(acme.memberships.all()))

    monkeypatch.setattr(Organization, "delete", delete)

    assert "<li>memberships: 4</li>" in owner.post(DELETE, {"name": "acme"}).text


# The password


@pytest.fixture
def confirmed(settings, people):
    """Let people confirm with their password."""
    settings.CLOSIENT_AUTH = {"DASHBOARD_CONFIRM_PASSWORD": True}
    people["owner"].set_password("correct horse")
    people["owner"].save()


@pytest.fixture
def signed_in(confirmed, sign_in, people):
    return sign_in(people["owner"])


def test_password(signed_in, acme):
    assert 'type="password"' in signed_in.get(DELETE).text
    for password, error in {"": "This field is required.", "wrong": "This is not your password."}.items():
        response = signed_in.post(DELETE, {"name": "acme", "password": password})
        assert response.status_code == 200
        assert f'id="id_password_error"><li>{error}' in response.text
        assert "wrong" not in response.text
    assert Organization.objects.filter(pk=acme.pk).exists()

    assert signed_in.post(DELETE, {"name": "acme", "password": "correct horse"}).status_code == 302
    assert not Organization.objects.filter(pk=acme.pk).exists()


def test_the_right_password_does_not_replace_the_slug(signed_in, acme):
    response = signed_in.post(DELETE, {"name": "acne", "password": "correct horse"})

    assert "This is not “acme”." in response.text
    assert "correct horse" not in response.text
    assert Organization.objects.filter(pk=acme.pk).exists()


def test_an_account_without_a_password(confirmed, people, sign_in, acme):
    people["owner"].set_unusable_password()
    people["owner"].save()
    client = sign_in(people["owner"])

    assert 'type="password"' not in client.get(DELETE).text
    assert client.post(DELETE, {"name": "acme"}).status_code == 302


def test_no_password_by_default(owner, people, acme):
    people["owner"].set_password("correct horse")

    assert 'type="password"' not in owner.get(DELETE).text


def test_nobody_can_guess_the_password(clock, signed_in, acme):
    """After five attempts in a minute, the right password is not accepted either."""
    for _ in range(5):
        assert "This is not your password." in signed_in.post(DELETE, {"name": "acme", "password": "wrong"}).text
    response = signed_in.post(DELETE, {"name": "acme", "password": "correct horse"})
    assert re.search(r"Too many attempts\. Try again in \d+ seconds?\.", response.text)
    assert Organization.objects.filter(pk=acme.pk).exists()

    clock.shift(60)
    assert signed_in.post(DELETE, {"name": "acme", "password": "correct horse"}).status_code == 302


def test_attempts_that_cannot_be_counted_are_refused(signed_in, acme, settings, monkeypatch):
    counted = []

    def count(name, windows):
        counted.append(name.partition(":")[0])
        raise Refused("limits_unavailable", wait=1)

    monkeypatch.setattr("closient_auth.dashboard.frame.count", count)
    response = signed_in.post(DELETE, {"name": "acme", "password": "correct horse"})

    assert (response.status_code, counted) == (200, ["password"])
    assert Organization.objects.filter(pk=acme.pk).exists()


def test_error_reports_do_not_show_the_password(signed_in, acme, monkeypatch):
    reports = []

    def fail(self, **kwargs):
        raise RuntimeError("The deletion fails.")

    def report(request, **kwargs):
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_text(), reporter.get_traceback_html()])

    monkeypatch.setattr(Organization, "delete", fail)
    signed_in.raise_request_exception = False
    got_request_exception.connect(report)
    try:
        response = signed_in.post(DELETE, {"name": "acme", "password": "correct horse"})
    finally:
        got_request_exception.disconnect(report)

    assert response.status_code == 500
    assert len(reports) == 2
    for text in reports:
        assert "The deletion fails." in text
        assert "correct horse" not in text
