"""Every principal on every route of the host's API and of the management API, in its own organization and in a foreign one."""

import json
from urllib.parse import quote, unquote

import pytest
from django.core.cache import cache
from django.db import transaction
from django.urls import URLResolver, resolve
from rest_framework.test import APIClient

import closient_auth.urls
import tracker.urls
from closient_auth.models import ApiKey
from closient_auth.models import Organization as Anchor
from tenancy.models import Membership, Organization
from tracker.models import Project, Report, Tag

# The bodies of the requests that have one.
BODIES = {
    "POST organizations": {"name": "New"},
    "POST projects": {"name": "new"},
    "PATCH project": {"name": "new"},
    "POST reports": {"title": "new"},
    "PATCH report": {"title": "new"},
    "POST tags": {"name": "new"},
    "POST me/keys": {"name": "new"},
    "PATCH me/keys/key": {"name": "new"},
    "POST me/keys/key/rotate": {},
    "POST account/organizations": {"name": "New"},
    "PATCH organization/name": {"name": "New"},
    "PATCH organization": {"user_keys_allowed": False},
    "POST keys": {"prefix": "csb"},
    "PATCH key": {"name": "new"},
    "POST key/rotate": {},
    "PATCH user-key": {"shut_out": True},
    "PATCH member": {"role": "owner"},
    "POST invitations": {"email": "new@advisories.example"},
    "POST invitation/resend": {},
    "POST accept": {"token": "x"},
    "POST decline": {"token": "x"},
    "POST preview": {"token": "x"},
}
PATHS = {
    "organizations": "/api/organizations",
    "projects": "/api/organizations/{o}/projects",
    "project": "/api/organizations/{o}/projects/{project}",
    "reports": "/api/organizations/{o}/projects/{project}/reports",
    "report": "/api/organizations/{o}/projects/{project}/reports/{report}",
    "tags": "/api/organizations/{o}/tags",
    "tag": "/api/organizations/{o}/tags/{tag}",
    "me": "/api/account/me",
    "me/key": "/api/account/me/key",
    "me/keys": "/api/account/me/keys",
    "me/keys/key": "/api/account/me/keys/{csu}",
    "me/keys/key/rotate": "/api/account/me/keys/{csu}/rotate",
    "account/organizations": "/api/account/organizations",
    "organization": "/api/account/organizations/{o}",
    "organization/name": "/api/account/organizations/{o}",
    "keys": "/api/account/organizations/{o}/keys",
    "key": "/api/account/organizations/{o}/keys/{csb}",
    "key/rotate": "/api/account/organizations/{o}/keys/{csb}/rotate",
    "user-keys": "/api/account/organizations/{o}/user-keys",
    "user-key": "/api/account/organizations/{o}/user-keys/{csu}",
    "audit": "/api/account/organizations/{o}/audit",
    "usage": "/api/account/organizations/{o}/usage",
    "key/usage": "/api/account/organizations/{o}/keys/{csb}/usage",
    "members": "/api/account/organizations/{o}/members",
    "member": "/api/account/organizations/{o}/members/{membership}",
    "member/offboarding": "/api/account/organizations/{o}/members/{membership}/offboarding",
    "invitations": "/api/account/organizations/{o}/invitations",
    "invitation": "/api/account/organizations/{o}/invitations/{membership}",
    "invitation/resend": "/api/account/organizations/{o}/invitations/{membership}/resend",
    "accept": "/api/account/invitations/accept",
    "decline": "/api/account/invitations/decline",
    "preview": "/api/account/invitations/preview",
    "own-invitations": "/api/account/me/invitations",
}

# A cell is the status and a letter for the reason. A hyphen stands for the page of Django, which has no such route.
REASONS = {
    "a": "not_authenticated",
    "k": "invalid_api_key",
    "p": "permission_denied",
    "s": "session_required",
    "c": "publishable_key_refused",
    "y": "api_key_required",
}
PRINCIPALS = {
    "csb": "business key of Acme",
    "rival": "business key of the rival",
    "csu-o": "user key of the owner",
    "csu-m": "user key of the member",
    "csu-i": "user key of the invitee",
    "csu-x": "user key of the outsider",
    "cpk": "publishable key of Acme",
    "owner": "session of the owner",
    "mem": "session of the member",
    "inv": "session of the invitee",
    "out": "session of the outsider",
    "super": "session of the superuser",
    "anon": "no credential",
    "gone": "revoked business key of Acme",
}
# Routes without an organization. The organizations are those of the host and those of the package.
ANYWHERE = """
                               csb rival csu-o csu-m csu-i csu-x   cpk owner   mem   inv   out super  anon  gone
GET    organizations          401a  401a  401a  401a  401a  401a  401a   200   200   200   200   200  401a  401a
POST   organizations          401a  401a  401a  401a  401a  401a  401a   201   201   201   201   201  401a  401a
GET    me                      200   200   200   200   200   200   200   200   200   200   200   200  401a  401k
DELETE me/key                  204   204   204   204   204   204  403c  403y  403y  403y  403y  403y  401a  401k
GET    me/keys                403s  403s  403s  403s  403s  403s  403c   200   200   200   200   200  401a  401k
POST   me/keys                403s  403s  403s  403s  403s  403s  403c   201   201   201   201   201  401a  401k
GET    account/organizations   200   200   200   200   200   200  403c   200   200   200   200   200  401a  401k
POST   account/organizations  403s  403s  403s  403s  403s  403s  403c   405   405   405   405   405  401a  401k
"""
# Acme in the URL, and its rows.
OWN = """
                               csb rival csu-o csu-m csu-i csu-x   cpk owner   mem   inv   out super  anon  gone
GET    projects                200   404   200   200   404   404  403c   200   200   404   404   200  401a  401k
POST   projects                201   404   201   201   404   404  403c   201   201   404   404   201  401a  401k
GET    project                 200   404   200   200   404   404  403c   200   200   404   404   200  401a  401k
PATCH  project                 200   404   200   200   404   404  403c   200   200   404   404   200  401a  401k
DELETE project                 204   404   204  403p   404   404  403c   204  403p   404   404   204  401a  401k
GET    reports                 200   404   200   200   404   404  403c   200   200   404   404   200  401a  401k
POST   reports                 201   404   201   201   404   404  403c   201   201   404   404   201  401a  401k
GET    report                  200   404   200   200   404   404  403c   200   200   404   404   200  401a  401k
PATCH  report                  200   404   200   200   404   404  403c   200   200   404   404   200  401a  401k
DELETE report                  204   404   204   204   404   404  403c   204   204   404   404   204  401a  401k
GET    tags                    200   404   200   200   404   404   200   200   200   404   404   200  401a  401k
POST   tags                    201   404   201   201   404   404  403c   201   201   404   404   201  401a  401k
DELETE tag                     204   404   204  403p   404   404  403c   204  403p   404   404   204  401a  401k
GET    me/keys/key            403s  403s  403s  403s  403s  403s  403c   200   404   404   404   404  401a  401k
PATCH  me/keys/key            403s  403s  403s  403s  403s  403s  403c   200   404   404   404   404  401a  401k
DELETE me/keys/key            403s  403s  403s  403s  403s  403s  403c   204   404   404   404   404  401a  401k
POST   me/keys/key/rotate     403s  403s  403s  403s  403s  403s  403c   201   404   404   404   404  401a  401k
GET    organization            200   404   200   200   404   404  403c   200   200   404   404   200  401a  401k
PATCH  organization           403s  403s  403s  403s  403s  403s  403c   200  403p   404   404   200  401a  401k
PATCH  organization/name      403s  403s  403s  403s  403s  403s  403c   400  403p   404   404   400  401a  401k
DELETE organization           403s  403s  403s  403s  403s  403s  403c   405   405   404   404   405  401a  401k
GET    keys                    200   404   200  403p   404   404  403c   200  403p   404   404   200  401a  401k
POST   keys                   403s  403s  403s  403s  403s  403s  403c   201  403p   404   404   201  401a  401k
GET    key                     200   404   200  403p   404   404  403c   200  403p   404   404   200  401a  401k
GET    key/usage               200   404   200  403p   404   404  403c   200  403p   404   404   200  401a  401k
PATCH  key                    403s  403s  403s  403s  403s  403s  403c   200  403p   404   404   200  401a  401k
DELETE key                    403s  403s  403s  403s  403s  403s  403c   204  403p   404   404   204  401a  401k
POST   key/rotate             403s  403s  403s  403s  403s  403s  403c   201  403p   404   404   201  401a  401k
GET    user-keys               200   404   200  403p   404   404  403c   200  403p   404   404   200  401a  401k
GET    user-key                200   404   200  403p   404   404  403c   200  403p   404   404   200  401a  401k
PATCH  user-key               403s  403s  403s  403s  403s  403s  403c   200  403p   404   404   200  401a  401k
GET    audit                   200   404   200  403p   404   404  403c   200  403p   404   404   200  401a  401k
GET    usage                   200   404   200  403p   404   404  403c   200  403p   404   404   200  401a  401k
"""
# The rival in the URL, and its rows.
FOREIGN = """
                               csb rival csu-o csu-m csu-i csu-x   cpk owner   mem   inv   out super  anon  gone
GET    projects                404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
POST   projects                404   201   404   404   404   404  403c   404   404   404   404   201  401a  401k
GET    project                 404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
PATCH  project                 404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
DELETE project                 404   204   404   404   404   404  403c   404   404   404   404   204  401a  401k
GET    reports                 404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
POST   reports                 404   201   404   404   404   404  403c   404   404   404   404   201  401a  401k
GET    report                  404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
PATCH  report                  404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
DELETE report                  404   204   404   404   404   404  403c   404   404   404   404   204  401a  401k
GET    tags                    404   200   404   404   404   404   404   404   404   404   404   200  401a  401k
POST   tags                    404   201   404   404   404   404  403c   404   404   404   404   201  401a  401k
DELETE tag                     404   204   404   404   404   404  403c   404   404   404   404   204  401a  401k
GET    me/keys/key            403s  403s  403s  403s  403s  403s  403c   404   404   404   404   404  401a  401k
PATCH  me/keys/key            403s  403s  403s  403s  403s  403s  403c   404   404   404   404   404  401a  401k
DELETE me/keys/key            403s  403s  403s  403s  403s  403s  403c   404   404   404   404   404  401a  401k
POST   me/keys/key/rotate     403s  403s  403s  403s  403s  403s  403c   404   404   404   404   404  401a  401k
GET    organization            404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
PATCH  organization           403s  403s  403s  403s  403s  403s  403c   404   404   404   404   200  401a  401k
PATCH  organization/name      403s  403s  403s  403s  403s  403s  403c   404   404   404   404   400  401a  401k
DELETE organization           403s  403s  403s  403s  403s  403s  403c   404   404   404   404   405  401a  401k
GET    keys                    404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
POST   keys                   403s  403s  403s  403s  403s  403s  403c   404   404   404   404   201  401a  401k
GET    key                     404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
GET    key/usage               404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
PATCH  key                    403s  403s  403s  403s  403s  403s  403c   404   404   404   404   200  401a  401k
DELETE key                    403s  403s  403s  403s  403s  403s  403c   404   404   404   404   204  401a  401k
POST   key/rotate             403s  403s  403s  403s  403s  403s  403c   404   404   404   404   201  401a  401k
GET    user-keys               404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
GET    user-key                404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
PATCH  user-key               403s  403s  403s  403s  403s  403s  403c   404   404   404   404   200  401a  401k
GET    audit                   404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
GET    usage                   404   200   404   404   404   404  403c   404   404   404   404   200  401a  401k
"""
# Acme in the URL, and rows of the rival.
CROSSED = """
                               csb rival csu-o csu-m csu-i csu-x   cpk owner   mem   inv   out super  anon  gone
GET    project                 404   404   404   404   404   404  403c   404   404   404   404   404  401a  401k
PATCH  project                 404   404   404   404   404   404  403c   404   404   404   404   404  401a  401k
DELETE project                 404   404   404  403p   404   404  403c   404  403p   404   404   404  401a  401k
GET    reports                 404   404   404   404   404   404  403c   404   404   404   404   404  401a  401k
POST   reports                 404   404   404   404   404   404  403c   404   404   404   404   404  401a  401k
GET    report                  404   404   404   404   404   404  403c   404   404   404   404   404  401a  401k
PATCH  report                  404   404   404   404   404   404  403c   404   404   404   404   404  401a  401k
DELETE report                  404   404   404   404   404   404  403c   404   404   404   404   404  401a  401k
DELETE tag                     404   404   404  403p   404   404  403c   404  403p   404   404   404  401a  401k
GET    key                     404   404   404  403p   404   404  403c   404  403p   404   404   404  401a  401k
GET    key/usage               404   404   404  403p   404   404  403c   404  403p   404   404   404  401a  401k
PATCH  key                    403s  403s  403s  403s  403s  403s  403c   404  403p   404   404   404  401a  401k
DELETE key                    403s  403s  403s  403s  403s  403s  403c   404  403p   404   404   404  401a  401k
POST   key/rotate             403s  403s  403s  403s  403s  403s  403c   404  403p   404   404   404  401a  401k
GET    user-key                404   404   404  403p   404   404  403c   404  403p   404   404   404  401a  401k
PATCH  user-key               403s  403s  403s  403s  403s  403s  403c   404  403p   404   404   404  401a  401k
"""
# The project has members, invitations and organizations of its own, so these routes do not exist.
ABSENT = [
    "GET members",
    "GET member",
    "PATCH member",
    "DELETE member",
    "GET member/offboarding",
    "GET invitations",
    "POST invitations",
    "GET invitation",
    "DELETE invitation",
    "POST invitation/resend",
    "POST accept",
    "POST decline",
    "POST preview",
    "GET own-invitations",
]


def read(table):
    header, *lines = table.strip().splitlines()
    rows = [line.split() for line in lines]
    return {f"{row[0]} {row[1]}": dict(zip(header.split(), row[2:], strict=True)) for row in rows}


TABLES = {
    "anywhere": read(ANYWHERE),
    "own": read(OWN),
    "foreign": read(FOREIGN),
    "crossed": read(CROSSED),
    "absent": {route: dict.fromkeys(PRINCIPALS, "404-") for route in ABSENT},
}


@pytest.fixture
def principals(world, acme, rival):
    """Return the headers or the user of each principal."""
    keys = {
        "csb": world.make_key("csb", acme),
        "rival": world.make_key("csb", rival),
        "csu-o": world.make_key("csu", "owner"),
        "csu-m": world.make_key("csu", "member"),
        "csu-i": world.make_key("csu", "invitee"),
        "csu-x": world.make_key("csu", "outsider"),
        "cpk": world.make_key("cpk", acme),
        "gone": world.make_key("csb", acme),
    }
    keys["gone"][0].revoke()
    sessions = {"owner": "owner", "mem": "member", "inv": "invitee", "out": "outsider", "super": "superuser"}
    return {
        **{name: {"X-API-Key": raw_key} for name, (_, raw_key) in keys.items()},
        **{name: world.users[user] for name, user in sessions.items()},
        "anon": {},
    }


@pytest.fixture
def rows(world, acme, rival, principals):
    """Return the ids in the paths, by scope."""

    def get_ids(organization, owner):
        project, report, tag = world.make_rows(organization)
        return {
            "o": quote(organization.name),
            "project": project.pk,
            "report": report.pk,
            "tag": tag.pk,
            "csb": world.make_key("csb", organization)[0].pk,
            "csu": ApiKey.objects.filter(user=world.users[owner]).first().pk,
            "membership": organization.memberships.get(user=world.users[owner]).pk,
        }

    world.make_key("csu", "rival")
    own, foreign = get_ids(acme, "owner"), get_ids(rival, "rival")
    return {"anywhere": own, "own": own, "foreign": foreign, "crossed": {**foreign, "o": own["o"]}, "absent": own}


def take_snapshot():
    """Return all rows by model and primary key, each with the id of its organization."""
    paths = {
        Organization: "pk",
        Anchor: "pk",
        Membership: "organization",
        Project: "organization",
        Tag: "organization",
        Report: "project__organization",
        Report.tags.through: "report__project__organization",
        ApiKey: "organization",
    }
    snapshot = {}
    for model, path in paths.items():
        # The use of a key is recorded even if the request is refused then.
        fields = [
            field.attname for field in model._meta.fields if field.name not in ("last_used", "exposure_reported_at")
        ]
        for organization, pk, *values in model.objects.values_list(path, "pk", *fields):
            snapshot[model, pk] = (organization, values)
    return snapshot


def compare(before, after):
    """Return the rows that differ, each with the ids of its organizations before and after."""
    return {
        row: {snapshot[row][0] for snapshot in (before, after) if row in snapshot}
        for row in {**before, **after}
        if before.get(row) != after.get(row)
    }


@pytest.fixture
def ask(principals, rows):
    """Return a function to get the response to a principal on a route."""

    def ask(scope, route, principal):
        method, name = route.split()
        client, headers = APIClient(), {}
        if isinstance(principals[principal], dict):
            headers = principals[principal]
        else:
            client.force_login(principals[principal])
        body = json.dumps(BODIES[route]) if route in BODIES else ""
        path = PATHS[name].format(**rows[scope])
        return client.generic(method, path, body, content_type="application/json", headers=headers)

    return ask


def describe(response):
    """Return the cell of a response."""
    status = str(response.status_code)
    if response.status_code == 404 and response["Content-Type"].startswith("text/html"):
        return f"{status}-"
    if response.status_code in (401, 403):
        # The host's own views have no code.
        code = response.data.get("code", response.data["detail"].code)
        return status + {code: letter for letter, code in REASONS.items()}[code]
    return status


@pytest.mark.parametrize("scope", TABLES)
@pytest.mark.parametrize("principal", PRINCIPALS)
def test_matrix(acme, rival, principals, ask, scope, principal):
    other = acme if scope == "foreign" else rival
    may_read_rival = principal == "rival" or (principal, scope) == ("super", "foreign")
    before = take_snapshot()
    found = {}
    for route in TABLES[scope]:
        with transaction.atomic():
            response = ask(scope, route, principal)
            touched = {} if route.startswith("GET ") else compare(before, take_snapshot())
            if route == "DELETE me/key" and response.status_code == 204:
                # The key itself is revoked, and nothing else.
                ((model, pk),) = touched
                assert model.objects.get(pk=pk).hint in principals[principal]["X-API-Key"]
            else:
                assert not any(other.pk in organizations for organizations in touched.values()), route
                assert response.status_code < 400 or not touched, route
            transaction.set_rollback(True)
        # The names of all rows of the rival end with its name.
        assert may_read_rival or rival.name not in response.content.decode(), route
        cache.clear()
        found[route] = describe(response)

    assert found == {route: row[principal] for route, row in TABLES[scope].items()}


def list_routes(patterns):
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from list_routes(pattern.url_patterns)
        else:
            view = pattern.callback
            # Viewsets answer HEAD like GET.
            for method in {*(getattr(view, "actions", None) or ["get", "post"])} - {"head"}:
                yield method.upper(), pattern.name


def test_tables_have_all_routes(rows):
    mounted = {*list_routes(tracker.urls.urlpatterns), *list_routes(closient_auth.urls.urlpatterns)}
    routes = [route.split() for name in ("anywhere", "own", "foreign") for route in TABLES[name]]
    tested = {(method, resolve(unquote(PATHS[name].format(**rows["own"]))).url_name) for method, name in routes}

    refused = {("POST", "organization-list"), ("DELETE", "organization-detail")}
    assert tested - refused == mounted
    assert TABLES["own"].keys() == TABLES["foreign"].keys() > TABLES["crossed"].keys()


def test_name_of_an_organization_is_the_hosts(acme, ask):
    refused = ask("own", "PATCH organization/name", "owner")

    assert (refused.status_code, list(refused.data)) == (400, ["name"])
    assert Organization.objects.get(pk=acme.pk).name == Anchor.objects.get(pk=acme.pk).name == "Acme Inc. Berlin"
