"""The response to every address of the dashboard for each principal, and the same table of the management API."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from closient_auth.dashboard.join import get_mark
from tests.api import test_matrix as api
from tests.api.world import snapshot, undone
from tests.dashboard.routes import ROUTES
from tests.dashboard.world import PRINCIPALS, SETTINGS, World

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

# ``in`` is a redirect to the login. The last columns are keys in the header, which no page takes: those without a session are
# nobody, and the Editor with the Owner's key is the Editor.
COLUMNS = dict(zip(["ano", "out", "edi", "bil", "man", "own", "sup", "csb", "csu", "e+k"], PRINCIPALS, strict=True))
OWN = """
address                      ano out edi bil man own sup csb csu e+k
GET  home                    in  200 200 200 200 200 200 in  in  200
POST sign-out                in  302 302 302 302 302 302 in  in  302
GET  organization-new        in  200 200 200 200 200 200 in  in  200
POST organization-new        in  302 302 302 302 302 302 in  in  302
GET  own-keys                in  200 200 200 200 200 200 in  in  200
GET  own-key-new             in  200 200 200 200 200 200 in  in  200
POST own-key-new             in  200 200 200 200 200 200 in  in  200
GET  own-leaked              in  200 200 200 200 200 200 in  in  200
POST own-leaked              in  200 200 200 200 200 200 in  in  200
GET  own-key                 in  200 200 200 200 200 200 in  in  200
POST own-key                 in  302 302 302 302 302 302 in  in  302
GET  own-key-rotate          in  200 200 200 200 200 200 in  in  200
POST own-key-rotate          in  200 200 200 200 200 200 in  in  200
GET  own-key-revoke          in  200 200 200 200 200 200 in  in  200
POST own-key-revoke          in  302 302 302 302 302 302 in  in  302
GET  join                    302 302 302 302 302 302 302 302 302 302
GET  invitation              200 200 200 200 200 200 200 200 200 200
POST invitation              in  302 302 302 302 302 302 in  in  302
POST invitation-decline      in  302 302 302 302 302 302 in  in  302
GET  invitation-code         in  200 200 200 200 200 200 in  in  200
POST invitation-code         in  302 302 302 302 302 302 in  in  302
POST own-invitation-accept   in  302 302 302 302 302 302 in  in  302
POST own-invitation-decline  in  302 302 302 302 302 302 in  in  302
GET  organization            in  404 302 302 302 302 302 in  in  302
GET  keys                    in  404 403 403 200 200 200 in  in  403
GET  key-new                 in  404 403 403 200 200 200 in  in  403
POST key-new                 in  404 403 403 200 200 200 in  in  403
GET  leaked                  in  404 403 403 200 200 200 in  in  403
POST leaked                  in  404 403 403 200 200 200 in  in  403
GET  key                     in  404 403 403 200 200 200 in  in  403
POST key                     in  404 403 403 302 302 302 in  in  403
GET  key-rotate              in  404 403 403 200 200 200 in  in  403
POST key-rotate              in  404 403 403 200 200 200 in  in  403
GET  key-revoke              in  404 403 403 200 200 200 in  in  403
POST key-revoke              in  404 403 403 302 302 302 in  in  403
GET  user-keys               in  404 403 403 200 200 200 in  in  403
POST user-keys               in  404 403 403 302 302 302 in  in  403
POST user-key-access         in  404 403 403 302 302 302 in  in  403
GET  usage                   in  404 403 403 200 200 200 in  in  403
GET  members                 in  404 200 200 200 200 200 in  in  200
GET  member-role             in  404 403 403 200 200 200 in  in  403
POST member-role             in  404 403 403 302 302 302 in  in  403
GET  member-remove           in  404 403 403 200 200 200 in  in  403
POST member-remove           in  404 403 403 302 302 302 in  in  403
GET  invitations             in  404 403 403 200 200 200 in  in  403
POST invitations             in  404 403 403 200 200 200 in  in  403
GET  invitation-resend       in  404 403 403 200 200 200 in  in  403
POST invitation-resend       in  404 403 403 200 200 200 in  in  403
GET  invitation-withdraw     in  404 403 403 200 200 200 in  in  403
POST invitation-withdraw     in  404 403 403 302 302 302 in  in  403
GET  audit                   in  404 403 403 200 200 200 in  in  403
GET  audit-csv               in  404 403 403 200 200 200 in  in  403
GET  settings                in  404 200 200 200 200 200 in  in  200
POST settings                in  404 403 403 403 302 302 in  in  403
GET  user-keys-allowed       in  404 403 403 200 200 200 in  in  403
POST user-keys-allowed       in  404 403 403 302 302 302 in  in  403
GET  leave                   in  404 200 200 200 200 404 in  in  200
POST leave                   in  404 302 302 302 302 404 in  in  302
GET  transfer                in  404 403 403 403 200 404 in  in  403
POST transfer                in  404 403 403 403 302 404 in  in  403
GET  delete                  in  404 403 403 403 200 200 in  in  403
POST delete                  in  404 403 403 403 302 302 in  in  403
"""
# In another organization, and with another person's key or invitation, everybody but superusers gets the 404 of a missing row.
# Responses to a ``POST`` that write nothing of this package: a search, the session, and a code that leads to its invitation.
READS = {"leaked", "own-leaked", "sign-out", "invitation-code"}
# By the address of the dashboard: the row of the API with the same rule.
SAME = {
    "POST organization-new": "POST /organizations",
    "GET own-keys": "GET /me/keys",
    "GET own-key-new": "POST /me/keys",
    "POST own-key-new": "POST /me/keys",
    "GET own-key": "GET /me/keys/{id}",
    "POST own-key": "PATCH /me/keys/{id}",
    "GET own-key-rotate": "POST /me/keys/{id}/rotate",
    "POST own-key-rotate": "POST /me/keys/{id}/rotate",
    "GET own-key-revoke": "DELETE /me/keys/{id}",
    "POST own-key-revoke": "DELETE /me/keys/{id}",
    "POST invitation": "POST /invitations/accept",
    "POST invitation-decline": "POST /invitations/decline",
    "POST own-invitation-accept": "POST /invitations/accept",
    "POST own-invitation-decline": "POST /invitations/decline",
    "GET organization": "GET /organizations/{organization}",
    "GET settings": "GET /organizations/{organization}",
    "POST settings": "PATCH /organizations/{organization}",
    "GET delete": "DELETE /organizations/{organization}",
    "POST delete": "DELETE /organizations/{organization}",
    "GET keys": "GET /organizations/{organization}/keys",
    "GET leaked": "GET /organizations/{organization}/keys",
    "POST leaked": "GET /organizations/{organization}/keys",
    "GET key-new": "POST /organizations/{organization}/keys",
    "POST key-new": "POST /organizations/{organization}/keys",
    "GET key": "GET /organizations/{organization}/keys/{id}",
    "POST key": "PATCH /organizations/{organization}/keys/{id}",
    "GET key-rotate": "POST /organizations/{organization}/keys/{id}/rotate",
    "POST key-rotate": "POST /organizations/{organization}/keys/{id}/rotate",
    "GET key-revoke": "DELETE /organizations/{organization}/keys/{id}",
    "POST key-revoke": "DELETE /organizations/{organization}/keys/{id}",
    "GET user-keys": "GET /organizations/{organization}/user-keys",
    "POST user-key-access": "PATCH /organizations/{organization}/user-keys/{id}",
    "GET usage": "GET /organizations/{organization}/usage",
    "GET members": "GET /organizations/{organization}/members",
    "GET member-role": "PATCH /organizations/{organization}/members/{id}",
    "POST member-role": "PATCH /organizations/{organization}/members/{id}",
    "GET member-remove": "GET /organizations/{organization}/members/{id}/offboarding",
    "POST member-remove": "DELETE /organizations/{organization}/members/{id}",
    "GET invitations": "GET /organizations/{organization}/invitations",
    "POST invitations": "POST /organizations/{organization}/invitations",
    "GET invitation-resend": "POST /organizations/{organization}/invitations/{id}/resend",
    "POST invitation-resend": "POST /organizations/{organization}/invitations/{id}/resend",
    "GET invitation-withdraw": "DELETE /organizations/{organization}/invitations/{id}",
    "POST invitation-withdraw": "DELETE /organizations/{organization}/invitations/{id}",
    "GET audit": "GET /organizations/{organization}/audit",
    "GET audit-csv": "GET /organizations/{organization}/audit",
}
# The API has no route, or decides by the body: user keys are allowed by whoever manages keys, and people leave with the
# ``DELETE`` of their own membership.
ALONE = {
    *("GET home", "POST sign-out", "GET organization-new", "GET own-leaked", "POST own-leaked"),
    *("GET join", "GET invitation", "GET invitation-code", "POST invitation-code"),
    *("POST user-keys", "GET user-keys-allowed", "POST user-keys-allowed"),
    *("GET leave", "POST leave", "GET transfer", "POST transfer"),
}


def read_table(text):
    """Return ``{"GET home": {principal: status}}``."""
    header, *lines = text.strip().splitlines()
    columns = [COLUMNS[name] for name in header.split()[1:]]
    rows = [line.split() for line in lines]
    table = {" ".join(row[:2]): dict(zip(columns, row[2:], strict=True)) for row in rows}
    assert len(table) == len(rows)
    return table


OWN_ROWS = read_table(OWN)
FOREIGN_ROWS = [row for row in OWN_ROWS if ROUTES[row.split()[1]].arguments & {"organization", "pk"}]


@pytest.fixture
def world(settings):
    settings.CLOSIENT_AUTH = SETTINGS
    return World()


def ask(world, row, person, organization, forms):
    """Return the response, with the data of the form that a person with all permissions sees there."""
    method, name = row.split()
    client, data = world.get_client(person), None
    if method == "POST":
        # Buttons without a page of their own send what the page around them contains.
        data = world.fill(name, forms[name][1], organization) if name in forms else {}
        if name.startswith("invitation"):
            client.get(world.get_address("join", person))
        if name in ("invitation", "invitation-decline"):
            # The mark of the invitation on the person's own page.
            data["shown"] = get_mark(client)
        if name == "leave":
            # The preview of the person's own membership.
            page = client.get(world.get_address(name, person, organization)).context
            data = {"shown": page["preview"].etag} if page and page.get("preview") else {}
    elif name == "invitation":
        client.get(world.get_address("join", person))
    return getattr(client, method.lower())(world.get_address(name, person, organization), data)


def tell(response):
    if response.status_code == HTTPStatus.FOUND and response["Location"].startswith("/login/?next="):
        return "in"
    return str(response.status_code)


def test_every_address_and_method_has_a_row():
    rows = {f"{method.upper()} {name}" for name, route in ROUTES.items() for method in route.methods}

    assert set(OWN_ROWS) == rows
    assert set(SAME) | ALONE == rows
    assert not set(SAME) & ALONE


def test_every_form_is_on_a_page(world):
    """What the tests send is what a page offers."""
    forms = world.find_forms()

    assert {name for name, route in ROUTES.items() if "post" in route.methods} - set(forms) == set()


def test_own(world):
    forms = world.find_forms()
    statuses: dict[str, dict[str, str]] = {row: {} for row in OWN_ROWS}
    before, neighbours = snapshot(), snapshot(world.neighbour)
    for row in OWN_ROWS:
        name = row.split()[1]
        for person in PRINCIPALS:
            with undone():
                response = ask(world, row, person, world.acme, forms)
                statuses[row][person] = status = tell(response)
                writes = row.startswith("POST") and name not in READS and status in ("200", "302")
                assert (snapshot() != before) == writes, (row, person, status)
                # Whoever answers an invitation of the neighbour changes the neighbour.
                if not (writes and "invitation" in name and "invitations" not in name):
                    assert snapshot(world.neighbour) == neighbours, (row, person)
    assert statuses == OWN_ROWS


def test_foreign(world):
    """Everybody but superusers gets the 404 of a missing row, and nothing changes. People without a session sign in first."""
    forms, before = world.find_forms("stranger", world.neighbour), snapshot()
    faults: list[str] = []
    for row in FOREIGN_ROWS:
        name = row.split()[1]
        for person in PRINCIPALS:
            with undone():
                status = tell(ask(world, row, person, world.neighbour, forms))
                expected = "in" if OWN_ROWS[row][person] == "in" else "404"
                if person == "root" and not name.startswith("own-"):
                    expected = OWN_ROWS[row][person]
                if status != expected:
                    faults.append(f"{row}: {person}: {status}, not {expected}")
                if person != "root":
                    assert snapshot() == before, (row, person)
    assert faults == []


def test_pages_agree_with_the_api():
    """A page refuses whoever the API refuses, for the same reason."""
    faults = []
    for row, other in SAME.items():
        for person in ("anonymous", "outsider", "editor", "billing", "manager", "owner", "root"):
            status = api.OWN_ROWS[other][person]
            expected = {401: ["in"], 403: ["403"], 404: ["404"]}.get(status, ["200", "302"])
            if OWN_ROWS[row][person] not in expected:
                faults.append(f"{row}: {person}: {OWN_ROWS[row][person]}, but {status} for {other}")
    assert faults == []
