from __future__ import annotations

import re
from http import HTTPStatus

import pytest
from django.contrib.auth.models import AbstractUser
from django.utils import timezone
from django.utils.formats import date_format

from closient_auth.models import Membership, Organization
from tests.admin.members import OWNER_NEEDED, form_data, formset_errors, join, model_page, roles
from tests.factories import OrganizationFactory, UserFactory, make_key


def test_list_counts_members_and_keys(root, page, organization):
    for role in ("owner", "editor"):
        join(organization, role)
    for prefix in ("csb", "cpk", "cpk"):
        make_key(prefix, organization=organization)
    OrganizationFactory.create(name="Empty")

    result = root.get(page("organization_changelist")).context["cl"].result_list

    assert [(row.name, row.member_count, row.api_key_count) for row in result] == [
        ("Acme Foods", 2, 3),
        ("Empty", 0, 0),
    ]


def test_pages_of_many_rows_take_as_many_queries_as_one(root, page, organization, count_queries):
    join(organization, "owner")
    pages = [page("organization_changelist"), page("organization_change", organization.pk)]
    few = [count_queries(root, address) for address in pages]
    for _ in range(20):
        join(organization, "editor")
        make_key(organization=OrganizationFactory.create())

    assert [count_queries(root, address) for address in pages] == few


def test_search_and_choosing_by_name(root, page, organization):
    OrganizationFactory.create(name="Other", slug="other")
    query = {"app_label": "closient_auth", "model_name": "apikey", "field_name": "organization", "term": "acme-f"}

    found = root.get(page("organization_changelist"), {"q": "Foods"}).context["cl"].result_list

    assert list(found) == [organization]
    assert [row["text"] for row in root.get("/admin/autocomplete/", query).json()["results"]] == ["Acme Foods"]


@pytest.mark.parametrize("permissions", [["view_organization"], ["view_organization", "view_membership"]])
def test_viewing_is_not_changing(page, make_staff, organization, permissions):
    # No hexadecimal name: an id in the page could contain it.
    owner = join(organization, "owner", username="ursula")
    client = make_staff(*permissions)

    shown = client.get(page("organization_change", organization.pk))
    response = client.post(page("organization_change", organization.pk), form_data(organization, {owner: "editor"}))

    assert shown.status_code == HTTPStatus.OK
    assert ("ursula" in shown.content.decode()) == ("view_membership" in permissions)
    assert response.status_code == HTTPStatus.FORBIDDEN
    assert roles(organization) == {"ursula": "owner"}


def test_members_need_a_permission_of_their_own(make_staff, send, organization):
    owner = join(organization, "owner", username="ada")
    editor = join(organization, "editor", username="ken")

    response = send(make_staff("change_organization", "view_membership"), {owner: "editor", editor: None}, name="New")

    assert response.status_code == HTTPStatus.FOUND
    assert roles(organization) == {"ada": "owner", "ken": "editor"}
    assert Organization.objects.get().name == "New"


@pytest.fixture
def new():
    return Organization(name="New", slug="new-co")


@pytest.mark.parametrize("joins", [[], [("editor", True)], [("owner", False)], [("owner", False), ("manager", True)]])
def test_new_organization_needs_an_active_owner(root, page, new, joins):
    users = [(UserFactory.create(is_active=active), role) for role, active in joins]

    response = root.post(page("organization_add"), form_data(new, joins=users, members=[]))

    assert formset_errors(response) == [OWNER_NEEDED]
    assert not Organization.objects.exists()


def test_new_organization_with_its_owner(make_staff, page, new):
    client = make_staff("add_organization", "add_membership")
    joins = [(UserFactory.create(username="ada"), "owner"), (UserFactory.create(username="ken"), "editor")]

    response = client.post(page("organization_add"), form_data(new, joins=joins, members=[]))

    assert response.status_code == HTTPStatus.FOUND
    assert roles(Organization.objects.get(slug="new-co")) == {"ada": "owner", "ken": "editor"}


def test_who_may_not_add_members_cannot_make_an_organization(make_staff, page, new):
    client = make_staff("add_organization", "view_organization")

    assert client.get(page("organization_add")).status_code == HTTPStatus.FORBIDDEN
    response = client.post(page("organization_add"), form_data(new, members=[]))
    assert response.status_code == HTTPStatus.FORBIDDEN
    assert not Organization.objects.exists()


@pytest.mark.parametrize(
    ("slug", "told"),
    [
        ("123e4567-e89b-42d3-a456-426614174000", "A slug should not be a UUID."),
        ("New-Co", "A slug should have only lower-case letters"),
        ("admin", "This slug is reserved."),
    ],
)
def test_slug_must_not_be_mistaken(root, page, new, slug, told):
    new.slug = slug

    response = root.post(page("organization_add"), form_data(new, joins=[(UserFactory.create(), "owner")], members=[]))

    assert response.content.decode().count(told) == 1
    assert not Organization.objects.exists()


@pytest.mark.parametrize("how", ["page", "action"])
def test_organization_goes_with_its_last_owner(root, page, organization, how):
    join(organization, "owner")
    neighbour = join(OrganizationFactory.create(name="Neighbour"), "owner")

    if how == "page":
        root.post(page("organization_delete", organization.pk), {"post": "yes"})
    else:
        data = {"action": "delete_selected", "_selected_action": [str(organization.pk)], "post": "yes"}
        root.post(page("organization_changelist"), data)

    assert Organization.objects.get() == neighbour.organization
    assert Membership.objects.get() == neighbour


def delete_users(client, how, *users):
    if how == "page":
        (user,) = users
        return client.post(model_page(user, "delete", user.pk), {"post": "yes"})
    data = {"action": "delete_selected", "_selected_action": [str(user.pk) for user in users], "post": "yes"}
    return client.post(model_page(users[0], "changelist"), data)


@pytest.mark.parametrize("how", ["page", "action"])
def test_user_who_is_a_last_owner_is_protected(root, organization, how):
    owner = join(organization, "owner", username="ada")
    join(organization, "manager", username="ken")

    response = delete_users(root, how, owner.user)

    assert response.status_code == HTTPStatus.OK
    assert "would require deleting the following protected related objects" in response.content.decode()
    assert "Membership: ada" in response.content.decode()
    assert roles(organization) == {"ada": "owner", "ken": "manager"}


@pytest.mark.parametrize("how", ["page", "action"])
def test_user_who_is_one_owner_of_two_may_go(root, organization, how):
    owner = join(organization, "owner", username="ada")
    join(organization, "owner", username="grace")

    assert delete_users(root, how, owner.user).status_code == HTTPStatus.FOUND
    assert roles(organization) == {"grace": "owner"}


@pytest.mark.django_db(transaction=True)
def test_history_is_only_read(root, page, organization):
    """The history page has no transaction, so it takes no lock."""
    assert root.get(page("organization_history", organization.pk)).status_code == HTTPStatus.OK
    assert root.post(page("organization_history", organization.pk)).status_code == HTTPStatus.OK


def test_both_owners_cannot_go_together(root, organization):
    owners = [join(organization, "owner", username=name) for name in ("ada", "grace")]

    response = delete_users(root, "action", *(owner.user for owner in owners))

    assert "protected related objects" in response.content.decode()
    assert roles(organization) == {"ada": "owner", "grace": "owner"}


def test_somebody_who_joined_since_the_page_was_shown(root, page, organization):
    shown = [join(organization, "owner", username="ada")]
    ben = join(organization, "editor", username="ben").user
    data = form_data(organization, joins=[(ben, "manager")], members=shown)

    response = root.post(page("organization_change", organization.pk), data)

    (inline,) = response.context["inline_admin_formsets"]
    assert inline.formset.errors == [{}, {"user": ["This user is already a member of the organization."]}]
    assert "This user is already a member of the organization." in response.content.decode()
    assert roles(organization) == {"ada": "owner", "ben": "editor"}


def test_members_are_shown_with_their_names_and_addresses(root, page, organization):
    join(organization, "owner", username="ada", first_name="Ada", last_name="<Lindqvist>", email="ada@example.org")

    content = root.get(page("organization_change", organization.pk)).content.decode()

    heads = re.findall(r'<th class="column-(\w+)[^"]*">(\w[\w -]*)', content)
    assert heads == [
        ("user", "User"),
        ("full_name", "Full name"),
        ("email", "E-mail"),
        ("role", "Role"),
        ("joined", "Joined"),
    ]
    assert '<td class="field-full_name">\n              \n                  <p>Ada &lt;Lindqvist&gt;</p>' in content
    assert "<p>ada@example.org</p>" in content
    assert f"<p>{date_format(timezone.localtime(), 'N j, Y')}, " in content
    # The row of a new member has no names yet.
    assert content.count("<p>-</p>") == 3


def test_fields_of_members_have_labels(root, page, organization):
    join(organization, "owner", username="ada")

    content = root.get(page("organization_change", organization.pk)).content.decode()

    for name, label in (("0-role", "Role: ada"), ("0-DELETE", "Delete: ada"), ("__prefix__-user", "User")):
        (tag,) = re.findall(rf'<(?:input|select)[^>]* name="memberships-{name}"[^>]*>', content)
        assert f'aria-label="{label}"' in tag


def test_users_without_names_and_addresses(root, page, organization, monkeypatch):
    join(organization, "owner", username="ada", first_name="Ada", email="ada@example.org")
    monkeypatch.delattr(AbstractUser, "get_full_name")
    monkeypatch.setattr("closient_auth.admin.organizations.get_address_field", lambda: None)

    response = root.get(page("organization_change", organization.pk))

    assert response.status_code == HTTPStatus.OK
    assert "ada@example.org" not in response.content.decode()
    assert "<p>ada</p>" in response.content.decode()


def test_organization_leads_to_its_invitations(root, page, organization, make_staff):
    link = f"{page('invitation_changelist')}?organization={organization.pk}"

    assert (
        f'<a href="{link}">Invitations</a>' in root.get(page("organization_change", organization.pk)).content.decode()
    )
    without = make_staff("view_organization").get(page("organization_change", organization.pk))
    assert link not in without.content.decode()
