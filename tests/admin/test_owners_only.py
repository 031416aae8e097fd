from __future__ import annotations

from http import HTTPStatus

import pytest

from closient_auth.models import Membership
from closient_auth.roles import may_change_role
from tests.admin.members import form_data, formset_errors, join, roles
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory


def owners_only(member):
    return f"Only an Owner can grant, change or remove the Owner role ({member})."


STAFF = ["change_organization", "add_membership", "change_membership", "delete_membership", "view_membership"]


@pytest.mark.parametrize("actor", [None, "manager", "editor", "billing"])
@pytest.mark.parametrize(
    ("member", "role"), [("grace", "manager"), ("grace", None), ("ken", "owner"), (None, "owner"), ("self", "owner")]
)
def test_owners_are_for_owners(make_staff, send, organization, actor, member, role):
    members = {
        "ada": join(organization, "owner", username="ada"),
        "grace": join(organization, "owner", username="grace"),
        "ken": join(organization, "editor", username="ken"),
    }
    staff = UserFactory.create(username="self")
    if actor:
        members["self"] = MembershipFactory.create(organization=organization, user=staff, role=actor)
    elif member == "self":
        member = None
    before = roles(organization)
    joins = [] if member else [(staff if not actor else UserFactory.create(username="new"), role)]

    response = send(make_staff(*STAFF, user=staff), {members[member]: role} if member else {}, joins)

    assert formset_errors(response) == [owners_only(member or joins[0][0])]
    assert roles(organization) == before


ROLES = ["owner", "manager", "billing", "editor"]


@pytest.mark.parametrize("new", [*ROLES, None])
@pytest.mark.parametrize("old", [*ROLES, None])
def test_nobody_raises_themselves(make_staff, send, organization, old, new):
    join(organization, "owner", username="ada")
    own = UserFactory.create(username="self")
    member = old and MembershipFactory.create(organization=organization, user=own, role=old)
    before = roles(organization)
    allowed = old == new or may_change_role(old or "", old, new, own=True)

    response = send(make_staff(*STAFF, user=own), *([{member: new}] if old else [{}, [(own, new)] if new else []]))

    if allowed:
        assert response.status_code == HTTPStatus.FOUND
        assert roles(organization).get("self") == new
    else:
        message = owners_only("self") if new == "owner" else "You cannot raise your own role (self)."
        assert formset_errors(response) == [message]
        assert roles(organization) == before


def test_who_leaves_and_joins_in_one_form_is_raised_too(make_staff, send, organization):
    join(organization, "owner", username="ada")
    own = join(organization, "editor", username="self")

    response = send(make_staff(*STAFF, user=own.user), {own: None}, [(own.user, "manager")])

    assert response.status_code == HTTPStatus.OK
    assert roles(organization) == {"ada": "owner", "self": "editor"}


def test_superuser_may(root, root_user, send, organization):
    join(organization, "owner", username="ada")

    assert send(root, {}, [(root_user, "owner")]).status_code == HTTPStatus.FOUND
    assert roles(organization) == {"ada": "owner", "root": "owner"}


def test_staff_who_are_no_owners_manage_the_others(make_staff, send, organization):
    join(organization, "owner", username="ada")
    ken, linus = join(organization, "editor", username="ken"), join(organization, "billing", username="linus")

    response = send(make_staff(*STAFF), {ken: "manager", linus: None}, [(UserFactory.create(username="new"), "editor")])

    assert response.status_code == HTTPStatus.FOUND
    assert roles(organization) == {"ada": "owner", "ken": "manager", "new": "editor"}


def test_owner_among_the_staff_changes_owners(make_staff, send, organization):
    own, other = join(organization, "owner", username="ada"), join(organization, "owner", username="grace")
    ken = join(organization, "editor", username="ken")

    response = send(make_staff(*STAFF, user=own.user), {own: "manager", other: None, ken: "owner"})

    assert response.status_code == HTTPStatus.FOUND
    assert roles(organization) == {"ada": "manager", "ken": "owner"}


def test_owner_of_another_organization_is_none_here(make_staff, send, organization):
    own = MembershipFactory.create(role="owner")
    owner = join(organization, "owner", username="ada")
    join(organization, "owner", username="grace")

    response = send(make_staff(*STAFF, user=own.user), {owner: "editor"})

    assert formset_errors(response) == [owners_only("ada")]


def test_user_and_organization_of_a_member_are_fixed(root, root_user, page, send, organization):
    owner = join(organization, "owner", username="ada")
    ken = join(organization, "editor", username="ken")
    other = OrganizationFactory.create()

    data = form_data(organization, {ken: "billing"}, members=[owner, ken])
    forged = {"memberships-1-user": root_user.pk, "memberships-0-user": root_user.pk}
    assert root.post(page("organization_change", organization.pk), {**data, **forged}).status_code == HTTPStatus.FOUND
    assert roles(organization) == {"ada": "owner", "ken": "billing"}

    response = root.post(page("organization_change", organization.pk), {**data, "memberships-1-organization": other.pk})
    (inline,) = response.context["inline_admin_formsets"]
    assert "inline value did not match the parent instance" in str(inline.formset.errors)
    assert not other.memberships.exists()


def test_member_of_another_organization_cannot_be_named(root, page, organization):
    owner = join(organization, "owner", username="ada")
    foreign = MembershipFactory.create(role="owner")
    before = Membership.objects.values().get(pk=foreign.pk)

    data = form_data(organization, {foreign: "editor"}, members=[owner, foreign])
    response = root.post(page("organization_change", organization.pk), data)

    assert response.status_code == HTTPStatus.OK
    assert "Please correct the error" in response.content.decode()
    assert Membership.objects.values().get(pk=foreign.pk) == before
    assert roles(organization) == {"ada": "owner"}
