"""The last-owner rule rests in a project with members of its own."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import ProtectedError

from closient_auth.models import LastOwnerError, Membership, Organization
from closient_auth.organizations import organizations_owned_alone_by
from tests.factories import MembershipFactory
from tests.memberships.people import make_company

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(companies):
    """Return the only Owner of an organization. The row was made before the project had members of its own."""
    _, organization = make_company("Acme")
    return MembershipFactory.create(organization=organization, role="owner")


@pytest.fixture
def neighbour(companies):
    _, organization = make_company("Globex")
    return MembershipFactory.create(organization=organization, role="owner")


def remove_in_a_block(owner):
    with owner.organization.keep_owner():
        Membership.objects.filter(pk=owner.pk).update(role="editor")


def save(owner):
    owner.role = "editor"
    owner.save()


CHANGES = {
    "delete the user": lambda owner: owner.user.delete(),
    "delete users": lambda owner: get_user_model().objects.filter(pk=owner.user.pk).delete(),
    "delete": lambda owner: owner.delete(),
    "delete rows": lambda owner: Membership.objects.filter(pk=owner.pk).delete(),
    "change the role": lambda owner: owner.change_role("editor"),
    "save": save,
    "remove": lambda owner: owner.remove(),
    "keep_owner()": remove_in_a_block,
}


@pytest.mark.parametrize("name", CHANGES)
def test_last_owner_goes(owner, neighbour, name):
    CHANGES[name](owner)

    assert not Membership.objects.filter(organization=owner.organization, role="owner").exists()
    assert Membership.objects.get(role="owner") == neighbour
    assert Organization.objects.count() == 2


@pytest.mark.parametrize("name", CHANGES)
def test_last_owner_stays_by_default(settings, owner, name):
    settings.CLOSIENT_AUTH = {}

    with pytest.raises((LastOwnerError, ProtectedError)) as caught, transaction.atomic():
        CHANGES[name](owner)

    assert LastOwnerError.find_in(caught.value)
    assert Membership.objects.get().role == "owner"


def test_nobody_owns_anything_alone(settings, owner):
    assert list(organizations_owned_alone_by(owner.user)) == []

    settings.CLOSIENT_AUTH = {}
    assert list(organizations_owned_alone_by(owner.user)) == [owner.organization]
