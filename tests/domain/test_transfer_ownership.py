"""Handing over the ownership of an organization."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from closient_auth.actors import Actor
from closient_auth.models import AuditEntry, Membership
from closient_auth.models.organizations import NotAMemberError
from closient_auth.principals import get_principal
from tests.factories import UserFactory, make_key
from tests.memberships.conftest import use
from tests.memberships.models import Team
from tests.memberships.people import join as join_team

pytestmark = pytest.mark.usefixtures("neighbour")

LOWER = ("manager", "billing", "editor")


@pytest.fixture
def ada(join):
    return join("owner", user__username="ada").user


@pytest.fixture
def mia(join):
    return join("manager", user__username="mia").user


@pytest.mark.parametrize("role", LOWER)
@pytest.mark.parametrize("before", ["owner", *LOWER])
def test_transfer(organization, ada, join, roles, before, role):
    eli = join(before, user__username="eli").user
    join("editor", user__username="bea")

    organization.transfer_ownership(eli, by=ada, role=role)

    assert roles() == {"ada": role, "eli": "owner", "bea": "editor"}


def test_the_former_owner_is_a_manager_by_default(organization, ada, mia, roles):
    organization.transfer_ownership(mia, by=Actor(ada))

    assert roles() == {"ada": "manager", "mia": "owner"}


def test_the_audit_log_has_both_changes(organization, ada, mia):
    AuditEntry.objects.all()._erase()
    organization.transfer_ownership(mia, by=Actor(ada, address="203.0.113.7"))

    entries = AuditEntry.objects.order_by("created_at")
    assert [(entry.event, entry.actor, entry.address, entry.target) for entry in entries] == [
        ("member_changed", "ada", "203.0.113.7", "mia: Owner"),
        ("member_changed", "ada", "203.0.113.7", "ada: Manager"),
    ]


def test_live_keys(organization, ada, mia):
    """They are those of a demotion: keys that the former Owner made, and may have a copy of."""
    key, _ = make_key(organization=organization, by=ada)
    make_key(organization=organization, by=mia)

    assert list(organization.transfer_ownership(mia, by=ada)) == [key]


@pytest.mark.parametrize("role", LOWER)
def test_only_owners(organization, ada, mia, join, roles, role):
    other = join(role, user__username="eli").user
    before = roles()

    with pytest.raises(PermissionDenied, match="Your role does not allow this change to members"):
        organization.transfer_ownership(mia, by=other)

    assert roles() == before


def test_others(organization, ada, mia, roles, neighbour):
    before = roles()
    stranger = UserFactory.create(username="stranger", is_superuser=True)
    for by in (stranger, neighbour.user, Actor(api_key=make_key(organization=organization)[0])):
        with pytest.raises(NotAMemberError):
            organization.transfer_ownership(mia, by=by)
    # Neither a superuser nor staff in the admin has an ownership to hand over.
    for by in (Actor(stranger, is_superuser=True), Actor(mia, is_superuser=True)):
        with pytest.raises(PermissionDenied, match="Only an Owner can hand over the ownership"):
            organization.transfer_ownership(ada, by=by)
    with pytest.raises(PermissionDenied, match="Your role does not allow this change to members"):
        organization.transfer_ownership(ada, by=Actor(mia, is_staff=True))

    assert roles() == before


def test_a_restricted_key_of_an_owner(organization, ada, mia, roles):
    key, _ = make_key("csu", user=ada, permissions=["organization.view_organization", "organization.manage_members"])

    with pytest.raises(PermissionDenied, match="Your role does not allow this change to members"):
        organization.transfer_ownership(mia, by=get_principal(key))

    assert roles() == {"ada": "owner", "mia": "manager"}


def test_to_whom(organization, ada, mia, join, roles, neighbour):
    inactive = join("editor", user__username="gone", user__is_active=False).user
    before = roles()

    for to in (ada, inactive, neighbour.user, UserFactory.create(), UserFactory.build()):
        with pytest.raises(ValidationError, match="Choose another active member of the organization"):
            organization.transfer_ownership(to, by=ada)

    assert roles() == before


@pytest.mark.parametrize("role", ["owner", "emperor", ""])
def test_the_new_role_is_a_lower_one(organization, ada, mia, roles, role):
    with pytest.raises(ValueError, match="should be a lower one|is not a valid Role"):
        organization.transfer_ownership(mia, by=ada, role=role)

    assert roles() == {"ada": "owner", "mia": "manager"}


def test_both_changes_or_none(organization, ada, mia, roles, monkeypatch):
    change_role = Membership.change_role

    def fail(self, role, **kwargs):
        if role != "owner":
            raise RuntimeError("No.")
        return change_role(self, role, **kwargs)

    monkeypatch.setattr(Membership, "change_role", fail)
    with pytest.raises(RuntimeError):
        organization.transfer_ownership(mia, by=ada)

    assert roles() == {"ada": "owner", "mia": "manager"}


def test_a_suspended_organization(organization, ada, mia, roles):
    organization.suspend()

    with pytest.raises(PermissionDenied):
        organization.transfer_ownership(mia, by=ada)

    assert roles() == {"ada": "owner", "mia": "manager"}


def test_a_project_with_members_of_its_own(organization, ada, mia, roles, settings):
    use(settings, "TeamMemberships")
    team = Team.objects.create(name="Acme", code="acme", organization=organization)
    lead = join_team(team, "lead")

    with pytest.raises(PermissionDenied, match="This project has members of its own"):
        organization.transfer_ownership(ada, by=lead)
    with pytest.raises(NotAMemberError):
        organization.transfer_ownership(mia, by=ada)

    assert roles() == {"ada": "owner", "mia": "manager"}
