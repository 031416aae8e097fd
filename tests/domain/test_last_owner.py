"""The last-owner rule, for every way to remove or demote an Owner."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import ProtectedError

from closient_auth.models import ApiKey, AuditEntry, LastOwnerError, Membership, Organization
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

User = get_user_model()

pytestmark = pytest.mark.usefixtures("neighbour")


def save(membership, **kwargs):
    membership.role = "editor"
    membership.save(**kwargs)


def move(membership):
    membership.organization = OrganizationFactory.create()
    membership.save()


def moved(way):
    """Assign an organization with another Owner in memory; the rule must use the stored organization."""

    def lose(membership):
        elsewhere = MembershipFactory.create(role="owner").organization
        membership.organization = elsewhere
        way(membership)
        assert not AuditEntry.objects.filter(
            organization_id=elsewhere.pk, event__in=["member_changed", "member_removed"]
        )

    return lose


def hand_over_to_inactive_user(membership):
    membership.user = UserFactory.create(is_active=False)
    membership.save()


def delete_atomically(queryset):
    # The savepoint keeps the transaction of the test usable after the error.
    with transaction.atomic():
        queryset.delete()


WAYS = {
    "save": save,
    "save the column": lambda membership: save(membership, update_fields=["role"]),
    "update or create": lambda membership: Membership.objects.update_or_create(
        pk=membership.pk, defaults={"role": "editor"}
    ),
    "move": move,
    "hand over to an inactive user": hand_over_to_inactive_user,
    "change role": lambda membership: membership.change_role("manager"),
    "demote oneself": lambda membership: membership.change_role("manager", by=membership.user),
    "remove": lambda membership: membership.remove(),
    "leave": lambda membership: membership.remove(by=membership.user),
    "delete": lambda membership: membership.delete(),
    "moved in memory, change role": moved(lambda membership: membership.change_role("manager")),
    "moved in memory, remove": moved(lambda membership: membership.remove()),
    "moved in memory, delete": moved(lambda membership: membership.delete()),
    "delete a queryset": lambda membership: delete_atomically(Membership.objects.filter(pk=membership.pk)),
    "delete the user": lambda membership: membership.user.delete(),
    "delete a queryset of users": lambda membership: User.objects.filter(pk=membership.user_id).delete(),
}


@pytest.fixture(params=WAYS)
def lose(request):
    return WAYS[request.param]


def test_last_owner_stays(lose, join, roles):
    owner = join("owner")
    join("manager")
    before = roles()

    # Deleting a user raises Django's ProtectedError; LastOwnerError is a subclass of it.
    with pytest.raises(ProtectedError, match="must keep at least one active Owner|'Membership.user'"):
        lose(owner)

    assert roles() == before


def test_inactive_owner_does_not_count(lose, join, roles):
    owner = join("owner")
    join("owner", user__is_active=False)
    before = roles()

    with pytest.raises(ProtectedError):
        lose(owner)

    assert roles() == before


def test_owner_of_another_organization_does_not_count(lose, join, roles):
    owner = join("owner")
    elsewhere = MembershipFactory.create(user=owner.user, role="owner")
    MembershipFactory.create(organization=elsewhere.organization, role="owner")
    before, before_elsewhere = roles(), roles(elsewhere.organization)

    with pytest.raises(ProtectedError):
        lose(owner)

    assert roles() == before
    assert roles(elsewhere.organization) == before_elsewhere


@pytest.mark.parametrize("is_active", [True, False])
def test_one_of_two_owners_may_go(lose, join, roles, organization, is_active):
    owner, other = join("owner", user__is_active=is_active), join("owner")
    username = owner.user.get_username()

    lose(owner)

    assert roles().get(username) != "owner"
    assert roles()[other.user.get_username()] == "owner"


def test_organization_that_lost_its_owners_behind_our_back_can_be_changed(lose, join, organization):
    membership = join("owner", user__is_active=False)

    lose(membership)

    assert not organization.memberships.filter(role="owner", user__is_active=True).exists()


def test_error_is_one_that_hosts_expect_of_a_protected_row(join):
    owner = join("owner")

    with pytest.raises(ProtectedError) as caught:
        owner.user.delete()

    assert caught.value.protected_objects == {owner}


def test_refused_change_leaves_the_object_as_it_was(join, roles):
    owner = join("owner")
    pk = owner.pk

    for refused in (lambda: owner.change_role("editor"), owner.remove, owner.delete):
        with pytest.raises(LastOwnerError) as caught:
            refused()
        assert (owner.pk, owner.role) == (pk, "owner")
        assert str(caught.value) == "An organization must keep at least one active Owner."


@pytest.mark.parametrize("delete", ["memberships", "users"])
def test_owners_who_go_together_are_the_last(join, roles, organization, delete):
    for role in ("owner", "owner", "editor"):
        join(role)
    before = roles()
    memberships = Membership.objects.filter(organization=organization, role="owner")
    going = memberships if delete == "memberships" else User.objects.filter(closient_auth_memberships__in=memberships)

    with pytest.raises(ProtectedError), transaction.atomic():
        going.delete()

    assert roles() == before


def test_more_users_than_one_statement_takes(join, roles, organization, monkeypatch):
    # Django deletes rows in batches: each batch alone leaves an Owner, but all batches together do not.
    monkeypatch.setattr("django.db.models.deletion.Collector.get_del_batches", lambda self, objs, fields: zip(objs))
    join("owner"), join("owner")
    before = roles()

    with pytest.raises(LastOwnerError), transaction.atomic():
        User.objects.filter(closient_auth_memberships__organization=organization).delete()

    assert roles() == before


def test_user_leaves_all_organizations_or_none(join, roles, neighbour):
    member = join("owner")
    join("owner")
    last = MembershipFactory.create(user=member.user, role="owner")
    api_key, _ = make_key("csu", user=member.user)
    before = roles()

    with pytest.raises(ProtectedError) as caught:
        member.user.delete()

    assert caught.value.protected_objects == {last}
    assert roles() == before
    assert ApiKey.objects.filter(pk=api_key.pk).exists()

    last.organization.delete()
    username = member.user.get_username()
    member.user.delete()
    assert username not in roles()


def delete_organization(organization):
    organization.delete()


def delete_organization_queryset(organization):
    Organization.objects.filter(pk=organization.pk).delete()


@pytest.mark.parametrize("delete", [delete_organization, delete_organization_queryset])
def test_organization_goes_with_everything(join, organization, delete):
    owner = join("owner")
    join("editor")
    gone, _ = make_key("csb", organization=organization, created_by=owner.user)
    kept, _ = make_key("csu", user=owner.user)

    delete(organization)

    assert not Membership.objects.filter(organization=organization.pk).exists()
    assert not ApiKey.objects.filter(pk=gone.pk).exists()
    assert ApiKey.objects.filter(pk=kept.pk).exists()
    assert User.objects.filter(pk=owner.user_id).exists()


def test_a_new_membership_cannot_be_passed_off_as_an_old_one(join, roles):
    owner = join("owner")
    before = roles()

    for kwargs in ({"update_fields": ["role"]}, {"force_update": True}):
        forged = Membership(pk=owner.pk, organization=owner.organization, user=owner.user, role="editor")
        with pytest.raises(ValueError, match="Cannot force both insert and updating"):
            forged.save(**kwargs)

    assert roles() == before


def test_membership_that_has_gone_does_not_come_back(join, roles):
    join("owner")
    member = join("editor")
    stale = Membership.objects.get(pk=member.pk)
    member.remove()

    for change in (stale.save, stale.remove, lambda: stale.change_role("manager")):
        with pytest.raises(Membership.DoesNotExist):
            change()

    assert list(roles().values()) == ["owner"]


def test_update_of_a_queryset_is_not_prevented(join, roles):
    owner = join("owner")

    Membership.objects.filter(pk=owner.pk).update(role="editor")

    assert list(roles().values()) == ["editor"]
