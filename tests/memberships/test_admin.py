"""The admin pages of organizations in a project with members of its own."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import path, reverse
from django.utils.html import strip_tags

from closient_auth.admin import OrganizationAdmin
from closient_auth.models import ApiKey, AuditEntry, Membership, Organization
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key
from tests.memberships.models import Company, Employee, Team
from tests.memberships.people import employ, join, make_company, make_team

pytestmark = pytest.mark.django_db


def page(name, *args):
    return reverse(f"admin:closient_auth_organization_{name}", args=args)


@pytest.fixture
def root():
    client = Client()
    client.force_login(UserFactory.create(username="root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def staff():
    """Return the client of a staff user with all permissions of this app."""
    user = UserFactory.create(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="closient_auth"))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture(params=["root", "staff"])
def client(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def organization(teams):
    """Return the organization of a team with a lead, and with an Owner from earlier."""
    team = make_team("Acme")
    join(team, "lead", username="ursula")
    MembershipFactory.create(organization=team.organization, role="owner", user__username="oliver")
    make_key(organization=team.organization)
    return team.organization


@pytest.fixture
def neighbour(teams):
    return make_team("Globex").organization


def get_rows():
    return [list(model.objects.order_by("pk").values()) for model in (Organization, Membership, ApiKey)]


def test_list(client, organization, neighbour):
    response = client.get(page("changelist"))

    assert response.status_code == HTTPStatus.OK
    listed = response.context["cl"]
    assert [name for name in listed.list_display if name != "action_checkbox"] == [
        "name",
        "slug",
        "created_at",
        "api_keys",
        "suspended_at",
    ]
    assert [(row.name, row.api_key_count) for row in listed.result_list] == [("Acme", 1), ("Globex", 0)]
    content = response.content.decode()
    assert "column-members" not in content
    assert page("add") not in content
    assert "delete_selected" not in content


def test_list_by_default(client, settings, organization):
    settings.CLOSIENT_AUTH = {}
    content = client.get(page("changelist")).content.decode()

    assert all(text in content for text in ("column-members", page("add"), "delete_selected"))


def test_change_page(client, organization):
    response = client.get(page("change", organization.pk))

    assert response.status_code == HTTPStatus.OK
    assert response.context["inline_admin_formsets"] == []
    form = response.context["adminform"]
    assert list(form.form.fields) == ["user_keys_allowed"]
    assert form.prepopulated_fields == []
    content = response.content.decode()
    assert "oliver" not in content
    assert "ursula" not in content
    assert page("delete", organization.pk) not in content
    assert page("suspend", organization.pk) in content
    for name in ("Acme", "acme"):
        assert f'<div class="readonly">{name}</div>' in content


def test_change_page_by_default(client, settings, organization):
    settings.CLOSIENT_AUTH = {}
    response = client.get(page("change", organization.pk))

    assert list(response.context["adminform"].form.fields) == ["name", "slug", "user_keys_allowed"]
    content = response.content.decode()
    assert "oliver" in content
    assert page("delete", organization.pk) in content


def test_post_changes_no_name_and_no_member(client, organization, neighbour):
    owner = organization.memberships.get()
    before = get_rows()
    data = {
        "name": "New",
        "slug": "new-co",
        "initial-user_keys_allowed": "True",
        "user_keys_allowed": "on",
        "memberships-TOTAL_FORMS": 2,
        "memberships-INITIAL_FORMS": 1,
        "memberships-0-id": owner.pk,
        "memberships-0-organization": organization.pk,
        "memberships-0-role": "editor",
        "memberships-0-DELETE": "on",
        "memberships-1-user": UserFactory.create().pk,
        "memberships-1-role": "owner",
    }

    response = client.post(page("change", organization.pk), data)

    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, page("changelist"))
    assert get_rows() == before
    # The rest of the form works.
    del data["user_keys_allowed"]
    assert client.post(page("change", organization.pk), data).status_code == HTTPStatus.FOUND
    organization.refresh_from_db()
    neighbour.refresh_from_db()
    assert (organization.name, organization.slug, organization.user_keys_allowed) == ("Acme", "acme", False)
    assert neighbour.user_keys_allowed
    assert get_rows()[1:] == before[1:]
    entry = AuditEntry.objects.get(event="organization_changed")
    assert (entry.target_id, entry.new_values) == (organization.pk, {"user_keys_allowed": False})


@pytest.fixture
def new_organization():
    return {
        "name": "New",
        "slug": "new-co",
        "memberships-TOTAL_FORMS": 1,
        "memberships-INITIAL_FORMS": 0,
        "memberships-0-user": UserFactory.create().pk,
        "memberships-0-role": "owner",
    }


def test_no_organization_is_added(client, settings, organization, new_organization):
    before = get_rows()

    assert client.get(page("add")).status_code == HTTPStatus.FORBIDDEN
    assert client.post(page("add"), new_organization).status_code == HTTPStatus.FORBIDDEN
    assert get_rows() == before
    # Nothing else refuses it.
    settings.CLOSIENT_AUTH = {}
    assert client.post(page("add"), new_organization).status_code == HTTPStatus.FOUND
    assert Organization.objects.filter(slug="new-co").exists()


def test_no_organization_is_deleted(client, settings, organization, neighbour):
    # A team of the project would hold its organization by itself.
    loose = OrganizationFactory.create()
    action = {"action": "delete_selected", "_selected_action": [str(loose.pk)], "post": "yes"}
    before = get_rows()

    assert client.get(page("delete", loose.pk)).status_code == HTTPStatus.FORBIDDEN
    assert client.post(page("delete", loose.pk), {"post": "yes"}).status_code == HTTPStatus.FORBIDDEN
    # The list is shown again.
    assert client.post(page("changelist"), action).status_code == HTTPStatus.OK
    assert get_rows() == before
    settings.CLOSIENT_AUTH = {}
    assert client.post(page("changelist"), action).status_code == HTTPStatus.FOUND
    assert set(Organization.objects.all()) == {organization, neighbour}


@pytest.mark.parametrize("name", ["suspend", "lift_suspension"])
def test_suspension_page_of_a_team_says_nothing_of_members(client, organization, name):
    """This project cannot list the members."""
    content = client.get(page(name, organization.pk)).content.decode()

    assert "<li>1 active API key of the organization</li>" in content
    assert "<li>0" not in content
    assert "of its members" not in content
    assert content.count("<li>1") == 1


def test_suspension_page_of_a_company_counts_members(companies, client):
    company, organization = make_company("Acme")
    ada = employ(company)
    # A second row of the join, an invitation, and a row that means nothing.
    Employee.objects.create(company=company, user=ada, joined_at=Employee.objects.get().joined_at)
    Employee.objects.create(company=company, user=UserFactory.create())
    MembershipFactory.create(organization=organization, role="owner")
    employ(company)
    employ(make_company("Globex")[0])
    make_key("csu", user=ada)
    make_key("csu", user=Membership.objects.get().user)

    content = client.get(page("suspend", organization.pk)).content.decode()

    assert "<li>2 members</li>" in content
    assert "<li>0 active API keys of the organization</li>" in content
    assert "<li>1 active user key of its members, in this organization only</li>" in content


def test_suspension(client, organization, neighbour):
    assert client.post(page("suspend", organization.pk)).status_code == HTTPStatus.FOUND
    organization.refresh_from_db()
    neighbour.refresh_from_db()
    assert organization.suspended_at is not None
    assert neighbour.suspended_at is None
    assert client.post(page("lift_suspension", organization.pk)).status_code == HTTPStatus.FOUND
    organization.refresh_from_db()
    assert organization.suspended_at is None
    assert LogEntry.objects.filter(object_id=str(organization.pk)).count() == 2


def test_user_who_was_the_last_owner_may_go(root, organization):
    """The last-owner rule rests."""
    owner = Membership.objects.get().user
    address = reverse(f"admin:{owner._meta.app_label}_{owner._meta.model_name}_delete", args=[owner.pk])

    assert root.post(address, {"post": "yes"}).status_code == HTTPStatus.FOUND
    assert not Membership.objects.exists()
    assert Organization.objects.get() == organization


def test_invitations_are_hidden(client, settings, organization):
    """A row from earlier means nothing in this project."""
    invitation, _ = make_invitation(organization, "new@example.com", by=UserFactory.create())
    pages = [reverse("admin:closient_auth_invitation_changelist")]
    pages += [
        reverse(f"admin:closient_auth_invitation_{name}", args=[invitation.pk])
        for name in ("change", "withdraw", "resend", "delete")
    ]

    assert {client.get(address).status_code for address in pages} == {HTTPStatus.FORBIDDEN}
    assert {client.post(address, {"post": "yes"}).status_code for address in pages} == {HTTPStatus.FORBIDDEN}
    assert pages[0] not in client.get(reverse("admin:index")).content.decode()
    assert pages[0] not in client.get(page("change", organization.pk)).content.decode()
    invitation.refresh_from_db()
    assert invitation.state == "pending"
    settings.CLOSIENT_AUTH = {}
    assert {client.get(address).status_code for address in pages[:-1]} == {HTTPStatus.OK}
    assert pages[0] in client.get(reverse("admin:index")).content.decode()


def get_page(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def test_organization_leads_to_its_team(root, staff, mount, organization, neighbour):
    """The page of the team is the project's own."""
    site = admin.AdminSite()
    site.register(Organization, OrganizationAdmin)
    mount(path("admin/", site.urls))
    team = Team.objects.get(organization=organization)
    address = page("change", organization.pk)
    assert "Team</a>" not in root.get(address).content.decode()
    site.register(Team)
    mount(path("admin/", site.urls))
    link = f'<a href="{get_page(team)}">Team</a>'

    assert link in root.get(address).content.decode()
    # This user has no permission for the project's models.
    assert "Team</a>" not in staff.get(address).content.decode()
    Team.objects.filter(pk=team.pk).update(organization=None)
    assert "Team</a>" not in root.get(address).content.decode()


def test_organization_leads_to_its_company(companies, root, mount):
    """The company has the primary key of the organization."""
    company, organization = make_company("Acme")
    make_company("Globex")
    site = admin.AdminSite()
    site.register([Organization], OrganizationAdmin)
    site.register(Company)
    mount(path("admin/", site.urls))

    content = root.get(page("change", organization.pk)).content.decode()

    assert f'<a href="{get_page(company)}">Company</a>' in content


@pytest.mark.parametrize("holder", ["organization", "user"])
def test_form_of_a_key_knows_no_roles(root, organization, holder):
    api_key, _ = make_key("csu") if holder == "user" else make_key(organization=organization)
    pages = [
        reverse("admin:closient_auth_apikey_add") + f"?holder={holder}",
        reverse("admin:closient_auth_apikey_change", args=[api_key.pk]),
        page("change", organization.pk),
        page("suspend", organization.pk),
    ]

    for address in pages:
        content = root.get(address).content.decode()
        text = strip_tags(content.partition('id="content"')[2])
        assert not re.search(r"\brole\b", text, re.IGNORECASE)
