"""The status of every route of the management API for each principal, in the own and in another organization."""

from __future__ import annotations

from http import HTTPStatus
from uuid import uuid4

import pytest
from django.urls import URLPattern

from closient_auth import urls
from tests.api.world import PRINCIPALS, snapshot, undone

pytestmark = pytest.mark.unmeasured

OWN = """
route                                                        ano out edi bil man own sup csb u-e u-b u-m u-o u-s cpk
GET    /me                                                   401 200 200 200 200 200 200 200 200 200 200 200 200 200
DELETE /me/key                                               401 403 403 403 403 403 403 204 204 204 204 204 204 403
GET    /me/keys                                              401 200 200 200 200 200 200 403 403 403 403 403 403 403
POST   /me/keys                                              401 201 201 201 201 201 201 403 403 403 403 403 403 403
GET    /me/keys/{id}                                         401 200 200 200 200 200 200 403 403 403 403 403 403 403
PATCH  /me/keys/{id}                                         401 200 200 200 200 200 200 403 403 403 403 403 403 403
DELETE /me/keys/{id}                                         401 204 204 204 204 204 204 403 403 403 403 403 403 403
POST   /me/keys/{id}/rotate                                  401 201 201 201 201 201 201 403 403 403 403 403 403 403
GET    /me/invitations                                       401 200 200 200 200 200 200 403 403 403 403 403 403 403
GET    /organizations                                        401 200 200 200 200 200 200 200 200 200 200 200 200 403
POST   /organizations                                        401 201 201 201 201 201 201 403 403 403 403 403 403 403
GET    /organizations/{organization}                         401 404 200 200 200 200 200 200 200 200 200 200 404 403
PATCH  /organizations/{organization}                         401 404 403 403 403 200 200 403 403 403 403 403 403 403
DELETE /organizations/{organization}                         401 404 403 403 403 204 204 403 403 403 403 403 403 403
GET    /organizations/{organization}/keys                    401 404 403 403 200 200 200 200 403 403 200 200 404 403
POST   /organizations/{organization}/keys                    401 404 403 403 201 201 201 403 403 403 403 403 403 403
GET    /organizations/{organization}/keys/{id}               401 404 403 403 200 200 200 200 403 403 200 200 404 403
PATCH  /organizations/{organization}/keys/{id}               401 404 403 403 200 200 200 403 403 403 403 403 403 403
DELETE /organizations/{organization}/keys/{id}               401 404 403 403 204 204 204 403 403 403 403 403 403 403
POST   /organizations/{organization}/keys/{id}/rotate        401 404 403 403 201 201 201 403 403 403 403 403 403 403
GET    /organizations/{organization}/keys/{id}/usage         401 404 403 403 200 200 200 200 403 403 200 200 404 403
GET    /organizations/{organization}/usage                   401 404 403 403 200 200 200 200 403 403 200 200 404 403
GET    /organizations/{organization}/user-keys               401 404 403 403 200 200 200 200 403 403 200 200 404 403
GET    /organizations/{organization}/user-keys/{id}          401 404 403 403 200 200 200 200 403 403 200 200 404 403
PATCH  /organizations/{organization}/user-keys/{id}          401 404 403 403 200 200 200 403 403 403 403 403 403 403
GET    /organizations/{organization}/members                 401 404 200 200 200 200 200 200 200 200 200 200 404 403
GET    /organizations/{organization}/members/{id}            401 404 200 200 200 200 200 200 200 200 200 200 404 403
PATCH  /organizations/{organization}/members/{id}            401 404 403 403 200 200 200 403 403 403 403 403 403 403
DELETE /organizations/{organization}/members/{id}            401 404 403 403 200 200 200 403 403 403 403 403 403 403
GET    /organizations/{organization}/members/{id}/offboarding 401 404 403 403 200 200 200 200 403 403 200 200 404 403
GET    /organizations/{organization}/invitations             401 404 403 403 200 200 200 200 403 403 200 200 404 403
POST   /organizations/{organization}/invitations             401 404 403 403 201 201 201 403 403 403 403 403 403 403
GET    /organizations/{organization}/invitations/{id}        401 404 403 403 200 200 200 200 403 403 200 200 404 403
DELETE /organizations/{organization}/invitations/{id}        401 404 403 403 204 204 204 403 403 403 403 403 403 403
POST   /organizations/{organization}/invitations/{id}/resend 401 404 403 403 200 200 200 403 403 403 403 403 403 403
GET    /organizations/{organization}/audit                   401 404 403 403 200 200 200 200 403 403 200 200 404 403
POST   /invitations/accept                                   401 201 201 201 201 201 201 403 403 403 403 403 403 403
POST   /invitations/decline                                  401 204 204 204 204 204 204 403 403 403 403 403 403 403
POST   /invitations/preview                                  401 200 200 200 200 200 200 403 403 403 403 403 403 403
"""
# Requests for another organization, another user's key, and an invitation of another address.
FOREIGN = """
route                                                        ano out edi bil man own sup csb u-e u-b u-m u-o u-s cpk
GET    /me/keys/{id}                                         401 404 404 404 404 404 404 403 403 403 403 403 403 403
PATCH  /me/keys/{id}                                         401 404 404 404 404 404 404 403 403 403 403 403 403 403
DELETE /me/keys/{id}                                         401 404 404 404 404 404 404 403 403 403 403 403 403 403
POST   /me/keys/{id}/rotate                                  401 404 404 404 404 404 404 403 403 403 403 403 403 403
GET    /organizations/{organization}                         401 404 404 404 404 404 200 404 404 404 404 404 404 403
PATCH  /organizations/{organization}                         401 404 404 404 404 404 200 403 403 403 403 403 403 403
DELETE /organizations/{organization}                         401 404 404 404 404 404 204 403 403 403 403 403 403 403
GET    /organizations/{organization}/keys                    401 404 404 404 404 404 200 404 404 404 404 404 404 403
POST   /organizations/{organization}/keys                    401 404 404 404 404 404 201 403 403 403 403 403 403 403
GET    /organizations/{organization}/keys/{id}               401 404 404 404 404 404 200 404 404 404 404 404 404 403
PATCH  /organizations/{organization}/keys/{id}               401 404 404 404 404 404 200 403 403 403 403 403 403 403
DELETE /organizations/{organization}/keys/{id}               401 404 404 404 404 404 204 403 403 403 403 403 403 403
POST   /organizations/{organization}/keys/{id}/rotate        401 404 404 404 404 404 201 403 403 403 403 403 403 403
GET    /organizations/{organization}/keys/{id}/usage         401 404 404 404 404 404 200 404 404 404 404 404 404 403
GET    /organizations/{organization}/usage                   401 404 404 404 404 404 200 404 404 404 404 404 404 403
GET    /organizations/{organization}/user-keys               401 404 404 404 404 404 200 404 404 404 404 404 404 403
GET    /organizations/{organization}/user-keys/{id}          401 404 404 404 404 404 200 404 404 404 404 404 404 403
PATCH  /organizations/{organization}/user-keys/{id}          401 404 404 404 404 404 200 403 403 403 403 403 403 403
GET    /organizations/{organization}/members                 401 404 404 404 404 404 200 404 404 404 404 404 404 403
GET    /organizations/{organization}/members/{id}            401 404 404 404 404 404 200 404 404 404 404 404 404 403
PATCH  /organizations/{organization}/members/{id}            401 404 404 404 404 404 200 403 403 403 403 403 403 403
DELETE /organizations/{organization}/members/{id}            401 404 404 404 404 404 200 403 403 403 403 403 403 403
GET    /organizations/{organization}/members/{id}/offboarding 401 404 404 404 404 404 200 404 404 404 404 404 404 403
GET    /organizations/{organization}/invitations             401 404 404 404 404 404 200 404 404 404 404 404 404 403
POST   /organizations/{organization}/invitations             401 404 404 404 404 404 201 403 403 403 403 403 403 403
GET    /organizations/{organization}/invitations/{id}        401 404 404 404 404 404 200 404 404 404 404 404 404 403
DELETE /organizations/{organization}/invitations/{id}        401 404 404 404 404 404 204 403 403 403 403 403 403 403
POST   /organizations/{organization}/invitations/{id}/resend 401 404 404 404 404 404 200 403 403 403 403 403 403 403
GET    /organizations/{organization}/audit                   401 404 404 404 404 404 200 404 404 404 404 404 404 403
POST   /invitations/accept                                   401 409 409 409 409 409 409 403 403 403 403 403 403 403
POST   /invitations/decline                                  401 409 409 409 409 409 409 403 403 403 403 403 403 403
POST   /invitations/preview                                  401 200 200 200 200 200 200 403 403 403 403 403 403 403
"""
# Ids of an organization and an object: missing ones, and invalid ones.
NEVER = [(uuid4(), uuid4()), ("nonsense", "nonsense")]
METHODS = ["get", "post", "put", "patch", "delete", "trace"]


def read_table(text):
    """Return ``{"GET /me": {principal: status}}``."""
    header, *lines = text.strip().splitlines()
    columns = [PRINCIPALS[name] for name in header.split()[1:]]
    assert columns == list(PRINCIPALS.values())
    rows = [line.split() for line in lines]
    table = {f"{row[0]} {row[1]}": dict(zip(columns, map(int, row[2:]), strict=True)) for row in rows}
    assert len(table) == len(rows)
    return table


def walk(patterns, start="/"):
    """Yield the address of every route as a template, and its view."""
    for pattern in patterns:
        address = start + str(pattern.pattern).replace("<str:", "{").replace("_id>", "}").replace(">", "}")
        if isinstance(pattern, URLPattern):
            yield address, pattern.callback
        else:
            yield from walk(pattern.url_patterns, address)


def get_methods(view):
    """Return the methods of the view: the actions of its route, and the handlers of its class."""
    return {name for name in METHODS if name in view.actions or hasattr(view.cls, name)}


ROUTES = {address: get_methods(view) for address, view in walk(urls.urlpatterns)}
OWN_ROWS, FOREIGN_ROWS = read_table(OWN), read_table(FOREIGN)


def tell(response):
    """Return the parts of a response to compare. Header values are left out, because the remaining limit changes."""
    return response.status_code, response.content, response["Content-Type"], tuple(response.headers)


def test_every_route_and_method_has_a_row():
    rows = {f"{method.upper()} {address}" for address, methods in ROUTES.items() for method in methods}

    assert set(OWN_ROWS) == rows
    assert set(FOREIGN_ROWS) == {row for row in rows if "{" in row or row.startswith("POST /invitations/")}


def test_own(world):
    statuses: dict[str, dict[str, int]] = {row: {} for row in OWN_ROWS}
    for row in OWN_ROWS:
        for name in PRINCIPALS.values():
            user = world.get_user(name)
            own = (world.acme.pk, world.get_id(row, world.acme, user), world.tokens[user])
            with undone():
                statuses[row][name] = status = world.ask(name, row, *own).status_code
                refused = status >= HTTPStatus.BAD_REQUEST
                reads = row.startswith("GET") or row.endswith("/preview")
                assert (snapshot() == world.rows) == (refused or reads), (row, name)
                # The answer to an invitation changes rows of the neighbour.
                if not refused and not row.endswith(("/accept", "/decline")):
                    assert snapshot(world.neighbour) == world.neighbours_rows, (row, name)
                if row.startswith("GET"):
                    assert world.ask(name, row.replace("GET", "HEAD"), *own).status_code == status, (row, name)
    assert statuses == OWN_ROWS


def test_foreign(world):
    statuses: dict[str, dict[str, int]] = {row: {} for row in FOREIGN_ROWS}
    for row in FOREIGN_ROWS:
        foreign = (world.neighbour.pk, world.get_id(row, world.neighbour, world.stranger))
        for name in PRINCIPALS.values():
            # Use the invitation of another user.
            token = world.tokens[world.people["outsider" if name != "outsider" else "owner"]]
            with undone():
                response = world.ask(name, row, *foreign, token)
                statuses[row][name] = response.status_code
                if response.status_code >= HTTPStatus.BAD_REQUEST:
                    assert snapshot() == world.rows, (row, name)
                    never = [world.ask(name, row, *names, token) for names in NEVER]
                    assert {tell(answer) for answer in never} <= {tell(response)}, (row, name)
    assert statuses == FOREIGN_ROWS


def test_foreign_object_in_the_own_tree(world):
    """The response is a 404, or a 403 if the role is refused first. It is the same for foreign and for missing ids."""
    for row in FOREIGN_ROWS:
        if "{organization}" not in row or "{id}" not in row:
            continue
        foreign_id = world.get_id(row, world.neighbour, world.stranger)
        for name, own_status in OWN_ROWS[row].items():
            response = world.ask(name, row, world.acme.pk, foreign_id)

            refusals = {HTTPStatus.NOT_FOUND, own_status} - {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT}
            assert response.status_code in refusals, (row, name)
            never = {tell(world.ask(name, row, world.acme.pk, id)) for _, id in NEVER}
            assert never == {tell(response)}, (row, name)
    assert snapshot() == world.rows


def test_other_methods(world):
    """Methods without a row are refused, also ``OPTIONS``: it would expose serializers and choices."""
    for address, methods in ROUTES.items():
        ids = (world.acme.pk, world.get_id("GET " + address, world.acme, world.people["owner"]))
        for method in {*METHODS, "options"} - methods:
            row = f"{method.upper()} {address}"
            for name in ("anonymous", "owner", "root", "csb", "cpk"):
                response = world.ask(name, row, *ids)
                assert response.status_code >= HTTPStatus.UNAUTHORIZED, (row, name)
                if name in ("owner", "root"):
                    assert response.status_code == HTTPStatus.METHOD_NOT_ALLOWED, (row, name)
    assert snapshot() == world.rows
