"""Concurrent operations of several users in several organizations cause no deadlock."""

from __future__ import annotations

from itertools import count
from random import Random
from uuid import uuid4

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import IntegrityError, connection

from closient_auth.actors import acting
from closient_auth.models import ApiKey, Invitation, LastOwnerError, Membership, Organization
from closient_auth.models.forgetting import forget_user
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]

PEOPLE = 8
# Expected errors: the organization or user is deleted, the user is a member already, or the actor lacks permission.
REFUSALS = (IntegrityError, LastOwnerError, ObjectDoesNotExist, PermissionDenied, ValidationError)
ROLES = ["editor", "manager", "owner"]


class Somebody:
    """Run random operations one after another and record the completed ones."""

    def __init__(self, seed, organizations, users):
        self.random, self.organizations, self.users = Random(seed), organizations, users
        self.names = count()
        self.done = set()

    def __call__(self):
        for _ in rounds(230 if connection.vendor == "mysql" else 40):
            operation = self.random.choice(OPERATIONS)
            organization = Organization.objects.get(pk=self.random.choice(self.organizations).pk)
            try:
                operation(self, organization, self.random.choice(self.users))
            except REFUSALS:
                continue
            self.done.add(operation)

    def choose(self, rows):
        row = rows.order_by("?").first()
        if row is None:
            raise ObjectDoesNotExist
        return row

    def add(self, organization, user):
        organization.memberships.create(user=user, role=self.random.choice(ROLES))

    def change_role(self, organization, user):
        self.choose(organization.memberships).change_role(self.random.choice(ROLES), by=user)

    def remove(self, organization, user):
        self.choose(organization.memberships).remove(by=self.random.choice([user, None]))

    def invite(self, organization, user):
        Invitation.objects.invite(organization=organization, email=f"{next(self.names)}@example.com", by=user)

    def withdraw(self, organization, user):
        self.choose(organization.invitations).withdraw(by=user)

    def create_key(self, organization, user):
        ApiKey.objects.create_key(prefix="csb", organization=organization, created_by=user)

    def change_key(self, organization, user):
        self.choose(organization.api_keys).change(name="Changed", by=user)

    def rotate_key(self, organization, user):
        self.choose(organization.api_keys.active()).rotate(by=user)

    def revoke_key(self, organization, user):
        self.choose(organization.api_keys).revoke(by=user)

    def revoke_keys(self, organization, user):
        organization.api_keys.all().revoke()

    def create_user_key(self, organization, user):
        restricted_to = self.random.choice([organization, None])
        ApiKey.objects.create_key(prefix="csu", user=user, restricted_to=restricted_to, by=user)

    def change_user_key(self, organization, user):
        self.choose(ApiKey.objects.filter(user=user)).change(restricted_to=organization, by=user)

    def rotate_user_key(self, organization, user):
        self.choose(ApiKey.objects.active().filter(user=user)).rotate(by=user)

    def shut_out(self, organization, user):
        self.choose(ApiKey.objects.able_in(organization)).shut_out(organization, by=user)

    def close(self, organization, user):
        organization.allow_user_keys(self.random.choice([True, False]), by=user)

    def rename(self, organization, user):
        # Its own slugs: whoever waits for the slug of another organization can deadlock (see test_slugs.py).
        organization.rename(slug=f"{organization.pk}-{self.random.choice(['one', 'two'])}")

    def come_and_go(self, organization, user):
        passing = Organization.objects.create_organization(name="Passing", slug=f"passing-{uuid4()}", owner=user)
        ApiKey.objects.create_key(prefix="csb", organization=passing)
        passing.memberships.create(user=self.random.choice(self.users), role="editor")
        passing.delete()

    def leave_for_good(self, organization, user):
        somebody = UserFactory.create()
        ApiKey.objects.create_key(prefix="csu", user=somebody)
        for joined in self.organizations:
            joined.memberships.create(user=somebody, role="editor")
            for _ in range(3):
                ApiKey.objects.create_key(prefix="csb", organization=joined, created_by=somebody)
        somebody.delete()

    def forget(self, organization, user):
        somebody = UserFactory.create()
        with acting(somebody):
            for invited in self.random.sample(self.organizations, 2):
                # As ``invite()`` does, lock the organization before the user.
                with invited.keep_owner():
                    make_invitation(invited, somebody.email, by=user)
                invited.memberships.create(user=somebody, role="editor")
        forget_user(somebody)
        forget_user(user)


OPERATIONS = [operation for name, operation in vars(Somebody).items() if not name.startswith("_") and name != "choose"]


def test_many_operations_in_several_organizations(settings):
    # The creation of a user key then locks the user.
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 1000}
    users = UserFactory.create_batch(PEOPLE)
    # MariaDB scans a small table instead of using an index, so it also locks rows of the other organizations.
    organizations = OrganizationFactory.create_batch(3)
    for organization in organizations:
        for user in users[:4]:
            MembershipFactory.create(organization=organization, user=user, role="owner")
    people = [Somebody(seed, organizations, users) for seed in range(PEOPLE)]

    assert race(*people) == [None] * PEOPLE
    assert set().union(*(somebody.done for somebody in people)) == set(OPERATIONS)
    for organization in organizations:
        assert organization.memberships.filter(role="owner").exists()


def test_a_key_for_an_organization_that_is_deleted():
    for _ in rounds(15):
        organization = OrganizationFactory.create()
        for _ in range(4):
            ApiKey.objects.create_key(prefix="csb", organization=organization)

        errors = race(
            lambda pk=organization.pk: ApiKey.objects.create_key(
                prefix="csb", organization=Organization.objects.get(pk=pk)
            ),
            Organization.objects.get(pk=organization.pk).delete,
        )

        assert errors[1] is None, errors
        assert errors[0] is None or isinstance(errors[0], Organization.DoesNotExist | IntegrityError), errors
        assert not ApiKey.objects.exists()


def test_a_member_of_an_organization_that_is_changed():
    for _ in rounds(15):
        organization = OrganizationFactory.create()
        owner = MembershipFactory.create(organization=organization, role="owner")
        user = UserFactory.create()

        errors = race(
            lambda organization=organization, user=user: Membership.objects.create(
                organization=organization, user=user, role="owner"
            ),
            lambda pk=owner.pk: Membership.objects.get(pk=pk).change_role("editor"),
        )

        assert errors[0] is None, errors
        # The demotion is refused if it runs before the second Owner joins.
        assert errors[1] is None or isinstance(errors[1], LastOwnerError), errors
        assert organization.memberships.filter(role="owner").exists()
