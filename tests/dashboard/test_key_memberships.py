"""The pages about keys in a project with teams and members of its own."""

from __future__ import annotations

import pytest

from closient_auth.models import ApiKey, Organization
from tests.dashboard.pages import create, get_fields
from tests.factories import make_key
from tests.memberships.conftest import connect, teams
from tests.memberships.people import join, make_team

__all__ = ["connect", "teams"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(teams):
    return make_team("Acme")


@pytest.fixture
def keys(team):
    return f"/settings/o/{Organization.objects.get(team=team).pk}/keys/"


@pytest.fixture
def lead(team, sign_in):
    return sign_in(join(team, "lead"))


def test_a_lead_creates_a_key_with_at_most_a_leads_permissions(lead, keys, team):
    text = lead.get(f"{keys}new/").text
    assert "Everything that you may do" in text
    assert "Contribute content" in text
    assert "orders.refund" not in text
    response = create(lead, f"{keys}new/")
    assert response.status_code == 200
    api_key = ApiKey.objects.get()

    assert "organization.manage_api_keys" in api_key.permissions
    assert "orders.refund" not in api_key.permissions
    assert lead.get(keys).status_code == 200
    assert lead.post(f"{keys}{api_key.pk}/", get_fields(lead.get(f"{keys}{api_key.pk}/"))).status_code == 302
    assert lead.post(f"{keys}{api_key.pk}/revoke/").status_code == 302


def test_the_projects_own_permissions_have_their_name(team, sign_in, keys):
    client = sign_in(join(team, "lead", "clerk"))

    create(client, f"{keys}new/", access="only", permissions=["orders.refund"])
    assert ApiKey.objects.get().permissions == ["orders.refund"]


def test_a_clerk_manages_no_keys(team, sign_in, keys):
    api_key, _ = make_key(organization=Organization.objects.get())
    client = sign_in(join(team, "clerk"))
    for page in ("", "new/", "leaked/", f"{api_key.pk}/"):
        assert client.get(f"{keys}{page}").status_code == 403
    assert client.post(f"{keys}{api_key.pk}/revoke/").status_code == 403
    api_key.refresh_from_db()
    assert api_key.is_active


def test_a_member_of_another_team_finds_nothing(team, sign_in, keys):
    client = sign_in(join(make_team("Beta"), "lead"))

    assert client.get(keys).status_code == 404


def test_the_members_cannot_be_listed(lead, keys):
    page = keys.replace("/keys/", "/user-keys/")
    make_key("csu", user=join(Organization.objects.get().team, "lead"))

    text = lead.get(page).text
    assert "The members of this site cannot be listed here." in text
    assert lead.post(page, {"access": "refuse"}).status_code == 302
    assert not Organization.objects.get().user_keys_allowed


def test_user_keys_of_a_project_that_lists_its_members(lead, keys, settings, team):
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": "tests.memberships.adapters.ListedTeams"}
    api_key, _ = make_key("csu", user=join(team, "clerk", username="cleo"))
    page = keys.replace("/keys/", "/user-keys/")

    assert "cleo" in lead.get(page).text
    assert lead.post(f"{page}{api_key.pk}/", {"access": "refuse"}).status_code == 302
    api_key.refresh_from_db()
    assert api_key.shut_out_of == [str(Organization.objects.get().pk)]


def test_ones_own_keys_name_what_they_can_do(team, sign_in):
    client = sign_in(join(team, "clerk"))
    create(client, "/settings/keys/new/")
    text = client.get(f"/settings/keys/{ApiKey.objects.get().pk}/").text

    assert "View the organization, orders.refund" in text
