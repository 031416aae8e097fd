"""Concurrent changes between the permission check and the lock: the models check again under the lock."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import OperationalError
from django.db.models import PROTECT, RESTRICT

from closient_auth.api.base import ApiViewSet
from closient_auth.api.organizations import OrganizationViewSet
from closient_auth.models import Membership, Organization
from tests.api.test_access import WRITES
from tests.api.world import snapshot
from tests.factories import MembershipFactory, make_invitation, make_key
from tests.models import Project

BODIES = {
    ("patch", "{tree}"): {"name": "Renamed"},
    ("post", "{tree}/keys"): {"prefix": "csb"},
    ("patch", "{tree}/keys/{id}"): {"name": "Renamed"},
    ("patch", "{tree}/members/{id}"): {"role": "manager"},
    ("post", "{tree}/invitations"): {"email": "new@example.com"},
}
IN_TREE = [write for write in WRITES if write[1].startswith("{tree}")]
# These actions read their row again under the lock. Revoking a key does not need to.
READ_AGAIN = [write for write in IN_TREE if "{id}" in write[1] and write != ("delete", "{tree}/keys/{id}")]
GONE = (HTTPStatus.NOT_FOUND, {"detail": "Not found."})


@pytest.fixture(autouse=True)
def untouched(neighbour):
    """Assert after each test that the neighbour's rows are unchanged."""


@pytest.fixture
def request_of(send, tree, acme, people):
    """Send one of the writes to a key, a member or an invitation of Acme."""
    ids = {
        "keys": make_key(organization=acme)[0].pk,
        "members": Membership.objects.get(user=people["editor"]).pk,
        "invitations": make_invitation(acme, "grace@example.com", by=people["owner"])[0].pk,
    }

    def request_of(who, method, address):
        id = next((id for kind, id in ids.items() if f"/{kind}/" in address), None)
        return send(who, method, address.format(tree=tree, id=id), BODIES.get((method, address), {}))

    return request_of


@pytest.fixture
def meanwhile(monkeypatch):
    """Call a function after a method of the views has returned."""

    def meanwhile(view, method, do):
        original = getattr(view, method)

        def wrapped(self, *args):
            result = original(self, *args)
            do(result)
            return result

        monkeypatch.setattr(view, method, wrapped)

    return meanwhile


@pytest.mark.parametrize(("method", "address"), READ_AGAIN)
def test_row_that_goes(request_of, meanwhile, method, address):
    states = []

    def remove(found):
        type(found).objects.filter(pk=found.pk).delete()
        states.append(snapshot())

    meanwhile(ApiViewSet, "get_object", remove)

    response = request_of("owner", method, address)

    assert (response.status_code, response.json()) == GONE
    assert states == [snapshot()]


def test_organization_that_goes(request_of, meanwhile):
    """A superuser keeps the role, because it needs no membership."""
    meanwhile(OrganizationViewSet, "get_object", lambda found: Organization.objects.get(pk=found.pk).delete())

    response = request_of("root", "patch", "{tree}")

    assert (response.status_code, response.json()) == GONE


@pytest.mark.parametrize(("method", "address"), IN_TREE)
def test_owner_who_is_demoted(request_of, meanwhile, people, method, address):
    def demote(_):
        Membership.objects.filter(user=people["owner"]).update(role="editor")

    meanwhile(ApiViewSet, "check_permissions", demote)
    demote(None)
    before = snapshot()
    Membership.objects.filter(user=people["owner"]).update(role="owner")

    response = request_of("owner", method, address)

    assert response.status_code == HTTPStatus.FORBIDDEN
    # The message is the model's, because the permission class had allowed the request.
    assert response.json()["detail"].startswith("Your role does not allow this")
    assert snapshot() == before


@pytest.mark.parametrize(("method", "address"), IN_TREE)
def test_owner_who_is_removed(request_of, meanwhile, acme, people, method, address):
    """A removed Owner gets the response of an outsider."""
    MembershipFactory.create(organization=acme, role="owner")
    states = []

    def remove(_):
        Membership.objects.filter(user=people["owner"]).delete()
        states.append(snapshot())

    meanwhile(ApiViewSet, "check_permissions", remove)

    response = request_of("owner", method, address)

    assert (response.status_code, response.json()) == GONE
    assert states == [snapshot()]


def test_deadlock(request_of, monkeypatch):
    def rename(self, **kwargs):
        raise OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")

    monkeypatch.setattr(Organization, "rename", rename)
    before = snapshot()

    response = request_of("owner", "patch", "{tree}")

    body = {"detail": "Another request changed this at the same time. Reload it and try again.", "code": "conflict"}
    assert (response.status_code, response.json()) == (HTTPStatus.CONFLICT, body)
    assert snapshot() == before


def test_other_errors_of_the_database_are_not_hidden(request_of, monkeypatch):
    def rename(self, **kwargs):
        raise OperationalError(2013, "Lost connection to server during query")

    monkeypatch.setattr(Organization, "rename", rename)

    with pytest.raises(OperationalError, match="Lost connection"):
        request_of("owner", "patch", "{tree}")


@pytest.mark.parametrize("on_delete", [PROTECT, RESTRICT])
def test_organization_that_the_host_needs(request_of, acme, monkeypatch, on_delete):
    monkeypatch.setattr(Project._meta.get_field("organization").remote_field, "on_delete", on_delete)
    Project.objects.create(organization=acme, name="Tea")
    before = snapshot()

    response = request_of("owner", "delete", "{tree}")

    body = {"detail": "This cannot be deleted because other data refers to it.", "code": "in_use"}
    assert (response.status_code, response.json()) == (HTTPStatus.CONFLICT, body)
    assert snapshot() == before
