"""Concurrent changes always leave an active Owner, and the refused request gets an error."""

from __future__ import annotations

from functools import partial

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, transaction
from django.db.models import ProtectedError

from closient_auth.models import LastOwnerError, Membership, Organization
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def owners():
    """Return a function to create an organization with two Owners and return their memberships."""

    def owners():
        organization = OrganizationFactory.create()
        return [MembershipFactory.create(organization=organization, role="owner") for _ in range(2)]

    return owners


def own(membership):
    """Reload the membership, so threads do not share instances."""
    return Membership.objects.select_related("organization", "user").get(pk=membership.pk)


def demote(membership, by):
    return lambda: own(membership).change_role("editor", by=own(by).user if by else None)


def remove(membership, by):
    return lambda: own(membership).remove(by=own(by).user if by else None)


def leave(membership):
    return remove(membership, membership)


def hand_over(membership, to):
    return lambda: own(membership).organization.transfer_ownership(own(to).user, by=own(membership).user)


RACES = {
    "demote each other": lambda a, b: (demote(a, by=b), demote(b, by=a)),
    "demote themselves": lambda a, b: (demote(a, by=a), demote(b, by=b)),
    "demote and remove": lambda a, b: (demote(a, by=b), remove(b, by=a)),
    "leave and demote": lambda a, b: (leave(a), demote(b, by=a)),
    "leave both": lambda a, b: (leave(a), leave(b)),
    "remove each other": lambda a, b: (remove(a, by=b), remove(b, by=a)),
    "trusted code": lambda a, b: (demote(a, by=None), remove(b, by=None)),
    "delete memberships": lambda a, b: (
        lambda: own(a).delete(),
        lambda: Membership.objects.filter(pk=b.pk).delete(),
    ),
    "delete users": lambda a, b: (lambda: own(a).user.delete(), lambda: own(b).user.delete()),
    "delete a user and demote": lambda a, b: (lambda: own(a).user.delete(), demote(b, by=None)),
}


@pytest.mark.parametrize("name", RACES)
def test_one_owner_stays_and_the_loser_is_told(owners, name):
    neighbour = MembershipFactory.create(role="owner")
    for _ in rounds(33 if name == "delete a user and demote" else 12):
        first, second = owners()

        errors = [error for error in race(*RACES[name](first, second)) if error is not None]

        assert len(errors) == 1, errors
        # The actor lost the role, was the last Owner, or the membership was deleted with the user.
        assert isinstance(errors[0], ProtectedError | PermissionDenied | Membership.DoesNotExist), errors
        assert first.organization.memberships.filter(role="owner", user__is_active=True).count() == 1
    assert own(neighbour).role == "owner"


def test_two_owners_hand_over_to_each_other(owners):
    """The second one sees what the first has done, so one of them stays the Owner."""
    neighbour = MembershipFactory.create(role="owner")
    for _ in rounds(12):
        first, second = owners()

        errors = race(hand_over(first, second), hand_over(second, first))

        assert errors == [None, None]
        assert sorted(first.organization.memberships.values_list("role", flat=True)) == ["manager", "owner"]
    assert own(neighbour).role == "owner"


@pytest.mark.parametrize("name", ["demote", "remove", "leave"])
def test_a_hand_over_meets_another_change(owners, name):
    other = {"demote": demote, "remove": remove, "leave": lambda member, by: leave(member)}[name]
    for _ in rounds(12):
        first, second = owners()
        third = MembershipFactory.create(organization=first.organization, role="editor")

        errors = race(hand_over(first, third), other(third, by=second))

        # The member has left, or lost the role again.
        assert errors[1] is None, errors
        assert errors[0] is None or isinstance(errors[0], ValidationError | Membership.DoesNotExist), errors
        assert own(second).role == "owner"
        assert own(first).role == ("manager" if errors[0] is None else "owner")


@pytest.mark.parametrize(
    "leave_all",
    [
        pytest.param(lambda user: user.delete(), id="user"),
        pytest.param(lambda user: user.closient_auth_memberships.all().delete(), id="memberships"),
    ],
)
def test_people_who_leave_the_same_organizations_do_not_wait_for_each_other(owners, leave_all):
    for _ in rounds(12):
        organizations = [owners()[0].organization for _ in range(2)]
        users = UserFactory.create_batch(2)
        for user in users:
            for organization in organizations:
                MembershipFactory.create(organization=organization, user=user, role="editor")

        assert race(*[partial(leave_all, user) for user in users]) == [None, None]
        assert not Membership.objects.filter(organization__in=organizations, role="editor").exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's serialization")
def test_old_snapshot_is_not_trusted_on_postgresql(owners):
    first, second = owners()

    def demote_in_old_snapshot():
        with transaction.atomic():
            connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            old = own(first)
            # Another transaction commits before this one writes.
            assert race(demote(second, by=None)) == [None]
            old.change_role("editor")

    (error,) = race(demote_in_old_snapshot)

    assert "could not serialize access" in str(error)
    assert first.organization.memberships.get(role="owner").pk == first.pk


@pytest.mark.skipif(connection.vendor != "mysql", reason="InnoDB's consistent reads")
@pytest.mark.parametrize("operation", ["demote", "remove", "delete", "delete the user"])
def test_old_snapshot_is_not_trusted_on_mariadb(owners, operation):
    first, second = owners()

    def lose_in_old_snapshot():
        connection.cursor().execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with transaction.atomic():
            old = own(first)
            assert race(demote(second, by=None)) == [None]
            assert Membership.objects.filter(organization=old.organization, role="owner").count() == 2
            {
                "demote": lambda: old.change_role("editor"),
                "remove": lambda: old.remove(by=old.user),
                "delete": lambda: Membership.objects.filter(pk=old.pk).delete(),
                "delete the user": lambda: old.user.delete(),
            }[operation]()

    (error,) = race(lose_in_old_snapshot)

    assert isinstance(error, LastOwnerError)
    assert first.organization.memberships.get(role="owner").pk == first.pk


def test_deletion_of_an_organization_does_not_deadlock_with_a_change_of_its_members(owners):
    for _ in rounds(92 if connection.vendor == "mysql" else 12):
        first, second = owners()

        errors = race(
            lambda pk=first.organization_id: Organization.objects.get(pk=pk).delete(), demote(first, by=second)
        )

        assert errors[0] is None, errors
        assert errors[1] is None or isinstance(errors[1], Membership.DoesNotExist), errors
        assert not Organization.objects.filter(pk=first.organization_id).exists()


def test_many_operations_never_deadlock_nor_leave_an_organization_ownerless():
    organization = OrganizationFactory.create()
    members = [MembershipFactory.create(organization=organization, role="owner") for _ in range(8)]

    def work(index):
        def work():
            for turn in range(25):
                target = members[(index + turn) % len(members)]
                role = ("editor", "owner", "manager", "owner")[turn % 4]
                try:
                    own(target).change_role(role, by=members[index].user)
                except (LastOwnerError, PermissionDenied):
                    pass

        return work

    assert race(*map(work, range(8))) == [None] * 8
    assert organization.memberships.filter(role="owner").exists()
