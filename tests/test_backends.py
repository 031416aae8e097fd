from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import authenticate
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template

from closient_auth.backends import OrganizationBackend
from closient_auth.models import Membership
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

PERMISSIONS = {
    #                                        owner  manager billing editor
    "organization.view_organization":       (True,  True,   True,   True),
    "organization.contribute_organization": (True,  True,   False,  True),
    "organization.manage_billing":          (True,  True,   True,   False),
    "organization.manage_api_keys":         (True,  True,   False,  False),
    "organization.manage_members":          (True,  True,   False,  False),
    "organization.delete_organization":     (True,  False,  False,  False),
    "offers.publish":                       (False, False,  False,  True),
    "organization.unheard_of":              (False, False,  False,  False),
}  # fmt: skip
ROLES = ("owner", "manager", "billing", "editor")
PERM = "organization.manage_billing"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def backends(settings):
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "closient_auth.backends.OrganizationBackend",
    ]
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"editor": ["offers.publish"]}}


@pytest.mark.parametrize(("perm", "role"), [*product(PERMISSIONS, ROLES)])
def test_permission_of_a_member(perm, role):
    membership = MembershipFactory.create(role=role)
    user, organization = membership.user, membership.organization
    expected = PERMISSIONS[perm][ROLES.index(role)]

    assert user.has_perm(perm, organization) is expected
    assert async_to_sync(user.ahas_perm)(perm, organization) is expected
    assert user.has_perms([perm], organization) is expected
    assert not user.has_perm(perm)
    assert not user.has_perm(perm, OrganizationFactory.create())
    assert not UserFactory.create().has_perm(perm, organization)


@pytest.mark.parametrize("role", ROLES)
def test_all_permissions(role):
    membership = MembershipFactory.create(role=role)
    granted = {perm for perm, row in PERMISSIONS.items() if row[ROLES.index(role)]}

    assert membership.user.get_all_permissions(membership.organization) == granted
    assert membership.user.get_user_permissions(membership.organization) == granted
    assert membership.user.get_group_permissions(membership.organization) == set()
    assert membership.user.get_all_permissions() == set()


def test_roles_differ_by_organization():
    membership = MembershipFactory.create(role="owner")
    elsewhere = MembershipFactory.create(user=membership.user, role="editor")

    assert membership.user.has_perm(PERM, membership.organization)
    assert not membership.user.has_perm(PERM, elsewhere.organization)


def test_membership_is_read_at_each_call(django_assert_num_queries):
    membership = MembershipFactory.create(role="owner")
    user, organization = membership.user, membership.organization
    assert user.has_perm(PERM, organization)

    Membership.objects.update(role="editor")
    assert not user.has_perm(PERM, organization)

    Membership.objects.update(role="billing")
    with django_assert_num_queries(1):
        assert user.has_perm(PERM, organization)

    membership.delete()
    assert not user.has_perm(PERM, organization)


def test_inactive_member_may_do_nothing():
    membership = MembershipFactory.create(role="owner", user__is_active=False)

    assert not membership.user.has_perm(PERM, membership.organization)
    assert membership.user.get_all_permissions(membership.organization) == set()


def test_anonymous_may_do_nothing():
    assert not AnonymousUser().has_perm(PERM, OrganizationFactory.create())


def test_superuser_passes_as_everywhere_in_django():
    assert UserFactory.create(is_superuser=True).has_perm(PERM, OrganizationFactory.create())


def test_other_objects_are_none_of_its_business(django_assert_num_queries):
    membership = MembershipFactory.create(role="owner")

    with django_assert_num_queries(0):
        others: list[Any] = [membership, membership.user, membership.organization.pk, membership.organization.slug]
        for obj in others:
            assert not membership.user.has_perm(PERM, obj)


def test_it_signs_nobody_in():
    user = UserFactory.create()

    assert OrganizationBackend().authenticate(None, username=user.username, password="") is None
    assert OrganizationBackend().get_user(user.pk) is None
    assert authenticate(username=user.username, password="") is None


def test_permissions_in_templates():
    membership = MembershipFactory.create(role="billing")
    # Django's templates cannot pass an argument, so a view adds the permissions to the context.
    context = {"permissions": membership.user.get_all_permissions(membership.organization), "perm": PERM}

    assert Template("{% if perm in permissions %}yes{% endif %}").render(Context(context)) == "yes"
