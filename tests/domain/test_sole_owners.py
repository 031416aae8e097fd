"""The organizations of which a user is the only active Owner."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import ProtectedError

from closient_auth.models import ApiKey, LastOwnerError, Membership, Organization
from closient_auth.models.people import may_hide_users
from closient_auth.organizations import organizations_owned_alone_by
from closient_auth.principals import OrganizationPrincipal
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

ALL_ACTIVE = settings.AUTH_USER_MODEL == "accounts.Account"
needs_inactive = pytest.mark.skipif(ALL_ACTIVE, reason="all users of this model are active")

# The role of the user, those of other members, and of inactive ones -> is it the user's alone?
TABLE: list[tuple[str | None, list[str], list[str], bool]] = [
    ("owner", [], [], True),
    ("owner", ["manager", "billing", "editor"], [], True),
    ("owner", [], ["owner"], True),
    ("owner", ["manager"], ["owner", "owner"], True),
    ("owner", ["owner"], [], False),
    ("owner", ["owner", "owner"], ["owner"], False),
    ("manager", [], [], False),
    ("manager", ["owner"], [], False),
    ("editor", [], ["owner"], False),
    (None, ["owner"], [], False),
    (None, [], [], False),
]


@pytest.fixture
def user():
    return UserFactory.create()


@pytest.fixture
def neighbour():
    """Return the only Owner of another organization."""
    return MembershipFactory.create(role="owner")


def make_organization(user, role, others=(), inactive=()):
    organization = OrganizationFactory.create()
    if role:
        MembershipFactory.create(organization=organization, user=user, role=role)
    for its_role in others:
        MembershipFactory.create(organization=organization, role=its_role)
    for its_role in inactive:
        inactive_user = UserFactory.create(is_active=False)
        MembershipFactory.create(organization=organization, role=its_role, user=inactive_user)
    return organization


@pytest.mark.parametrize(("role", "others", "inactive", "alone"), TABLE)
def test_each_organization(role, others, inactive, alone, user, neighbour):
    if inactive and ALL_ACTIVE:
        pytest.skip("all users of this model are active")
    organization = make_organization(user, role, others, inactive)

    assert list(organizations_owned_alone_by(user)) == ([organization] if alone else [])
    assert list(organizations_owned_alone_by(neighbour.user)) == [neighbour.organization]


def test_all_at_once_agree_with_the_deletion(user, neighbour, django_assert_num_queries):
    rows = [row for row in TABLE if not (row[2] and ALL_ACTIVE)]
    made = [(make_organization(user, *row[:3]), row[3]) for row in rows]
    expected = {organization for organization, alone in made if alone}
    has_column = any(field.name == "is_active" for field in type(user)._meta.concrete_fields)

    with django_assert_num_queries(1 if has_column and not may_hide_users() else 2):
        assert set(organizations_owned_alone_by(user)) == expected

    with pytest.raises(ProtectedError) as caught:
        user.delete()
    error = LastOwnerError.find_in(caught.value)
    assert error is not None
    assert error.organizations == sorted(expected, key=lambda organization: organization.name)
    assert Membership.objects.filter(user=user.pk).count() == sum(row[0] is not None for row in rows)
    for organization in expected:
        organization.delete()
    assert list(organizations_owned_alone_by(user)) == []
    user.delete()
    assert Organization.objects.filter(pk=neighbour.organization_id).exists()


@needs_inactive
def test_inactive_owner_owns_nothing_alone(user):
    """The organization has no active Owner, so the deletion of the user is not refused either."""
    make_organization(user, "owner")
    user.is_active = False
    user.save()

    assert list(organizations_owned_alone_by(user)) == []
    user.delete()


def test_queryset_can_be_narrowed(user):
    first, second = (make_organization(user, "owner") for _ in range(2))

    assert list(Organization.objects.filter(pk=first.pk).owned_alone_by(user)) == [first]
    assert list(organizations_owned_alone_by(user).exclude(pk=first.pk)) == [second]


def test_other_users(neighbour):
    """An organization's key has the id of no user, and an anonymous visitor has none."""
    api_key, _ = make_key(organization=neighbour.organization)
    principal = OrganizationPrincipal(ApiKey.objects.get(pk=api_key.pk))

    for other in (principal, AnonymousUser()):
        assert list(organizations_owned_alone_by(other)) == []


def test_other_errors_are_no_error_of_last_owners(user):
    for error in (ValueError("no"), ProtectedError("no", {user}), ProtectedError("no", set())):
        assert LastOwnerError.find_in(error) is None
    assert LastOwnerError().organizations == []
