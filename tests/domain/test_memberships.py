from __future__ import annotations

from itertools import product

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction

from closient_auth.actors import Actor
from closient_auth.models import LastOwnerError, Membership
from closient_auth.models.memberships import MembershipQuerySet
from closient_auth.roles import may_change_role
from tests.factories import MembershipFactory, UserFactory

ROLES = ("owner", "manager", "billing", "editor")

pytestmark = pytest.mark.usefixtures("neighbour")


def refused_by(constraint):
    return pytest.raises(IntegrityError, match=f"(?i){constraint}")


def test_one_membership_for_each_user_and_organization(join, organization):
    member = join("editor")
    again = Membership(organization=organization, user=member.user, role="owner")

    with pytest.raises(ValidationError, match="This user is already a member of the organization"):
        again.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.bulk_create([again])

    MembershipFactory.create(user=member.user)
    assert organization.memberships.get().role == "editor"


@pytest.mark.parametrize("role", ["", "admin", "superuser", "OWNER", "owner ", "ówner"])
def test_unknown_role_is_refused(join, organization, role):
    member = join("editor")

    with pytest.raises(ValidationError, match="is not a valid choice|cannot be blank"):
        Membership(organization=organization, user=UserFactory.create(), role=role).full_clean()
    with pytest.raises(ValueError, match="is not a valid Role"):
        member.change_role(role)
    with refused_by("closient_auth_membership_role_known"), transaction.atomic():
        Membership.objects.bulk_create([Membership(organization=organization, user=UserFactory.create(), role=role)])
    with refused_by("closient_auth_membership_role_known"), transaction.atomic():
        Membership.objects.filter(pk=member.pk).update(role=role)

    assert organization.memberships.get().role == "editor"


@pytest.mark.parametrize("role", ROLES)
def test_text(join, role):
    member = join(role, user__username="ada")

    assert str(member) == f"ada: {role.capitalize()}"


def test_permissions_are_those_of_the_role(join, settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"billing": ["invoices.send"]}}

    permissions = {"organization.view_organization", "organization.manage_billing", "invoices.send"}
    assert join("billing").permissions == permissions


# ``tests/test_roles.py`` tests ``may_change_role`` itself; these tests ensure each operation calls it.


@pytest.mark.parametrize(("actor", "old", "new"), [*product(ROLES, ROLES, ROLES)])
def test_change_of_role_by_another_member(join, roles, actor, old, new):
    join("owner")
    by, member = join(actor), join(old)
    before = roles()
    allowed = may_change_role(actor, old, new, own=False)

    if allowed:
        member.change_role(new, by=by.user)
    else:
        with pytest.raises(PermissionDenied, match="Your role does not allow this"):
            member.change_role(new, by=by.user)

    assert roles() == {**before, member.user.username: new if allowed else old}


@pytest.mark.parametrize(("role", "new"), [*product(ROLES, ROLES)])
def test_change_of_the_own_role(join, roles, role, new):
    join("owner")
    member = join(role)
    allowed = may_change_role(role, role, new, own=True)

    if allowed:
        member.change_role(new, by=member.user)
    else:
        with pytest.raises(PermissionDenied):
            member.change_role(new, by=member.user)

    assert roles()[member.user.username] == (new if allowed else role)


@pytest.mark.parametrize(("actor", "role"), [*product(ROLES, ROLES)])
def test_removal_by_another_member(join, roles, actor, role):
    join("owner")
    by, member = join(actor), join(role)
    allowed = may_change_role(actor, role, None, own=False)

    if allowed:
        member.remove(by=by.user)
    else:
        with pytest.raises(PermissionDenied):
            member.remove(by=by.user)

    assert (member.user.username not in roles()) is allowed


@pytest.mark.parametrize("role", ROLES)
def test_everybody_may_leave(join, roles, role):
    owner, member = join("owner"), join(role)

    member.remove(by=member.user)

    assert roles() == {owner.user.username: "owner"}


@pytest.mark.parametrize("operation", ["change_role", "remove"])
def test_who_is_no_member_here_may_do_nothing(join, roles, neighbour, operation):
    join("owner")
    member = join("editor")
    before = roles()

    for outsider in (neighbour.user, UserFactory.create(), UserFactory.create(is_staff=True)):
        with pytest.raises(PermissionDenied):
            member.remove(by=outsider) if operation == "remove" else member.change_role("billing", by=outsider)

    assert roles() == before


def test_superuser_acts_as_an_owner(join, roles):
    owner, member = join("owner"), join("editor")
    root = Actor(UserFactory.create(is_superuser=True), is_superuser=True)

    member.change_role("owner", by=root)
    owner.remove(by=root)

    assert roles() == {member.user.username: "owner"}
    with pytest.raises(LastOwnerError):
        member.remove(by=root)


def test_trusted_code_needs_no_role(join, roles):
    join("owner")
    member = join("editor")

    member.change_role("owner")
    assert (member.role, roles()[member.user.username]) == ("owner", "owner")

    member.remove()
    assert member.user.username not in roles()


def test_roles_are_read_anew(join, roles):
    """Roles are read from the database, because the caller's instances may be stale."""
    join("owner")
    manager, member = join("manager"), join("editor")
    stale = Membership.objects.get(pk=member.pk)
    member.change_role("owner")

    with pytest.raises(PermissionDenied):
        stale.change_role("billing", by=manager.user)
    with pytest.raises(PermissionDenied):
        stale.remove(by=manager.user)

    manager.change_role("editor")
    manager.role = "owner"
    with pytest.raises(PermissionDenied):
        stale.change_role("billing", by=manager.user)

    assert roles()[member.user.username] == "owner"


@pytest.mark.parametrize("name", ["organization", "user"])
def test_what_was_set_in_memory_gives_no_right(join, roles, neighbour, name):
    join("owner")
    editor, member = join("editor"), join("billing")
    before = roles()
    by = neighbour.user if name == "organization" else editor.user
    for operation in (lambda: member.change_role("editor", by=by), lambda: member.remove(by=by)):
        setattr(member, name, neighbour.organization if name == "organization" else editor.user)
        with pytest.raises(PermissionDenied):
            operation()

    assert roles() == before


def test_change_of_role_saves_the_one_column(join, organization):
    join("owner")
    member = join("editor")
    elsewhere = MembershipFactory.create().user
    Membership.objects.filter(pk=member.pk).update(user=elsewhere)

    member.change_role("billing")

    assert Membership.objects.values_list("user", "role").get(pk=member.pk) == (elsewhere.pk, "billing")


def test_the_manager_cannot_delete_all():
    # Django's managers have no delete() either: only an explicit queryset can delete all rows.
    assert not hasattr(Membership.objects, "delete")
    # Templates cannot call a method with alters_data.
    assert vars(MembershipQuerySet.delete)["alters_data"]
