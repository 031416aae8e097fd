"""Two organizations of the host project, their members and keys."""

import json
from urllib.parse import quote

import pytest
from django.core.cache import cache
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from closient_auth.models import ApiKey
from closient_auth.models import Organization as Anchor
from tenancy.models import Organization
from tracker.models import Project, Report, Tag


@pytest.fixture(autouse=True)
def empty_cache():
    """Clear the cache, so the counters of one test do not affect the next."""
    yield
    cache.clear()


class World:
    """Acme with an owner, a member and two pending invitations, and a rival with an owner."""

    def __init__(self):
        self.acme = Organization.objects.create(name="Acme Inc. Berlin")
        self.rival = Organization.objects.create(name="Rival GmbH & Co.")
        names = ("owner", "member", "invitee", "outsider", "rival")
        self.users = {name: User.objects.create_user(f"{name}@advisories.example") for name in names}
        self.users["superuser"] = User.objects.create_superuser("superuser@advisories.example")
        for name in ("owner", "member"):
            self.join(self.acme, name, name)
        self.join(self.rival, "rival", "owner")
        # The person has an account, and the invitation knows it.
        self.invitation = self.acme.memberships.create(
            user=self.users["invitee"], email="invitee@advisories.example", role="owner"
        )
        # The invitation does not know that there is an account with its address.
        self.acme.memberships.create(email="outsider@advisories.example", role="owner")

    def join(self, organization, name, role):
        return organization.memberships.create(user=self.users[name], role=role, date_joined=timezone.now())

    def make_rows(self, organization):
        """Return a project, a report on it and a tag of the organization."""
        project = Project.objects.create(organization=organization, name=f"Project of {organization}")
        tag = Tag.objects.create(organization=organization, name=f"Tag of {organization}")
        report = Report.objects.create(project=project, title=f"Report of {organization}")
        report.tags.add(tag)
        return project, report, tag

    def make_key(self, prefix, holder, **values):
        """Return a key of an organization of the host, or of a user, and its text."""
        if isinstance(holder, Organization):
            return ApiKey.objects.create_key(prefix=prefix, organization=get_anchor(holder), **values)
        return ApiKey.objects.create_key(prefix=prefix, user=self.users[holder], **values)


def get_anchor(organization):
    return Anchor.objects.get(pk=organization.pk)


@pytest.fixture
def world(db):
    return World()


@pytest.fixture
def acme(world):
    return world.acme


@pytest.fixture
def rival(world):
    return world.rival


@pytest.fixture
def send(world):
    """Return a function to send a request with the text of a key, or with the session of a user by name."""

    def send(path, credential=None, method="get", data=None, **headers):
        client = APIClient()
        if credential in world.users:
            client.force_login(world.users[credential])
        elif credential is not None:
            headers["X-API-Key"] = credential
        body = "" if data is None else json.dumps(data)
        return client.generic(method.upper(), path, body, content_type="application/json", headers=headers)

    return send


@pytest.fixture
def get_url():
    """Return a function to get the path below an organization of the host's API."""

    def get_url(organization, rest="projects"):
        name = organization if isinstance(organization, str) else organization.name
        return f"/api/organizations/{quote(name)}/{rest}"

    return get_url
