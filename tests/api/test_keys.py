from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from closient_auth.keys import hash_api_key, verify_api_key
from closient_auth.models import ApiKey, AuditEntry
from closient_auth.roles import ROLE_PERMISSIONS, Role
from tests.factories import make_key

FUTURE = "2050-01-31T12:00:00Z"


@pytest.fixture
def key(acme):
    return make_key(organization=acme, name="Shop")[0]


def test_create_shows_the_key_once(send, call, tree, acme, people):
    body = {"prefix": "csb", "name": "Shop", "expires_at": "2050-01-31T14:00:00+02:00", "rate_limit_per_minute": 5}

    response = send("manager", "post", f"{tree}/keys", body)

    assert response.status_code == HTTPStatus.CREATED
    assert response["Cache-Control"] == "private, no-store"
    created = response.json()
    raw_key = created.pop("key")
    key = ApiKey.objects.get()
    assert verify_api_key(raw_key)
    assert (key.hashed_key, key.organization, key.created_by) == (hash_api_key(raw_key), acme, people["manager"])
    assert created == {
        "id": str(key.pk),
        "prefix": "csb",
        "hint": key.hint,
        "name": "Shop",
        "description": "",
        "state": "active",
        "expires_at": FUTURE,
        "rate_limit_per_minute": 5,
        "rate_limit_per_day": 0,
        # A Manager cannot give the permission that only Owners have.
        "permissions": sorted(ROLE_PERMISSIONS[Role.MANAGER]),
        "restricted_to": None,
        "allowed_networks": [],
        "allowed_origins": [],
        "created_by": "manager",
        "created_at": created["created_at"],
        "last_used": None,
        "rotated_from": None,
    }
    assert created["created_at"].endswith("Z")
    assert send("manager", "get", f"{tree}/keys/{key.pk}").json() == created
    assert send("manager", "get", f"{tree}/keys").json()["results"] == [created]
    assert call("/me", raw_key).status_code == HTTPStatus.OK
    entry = AuditEntry.objects.get(event="api_key_created")
    assert (entry.user, entry.organization_id, entry.address) == (people["manager"], acme.pk, "127.0.0.1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("organization", "x"),
        ("user", 1),
        ("is_active", True),
        ("hashed_key", "0" * 64),
        ("created_by", 1),
        ("last_used", FUTURE),
        ("key", "csb_"),
        ("nonsense", 1),
        ("prefix", "csu"),
        ("prefix", "abc"),
        ("name", "x" * 256),
        ("name", "a\0b"),
        ("name", 1),
        ("description", 1.5),
        ("description", "x" * 256),
        ("expires_at", "2050-01-31T12:00:00"),
        ("expires_at", "2050-01-31"),
        ("expires_at", "2020-01-31T12:00:00Z"),
        ("expires_at", "9999-12-31T23:59:59-12:00"),
        ("rate_limit_per_minute", -1),
        ("rate_limit_per_day", 2**31),
        ("permissions", "organization.view_organization"),
        ("permissions", ["organization.view"]),
        ("permissions", [1]),
        ("permissions", [None]),
        ("permissions", {"organization.view_organization": True}),
        ("allowed_networks", None),
        ("allowed_networks", "203.0.113.0/24"),
        ("allowed_networks", ["203.0.113.1/24"]),
        ("allowed_networks", ["example.com"]),
        ("allowed_networks", [1]),
        ("allowed_networks", ["203.0.113.0/24"] * 101),
        # Only publishable keys have origins, and only user keys are restricted to an organization.
        ("allowed_origins", ["https://www.example.com"]),
        ("allowed_origins", None),
        ("allowed_origins", ["www.example.com"]),
        ("restricted_to", "ffffffff-ffff-4fff-bfff-ffffffffffff"),
        ("restricted_to", 1),
    ],
)
def test_body_that_cannot_be(send, tree, key, field, value):
    before = ApiKey.objects.values().get()
    for method, address in (("post", f"{tree}/keys"), ("patch", f"{tree}/keys/{key.pk}")):
        response = send(
            "owner", method, address, {"prefix": "csb", field: value} if method == "post" else {field: value}
        )
        assert (response.status_code, set(response.json())) == (HTTPStatus.BAD_REQUEST, {field})
    assert ApiKey.objects.values().get() == before


@pytest.mark.parametrize("body", [None, [], "csb", 1])
def test_body_that_is_no_object(send, tree, body):
    assert send("owner", "post", f"{tree}/keys", body).status_code == HTTPStatus.BAD_REQUEST
    assert not ApiKey.objects.exists()


def test_change(send, tree, key):
    neighbour = make_key(organization=key.organization)[0]
    before = ApiKey.objects.values().get(pk=neighbour.pk)
    body = {
        "name": "Till",
        "description": "4",
        "expires_at": FUTURE,
        "rate_limit_per_minute": 1,
        "rate_limit_per_day": 2,
    }

    response = send("manager", "patch", f"{tree}/keys/{key.pk}", body)

    assert {name: response.json()[name] for name in body} == body
    assert send("manager", "get", f"{tree}/keys/{key.pk}").json() == response.json()
    assert send("manager", "patch", f"{tree}/keys/{key.pk}", {"expires_at": None}).json()["expires_at"] is None
    assert send("manager", "patch", f"{tree}/keys/{key.pk}", {}).status_code == HTTPStatus.OK
    assert ApiKey.objects.values().get(pk=neighbour.pk) == before


def test_expired_key_lives_again(send, call, tree, acme):
    """A new expiry reactivates an expired key, but not a revoked one."""
    expired = datetime(2020, 1, 1, tzinfo=UTC)
    key, raw_key = make_key(organization=acme, expires_at=expired)
    neighbour, _ = make_key(organization=acme, expires_at=expired)
    revoked, revoked_raw = make_key(organization=acme, expires_at=expired)
    revoked.revoke()
    assert call("/me", raw_key).status_code == HTTPStatus.UNAUTHORIZED

    for expires_at in (FUTURE, None):
        response = send("manager", "patch", f"{tree}/keys/{key.pk}", {"expires_at": expires_at})
        assert (response.json()["state"], response.json()["expires_at"]) == ("active", expires_at)
        assert call("/me", raw_key).status_code == HTTPStatus.OK
        assert (
            send("manager", "patch", f"{tree}/keys/{revoked.pk}", {"expires_at": expires_at}).json()["state"]
            == "revoked"
        )
        assert call("/me", revoked_raw).status_code == HTTPStatus.UNAUTHORIZED
    assert ApiKey.objects.get(pk=neighbour.pk).state == "expired"


def test_revoke_twice(send, tree, key):
    for _ in range(2):
        assert send("manager", "delete", f"{tree}/keys/{key.pk}").status_code == HTTPStatus.NO_CONTENT

    assert send("manager", "get", f"{tree}/keys/{key.pk}").json()["state"] == "revoked"
    assert AuditEntry.objects.filter(event="api_key_revoked").count() == 1


def test_rotate(send, call, tree, acme):
    key, old_raw = make_key(organization=acme, name="Shop", rate_limit_per_minute=3)
    assert call("/me", old_raw)["RateLimit-Remaining"] == "2"

    response = send("manager", "post", f"{tree}/keys/{key.pk}/rotate", {"grace_seconds": 3600})

    assert response.status_code == HTTPStatus.CREATED
    assert (response.json()["rotated_from"], response.json()["name"]) == (str(key.pk), "Shop")
    # Both keys share one window.
    assert call("/me", response.json()["key"])["RateLimit-Remaining"] == "1"
    assert call("/me", old_raw)["RateLimit-Remaining"] == "0"
    assert call("/me", response.json()["key"]).status_code == HTTPStatus.TOO_MANY_REQUESTS
    again = send("manager", "post", f"{tree}/keys/{key.pk}/rotate", {})
    assert (again.status_code, again.json()["code"]) == (HTTPStatus.CONFLICT, "already_rotated")
    longer = send("manager", "patch", f"{tree}/keys/{key.pk}", {"expires_at": None})
    assert (longer.status_code, set(longer.json())) == (HTTPStatus.BAD_REQUEST, {"expires_at"})


def test_rotate_without_grace(send, call, tree, acme):
    key, old_raw = make_key(organization=acme)

    response = send("manager", "post", f"{tree}/keys/{key.pk}/rotate")

    assert call("/me", old_raw).status_code == HTTPStatus.UNAUTHORIZED
    assert call("/me", response.json()["key"]).status_code == HTTPStatus.OK
    again = send("manager", "post", f"{tree}/keys/{key.pk}/rotate")
    assert (again.status_code, again.json()["code"]) == (HTTPStatus.CONFLICT, "not_active")


@pytest.mark.parametrize("grace", [-1, 7 * 86400 + 1, "soon"])
def test_grace_that_cannot_be(send, tree, key, grace):
    response = send("manager", "post", f"{tree}/keys/{key.pk}/rotate", {"grace_seconds": grace})

    assert (response.status_code, set(response.json())) == (HTTPStatus.BAD_REQUEST, {"grace_seconds"})
    assert ApiKey.objects.get().is_active


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"used", "cpk", "new", "revoked"}),
        ("prefix=cpk", {"cpk"}),
        ("state=revoked", {"revoked"}),
        ("state=active&prefix=csb", {"used", "new"}),
        ("unused_since=2030-06-01T00:00:00Z", {"cpk", "revoked"}),
        ("unused_since=2030-06-01T00:00:00%2B00:00&state=active", {"cpk"}),
    ],
)
def test_filters(send, tree, acme, query, found):
    keys = {
        name: make_key("cpk" if name == "cpk" else "csb", organization=acme, name=name)[0]
        for name in ("used", "cpk", "new", "revoked")
    }
    old = datetime(2030, 1, 1, tzinfo=UTC)
    ApiKey.objects.update(created_at=old)
    ApiKey.objects.filter(pk=keys["used"].pk).update(last_used=old + timedelta(days=200))
    ApiKey.objects.filter(pk=keys["new"].pk).update(created_at=old + timedelta(days=200))
    keys["revoked"].revoke()

    assert {row["name"] for row in send("owner", "get", f"{tree}/keys?{query}").json()["results"]} == found


@pytest.mark.parametrize(
    "query",
    [
        "prefix=abc",
        "state=dead",
        "unused_since=yesterday",
        "unused_since=2030-01-01T00:00:00",
        "page=",
        "page=0",
        "page=last",
        "page_size=",
        "page_size=0",
        "page_size=all",
    ],
)
def test_filter_that_cannot_be(send, tree, query):
    response = send("owner", "get", f"{tree}/keys?{query}")

    assert (response.status_code, list(response.json())) == (HTTPStatus.BAD_REQUEST, [query.partition("=")[0]])


def test_pages(send, tree, acme, people):
    def count_queries():
        with CaptureQueriesContext(connection) as queries:
            send("owner", "get", f"{tree}/keys?page_size=100")
        return len(queries)

    make_key(organization=acme, created_by=people["owner"])
    few = count_queries()
    for _ in range(100):
        make_key(organization=acme, created_by=people["owner"])

    assert count_queries() == few
    first = send("owner", "get", f"{tree}/keys").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (101, 25, None)
    assert len(send("owner", "get", f"{tree}/keys?page_size=1000").json()["results"]) == 100
    ids = [
        row["id"] for page in range(1, 6) for row in send("owner", "get", f"{tree}/keys?page={page}").json()["results"]
    ]
    assert len(set(ids)) == 101
    assert send("owner", "get", f"{tree}/keys?page=7").status_code == HTTPStatus.NOT_FOUND


def test_times_without_use_tz(send, tree, settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "America/New_York"

    created = send("owner", "post", f"{tree}/keys", {"prefix": "csb", "expires_at": "2050-01-31T12:00:00Z"}).json()

    assert ApiKey.objects.get().expires_at == datetime(2050, 1, 31, 7)
    assert created["expires_at"] == "2050-01-31T12:00:00Z"
    assert send("owner", "get", f"{tree}/keys/{created['id']}").json()["expires_at"] == "2050-01-31T12:00:00Z"
    past = send("owner", "patch", f"{tree}/keys/{created['id']}", {"expires_at": "2020-01-31T12:00:00Z"})
    assert past.json().keys() == {"expires_at"}
