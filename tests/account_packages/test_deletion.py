"""djoser deletes an account, unless its user is the only Owner of an organization."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import ProtectedError
from rest_framework.test import APIClient

from tests.account_packages.tables import list_changes, read_tables
from tests.factories import MembershipFactory

if not apps.is_installed("djoser"):
    pytest.skip("needs --ds=tests.account_packages.settings", allow_module_level=True)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def handler(settings):
    settings.REST_FRAMEWORK = {
        **settings.REST_FRAMEWORK,
        "EXCEPTION_HANDLER": "closient_auth.exceptions.exception_handler",
    }


@pytest.fixture
def owner(person):
    """Return a person who owns Acme alone, and is a member of another organization."""
    MembershipFactory.create(user=person, role="owner", organization__name="Acme", organization__slug="acme")
    return person


@pytest.fixture(params=["me/", "{pk}/"])
def delete(request, call, owner):
    """Return a function to delete the owner's account in a session."""
    client = APIClient()
    client.force_login(owner)
    address = f"/djoser/users/{request.param.format(pk=owner.pk)}"
    return lambda: call(address, client=client, method="delete", data={"current_password": "old"})


@pytest.mark.parametrize("is_atomic", [True, False])
def test_sole_owner(delete, owner, is_atomic, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", is_atomic)
    organization = owner.closient_auth_memberships.get(role="owner").organization
    before = read_tables()

    response = delete()

    assert response.status_code == HTTPStatus.CONFLICT
    assert response.json() == {
        "detail": "An organization must keep at least one active Owner.",
        "code": "last_owner",
        "organizations": [{"id": str(organization.pk), "name": "Acme", "slug": "acme"}],
    }
    # djoser deletes the token before the user.
    assert list_changes(before) == (set() if is_atomic else {"authtoken_token"})


def test_one_of_two_owners(delete, owner):
    MembershipFactory.create(organization=owner.closient_auth_memberships.get(role="owner").organization, role="owner")

    assert delete().status_code == HTTPStatus.NO_CONTENT

    assert not get_user_model().objects.filter(pk=owner.pk).exists()


def test_sole_owner_without_the_handler(delete, owner, settings):
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "EXCEPTION_HANDLER": "rest_framework.views.exception_handler"}

    with pytest.raises(ProtectedError):
        delete()
