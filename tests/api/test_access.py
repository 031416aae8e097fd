"""Access with sessions and API keys, to the own and to another organization."""

from __future__ import annotations

from http import HTTPStatus
from uuid import uuid4

import pytest
from django.core import checks
from django.db import IntegrityError
from django.test import Client

from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership
from tests.factories import make_key

WRITES = [
    ("post", "/organizations"),
    ("patch", "{tree}"),
    ("delete", "{tree}"),
    ("post", "{tree}/keys"),
    ("patch", "{tree}/keys/{id}"),
    ("delete", "{tree}/keys/{id}"),
    ("post", "{tree}/keys/{id}/rotate"),
    ("patch", "{tree}/members/{id}"),
    ("delete", "{tree}/members/{id}"),
    ("post", "{tree}/invitations"),
    ("delete", "{tree}/invitations/{id}"),
    ("post", "{tree}/invitations/{id}/resend"),
    ("post", "/invitations/accept"),
    ("post", "/invitations/decline"),
    ("post", "/invitations/preview"),
    ("get", "/me/invitations"),
    ("get", "/me/keys"),
    ("post", "/me/keys"),
    ("get", "/me/keys/{id}"),
    ("patch", "/me/keys/{id}"),
    ("delete", "/me/keys/{id}"),
    ("post", "/me/keys/{id}/rotate"),
]
READS = ["", "/keys", "/members", "/invitations", "/audit"]
OBJECTS = [
    ("get", "/keys/{id}"),
    ("patch", "/keys/{id}"),
    ("delete", "/keys/{id}"),
    ("post", "/keys/{id}/rotate"),
    ("get", "/members/{id}"),
    ("patch", "/members/{id}"),
    ("delete", "/members/{id}"),
    ("get", "/invitations/{id}"),
    ("delete", "/invitations/{id}"),
    ("post", "/invitations/{id}/resend"),
]


def snapshot():
    return [list(model.objects.values()) for model in (ApiKey, Membership, Invitation)]


@pytest.mark.parametrize(("method", "address"), WRITES)
@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_management_needs_a_session(call, tree, acme, people, method, address, prefix):
    holder = {"user": people["owner"]} if prefix == "csu" else {"organization": acme}
    key, raw_key = make_key(prefix, **holder)
    AuditEntry.objects.all()._raw_delete(AuditEntry.objects.db)

    response = call(address.format(tree=tree, id=key.pk), raw_key, method=method, data={})

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "session_required")
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("path", READS)
def test_keys_may_read(call, tree, acme, people, path):
    statuses = {
        "csb": call(tree + path, make_key(organization=acme)[1]).status_code,
        "cpk": call(tree + path, make_key("cpk", organization=acme)[1]).status_code,
        "other": call(tree + path, make_key()[1]).status_code,
        **{role: call(tree + path, make_key("csu", user=people[role])[1]).status_code for role in people},
    }

    manages = path not in ("", "/members")
    member = HTTPStatus.FORBIDDEN if manages else HTTPStatus.OK
    assert statuses == {
        "csb": HTTPStatus.OK,
        "cpk": HTTPStatus.FORBIDDEN,
        "other": HTTPStatus.NOT_FOUND,
        "owner": HTTPStatus.OK,
        "manager": HTTPStatus.OK,
        "billing": member,
        "editor": member,
        "outsider": HTTPStatus.NOT_FOUND,
        # Superuser status does not apply to API keys.
        "root": HTTPStatus.NOT_FOUND,
    }


@pytest.mark.parametrize(("method", "path"), OBJECTS)
def test_of_another_organization_is_as_what_never_was(send, tree, neighbour, people, method, path):
    invitation = Invitation.objects.invite(organization=neighbour, email="a@example.com", by=people["outsider"])
    foreign = {"keys": neighbour.api_keys.get(), "members": neighbour.memberships.get(), "invitations": invitation}
    foreign_id = foreign[path.split("/")[1]].pk
    before = snapshot()
    answers = set()

    for start in (tree, f"/organizations/{neighbour.pk}", f"/organizations/{uuid4()}", "/organizations/nonsense"):
        for id in (foreign_id, uuid4(), "nonsense", "%00", "é"):
            response = send("owner", method, start + path.format(id=id), {})
            answers.add((response.status_code, response.content, response["Content-Type"]))

    assert answers == {(HTTPStatus.NOT_FOUND, b'{"detail":"Not found."}', "application/json")}
    assert snapshot() == before


@pytest.mark.parametrize("path", READS)
def test_another_organization(send, neighbour, tree, path):
    assert send("owner", "get", f"/organizations/{neighbour.pk}{path}").status_code == HTTPStatus.NOT_FOUND
    # The URL and the header must name the same organization.
    assert send("owner", "get", tree + path, x_organization=neighbour.slug).status_code == HTTPStatus.NOT_FOUND
    assert send("owner", "get", tree + path, x_organization="acme").status_code == HTTPStatus.OK
    assert send("root", "get", tree + path).status_code == HTTPStatus.OK


def test_routes_are_well_formed():
    assert checks.run_checks(tags=[checks.Tags.urls]) == []


def test_csrf(people, tree):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])

    response = client.patch(tree, '{"name": "Mine"}', content_type="application/json")

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert "CSRF" in response.json()["detail"]


def test_collision_is_a_conflict(send, monkeypatch):
    def collide(*args, **kwargs):
        raise IntegrityError

    monkeypatch.setattr("closient_auth.models.organizations.OrganizationQuerySet.create_organization", collide)

    response = send("owner", "post", "/organizations", {"name": "X"})

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.CONFLICT, "conflict")


def test_deeply_nested_body_is_refused(people):
    client = Client()
    client.force_login(people["owner"])
    response = client.post("/organizations", "[" * 100_000, content_type="application/json")

    assert (response.status_code, response.json()) == (400, {"detail": "The JSON is nested too deeply."})
