from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from closient_auth.models import LastOwnerError, Organization
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.usefixtures("neighbour")


def test_two_owners_can_be_swapped(join, roles, organization):
    owner, editor = join("owner"), join("editor")

    with organization.keep_owner():
        owner.change_role("editor")
        assert set(roles().values()) == {"editor"}
        editor.change_role("owner")

    assert roles() == {owner.user.username: "editor", editor.user.username: "owner"}


@pytest.mark.parametrize(
    "go",
    [
        lambda membership: membership.remove(),
        lambda membership: membership.delete(),
        lambda membership: membership.user.delete(),
    ],
    ids=["remove", "delete", "delete the user"],
)
def test_owner_may_go_before_the_next_one_comes(join, roles, organization, go):
    owner, user = join("owner"), UserFactory.create()

    with organization.keep_owner():
        go(owner)
        assert roles() == {}
        organization.memberships.create(user=user, role="owner")

    assert roles() == {user.username: "owner"}


def test_failed_block_is_undone(join, roles, organization):
    owner, editor = join("owner"), join("editor")
    before = roles()

    def block():
        with organization.keep_owner():
            editor.change_role("billing")
            organization.name = "Renamed"
            organization.save()
            owner.change_role("editor")

    with pytest.raises(LastOwnerError):
        block()

    assert roles() == before
    assert Organization.objects.get(pk=organization.pk).name == "Acme Foods"


def test_error_in_the_block_undoes_it_and_comes_through(join, roles, organization):
    join("owner")
    editor = join("editor")
    before = roles()

    def block():
        with organization.keep_owner():
            editor.change_role("billing")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()

    assert roles() == before


def test_nested_block_is_judged_with_the_outermost(join, roles, organization):
    owner, editor = join("owner"), join("editor")

    with organization.keep_owner():
        with organization.keep_owner():
            owner.change_role("editor")
        editor.change_role("owner")

    assert roles() == {owner.user.username: "editor", editor.user.username: "owner"}

    def block():
        with organization.keep_owner():
            with organization.keep_owner():
                editor.change_role("editor")
            owner.change_role("billing")

    with pytest.raises(LastOwnerError):
        block()

    assert roles() == {owner.user.username: "editor", editor.user.username: "owner"}


def test_block_of_one_organization_does_not_excuse_another(join, roles, organization):
    join("owner")
    elsewhere = MembershipFactory.create(role="owner")

    with pytest.raises(LastOwnerError), organization.keep_owner():
        elsewhere.remove()

    assert roles(elsewhere.organization) == {elsewhere.user.username: "owner"}


def test_rule_holds_again_after_a_block(join, roles, organization):
    owner = join("owner")
    with pytest.raises(LastOwnerError), organization.keep_owner():
        owner.change_role("editor")
    with organization.keep_owner():
        pass

    with pytest.raises(LastOwnerError):
        owner.change_role("editor")

    assert roles() == {owner.user.username: "owner"}


def test_organization_without_an_owner_stays_usable(join, roles, organization):
    member = join("editor")

    with organization.keep_owner():
        member.change_role("billing")

    assert roles() == {member.user.username: "billing"}


def test_failure_inside_an_outer_transaction_leaves_that_usable(join, roles, organization):
    owner = join("owner")

    with transaction.atomic():
        with pytest.raises(LastOwnerError):
            owner.remove()
        organization.memberships.create(user=UserFactory.create(username="grace"), role="editor")

    assert roles() == {owner.user.username: "owner", "grace": "editor"}


def test_organization_is_locked_before_anything_is_read(join, organization):
    owner = join("owner")
    join("owner")
    operations = (lambda: owner.change_role("manager"), owner.remove, organization.delete)

    for operation in operations:
        with CaptureQueriesContext(connection) as queries:
            operation()
        sql = [query["sql"].translate(str.maketrans("", "", '"`')) for query in queries]
        statements = [text for text in sql if not text.startswith(("SAVEPOINT", "BEGIN"))]
        lock = next(
            i
            for i, text in enumerate(statements)
            if text.startswith("UPDATE closient_auth_organization SET created_at")
        )
        writes = [i for i, text in enumerate(statements) if text.startswith(("UPDATE", "DELETE", "INSERT"))]
        assert min(writes) == lock
