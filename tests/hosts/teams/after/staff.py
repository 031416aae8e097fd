"""The admin leaves teams to the project."""

import pytest
from django.test import Client

from after.world import snapshot
from closient_auth.models import ApiKey, Organization
from teams.models import Team, TeamMember, TeamRole


@pytest.fixture
def client(world):
    client = Client()
    client.force_login(world.users["root"])
    return client


def test_organizations_are_not_added(client):
    assert client.get("/admin/closient_auth/organization/add/").status_code == 403
    assert client.post("/admin/closient_auth/organization/add/", {"name": "New"}).status_code == 403
    assert Organization.objects.count() == 2


def test_organizations_are_not_deleted(client, world):
    before = snapshot()
    address = f"/admin/closient_auth/organization/{world.north.organization_id}"

    assert client.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [str(world.north.organization_id)], "post": "yes"}
    client.post("/admin/closient_auth/organization/", data)

    assert snapshot() == before


def test_organizations_are_not_renamed(client, world):
    address = f"/admin/closient_auth/organization/{world.north.organization_id}/change/"
    page = client.get(address)
    assert page.status_code == 200
    fields = page.context["adminform"].form.fields
    assert not {"name", "slug"} & set(fields)

    client.post(address, {"name": "Other", "slug": "other"})

    organization = Organization.objects.get(pk=world.north.organization_id)
    assert (organization.name, organization.slug) == (world.north.organization.name, world.north.organization.slug)


def test_key_is_added_for_a_team(client, world):
    limits = {"rate_limit_per_minute": 0, "rate_limit_per_day": 0}
    data = {"prefix": "csb", "organization": str(world.north.organization_id), "name": "from staff", **limits}

    client.post("/admin/closient_auth/apikey/add/", data)

    assert ApiKey.objects.get(name="from staff").organization_id == world.north.organization_id


def test_the_projects_admin_works_as_before(client, world):
    member = TeamMember.objects.get(user=world.users["ada"])
    role = TeamRole.objects.get(member=member)
    data = {"team": world.north.pk, "user": member.user_id, "joined_at_0": "2026-01-01", "joined_at_1": "12:00:00"}
    inline = {"roles-TOTAL_FORMS": 1, "roles-INITIAL_FORMS": 1, "roles-0-id": role.pk, "roles-0-member": member.pk}

    changed = client.post(f"/admin/teams/teammember/{member.pk}/change/", data | inline | {"roles-0-role": "viewer"})
    deleted = client.post(f"/admin/auth/user/{world.users['ada'].pk}/delete/", {"post": "yes"})

    assert (changed.status_code, deleted.status_code) == (302, 302)
    assert not TeamMember.objects.filter(user__username="ada").exists()


def test_pages_of_the_projects_admin_hide_the_organization(client, world):
    page = client.get(f"/admin/teams/team/{world.north.pk}/change/")

    assert set(page.context["adminform"].form.fields) == {"name", "slug"}
    added = client.post("/admin/teams/team/add/", {"name": "West", "slug": "West.2"})
    assert added.status_code == 302
    assert Team.objects.get(slug="West.2").organization.name == "West"
