"""Deadlocks are recognised, and locks are taken in one order; ``races/`` provokes real deadlocks."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, OperationalError, connection

from closient_auth.models import Membership, Organization
from closient_auth.models.locks import is_deadlock
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


class DeadlockDetected(Exception):
    """The error of psycopg."""

    sqlstate = "40P01"


class Psycopg2Error(Exception):
    pgcode = "40P01"


def from_psycopg(cause):
    error = OperationalError("...")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction"), True),
        (from_psycopg(DeadlockDetected()), True),
        (from_psycopg(Psycopg2Error()), True),
        (from_psycopg(Exception()), False),
        (OperationalError(2013, "Lost connection to server during query"), False),
        (OperationalError("the connection is closed"), False),
        (OperationalError(), False),
        (IntegrityError(1213, "not an operational error"), False),
    ],
    ids=["MariaDB", "psycopg", "psycopg2", "another cause", "lost connection", "closed", "nothing", "another error"],
)
def test_deadlock_is_recognised(error, expected):
    assert is_deadlock(error) is expected


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
