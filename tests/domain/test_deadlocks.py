"""Retries after a simulated deadlock, and the order of locks; ``races/`` provokes real deadlocks."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction

from closient_auth.models import Membership, Organization
from closient_auth.models.deadlocks import TRIES, retry_deadlocks
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

DEADLOCK = (1213, "Deadlock found when trying to get lock; try restarting transaction")


class Operation:
    """Write a row; each of the first calls raises one of the errors."""

    def __init__(self, *errors):
        self.errors, self.calls = list(errors), 0

    def __call__(self):
        self.calls += 1
        with transaction.atomic():
            organization = OrganizationFactory.create()
            if self.errors:
                raise OperationalError(*self.errors.pop(0))
        return organization


@pytest.mark.parametrize("deadlocks", [0, 1, TRIES - 1])
def test_begun_anew_until_it_is_done(deadlocks):
    operation = Operation(*[DEADLOCK] * deadlocks)

    organization = retry_deadlocks(operation, "default")

    assert operation.calls == deadlocks + 1
    assert list(Organization.objects.all()) == [organization]


def test_not_for_ever():
    operation = Operation(*[DEADLOCK] * TRIES)

    with pytest.raises(OperationalError, match="Deadlock"):
        retry_deadlocks(operation, "default")

    assert operation.calls == TRIES
    assert not Organization.objects.exists()


@pytest.mark.parametrize(
    "error", [(2013, "Lost connection to server during query"), ("the connection is closed",), ()], ids=repr
)
def test_other_errors_are_raised_at_once(error):
    operation = Operation(error)

    with pytest.raises(OperationalError) as raised:
        retry_deadlocks(operation, "default")

    # If the connection is lost during a commit, the commit may have succeeded. A retry could write the row twice.
    assert (raised.value.args, operation.calls) == (error, 1)


def test_within_a_transaction_of_the_host_nothing_can_be_begun_anew():
    operation = Operation(DEADLOCK)

    with pytest.raises(OperationalError, match="Deadlock"), transaction.atomic():
        retry_deadlocks(operation, "default")

    assert operation.calls == 1


def test_organizations_are_locked_in_one_order_where_a_member_is_removed_meanwhile():
    user = UserFactory.create()
    organizations = sorted(OrganizationFactory.create_batch(3), key=lambda organization: organization.pk)
    first, *_ = [MembershipFactory.create(organization=organization, user=user) for organization in organizations]
    locked: list[str] = []
    removed: list[int] = []

    def remove_meanwhile(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("UPDATE") and Organization._meta.db_table in sql:
            (pk,) = params
            locked.append(str(pk).replace("-", ""))
        elif sql.startswith("SELECT") and Membership._meta.db_table in sql and not removed:
            removed.append(Membership.objects.filter(pk=first.pk)._raw_delete("default"))
        return result

    with connection.execute_wrapper(remove_meanwhile):
        user.delete()

    assert removed == [1]
    assert locked[:3] == [organization.pk.hex for organization in organizations]
