from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.admin.members import form_data
from tests.factories import OrganizationFactory, UserFactory


@pytest.fixture(autouse=True)
def admin_urls(settings):
    settings.ROOT_URLCONF = "tests.admin.urls"


@pytest.fixture
def make_staff(db):
    """Return a function to make a logged-in client of a staff user with exactly these permissions."""

    def make(*codenames, user=None, **kwargs):
        user = user or UserFactory.create()
        user.is_staff = True
        user.save()
        permissions = Permission.objects.filter(codename__in=codenames)
        assert len(permissions) == len(codenames)
        user.user_permissions.set(permissions)
        client = Client(**kwargs)
        client.force_login(user)
        return client

    return make


@pytest.fixture
def root_user(db):
    return UserFactory.create(username="root", is_staff=True, is_superuser=True)


@pytest.fixture
def root(root_user):
    client = Client()
    client.force_login(root_user)
    return client


@pytest.fixture
def page():
    """Return a function for the URL of an admin page, as in ``page("apikey_change", pk)``."""
    return lambda name, *args: reverse(f"admin:closient_auth_{name}", args=args)


@pytest.fixture
def count_queries():
    """Return a function to count the queries of a page, after a first request to fill Django's own caches."""

    def count_queries(client, address):
        client.get(address)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == HTTPStatus.OK
        return len(queries)

    return count_queries


@pytest.fixture
def organization():
    return OrganizationFactory.create(name="Acme Foods", slug="acme-foods")


@pytest.fixture
def send(page, organization):
    """Return a function to post the change form of the organization."""

    def send(client, changes=None, joins=(), **values):
        data = {**form_data(organization, changes, joins), **values}
        return client.post(page("organization_change", organization.pk), data)

    return send
