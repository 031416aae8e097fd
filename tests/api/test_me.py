from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from unittest.mock import Mock

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from closient_auth.limits.windows import StoreUnavailable
from closient_auth.models import ApiKey, AuditEntry
from closient_auth.roles import ROLE_PERMISSIONS, Role
from tests.factories import MembershipFactory, make_key

VIEW = ["organization.view_organization"]


def test_session(send, people, acme):
    other = MembershipFactory.create(user=people["editor"], role="billing", organization__name="Zeta").organization

    response = send("editor", "get", "/me")

    assert response.json() == {
        "type": "user",
        "username": "editor",
        "key": None,
        "organizations": [
            {
                "id": str(acme.pk),
                "name": "Acme",
                "slug": "acme",
                "role": "editor",
                "permissions": sorted(ROLE_PERMISSIONS[Role.EDITOR]),
            },
            {
                "id": str(other.pk),
                "name": "Zeta",
                "slug": other.slug,
                "role": "billing",
                "permissions": sorted(ROLE_PERMISSIONS[Role.BILLING]),
            },
        ],
        "organizations_owned_alone": [],
    }
    assert response["Cache-Control"] == "private, no-store"
    assert "X-API-Key" in response["Vary"]


def test_user_key(call, people):
    _, raw_key = make_key("csu", user=people["root"])

    body = call("/me", raw_key).json()

    assert (body["type"], body["username"], body["key"]["prefix"], body["organizations"]) == ("user", "root", "csu", [])


def test_business_key(call, acme):
    expires_at = datetime(2050, 1, 31, 12, tzinfo=UTC)
    key, raw_key = make_key(
        organization=acme, name="Shop", expires_at=expires_at, rate_limit_per_minute=5, rate_limit_per_day=50
    )

    call("/me", raw_key)
    body = call("/me", raw_key).json()

    limits = body["key"].pop("limits")
    assert body == {
        "type": "organization",
        "username": None,
        "key": {
            "id": str(key.pk),
            "prefix": "csb",
            "hint": key.hint,
            "name": "Shop",
            "expires_at": "2050-01-31T12:00:00Z",
            "permissions": None,
            "restricted_to": None,
        },
        "organizations": [describe(acme, sorted(ROLE_PERMISSIONS[Role.OWNER]))],
        "organizations_owned_alone": [],
    }
    assert [(limit["limit"], limit["period"], limit["remaining"]) for limit in limits] == [(5, 60, 3), (50, 86400, 48)]
    assert all(0 < limit["reset"] <= limit["period"] for limit in limits)


def test_publishable_key_tells_only_its_organization(call, acme):
    """Every visitor of a page has its publishable key."""
    key, raw_key = make_key("cpk", organization=acme, name="Shop", rate_limit_per_minute=5)

    response = call("/me", raw_key)

    assert response.json() == {
        "type": "organization",
        "username": None,
        "key": None,
        "organizations": [describe(acme, VIEW)],
        "organizations_owned_alone": [],
    }
    assert not any(text in response.content.decode() for text in ("Shop", str(key.pk), key.hint))


def describe(organization, permissions):
    identity = {"id": str(organization.pk), "name": organization.name, "slug": organization.slug}
    return {**identity, "role": None, "permissions": permissions}


@pytest.mark.parametrize("with_key", [False, True])
def test_organizations_owned_alone(call, people, acme, with_key):
    owner = people["owner"]
    credential = {"raw_key": make_key("csu", user=owner)[1]} if with_key else {"user": owner}
    counts = []

    for name in ("Zeta", "Beta"):
        with CaptureQueriesContext(connection) as queries:
            call("/me", **credential)
        counts.append(len(queries))
        MembershipFactory.create(user=owner, role="owner", organization__name=name, organization__slug=name.lower())
    shared = MembershipFactory.create(user=owner, role="owner").organization
    MembershipFactory.create(organization=shared, role="owner")

    found = call("/me", **credential).json()["organizations_owned_alone"]
    assert [organization["slug"] for organization in found] == ["acme", "beta", "zeta"]
    assert found[0] == {"id": str(acme.pk), "name": "Acme", "slug": "acme"}
    assert counts[0] == counts[1]


def test_key_restricted_to_an_organization_names_no_other(call, people, acme):
    other = MembershipFactory.create(user=people["owner"], role="owner").organization

    for organization in (acme, other):
        _, raw_key = make_key("csu", user=people["owner"], restricted_to=organization)
        assert [found["id"] for found in call("/me", raw_key).json()["organizations_owned_alone"]] == [
            str(organization.pk)
        ]


def test_limits_without_the_cache(call, cache_away):
    """This process counts by itself."""
    limits = call("/me", make_key(rate_limit_per_minute=5)[1]).json()["key"]["limits"]

    assert [limit["remaining"] for limit in limits] == [4, 9_999]


def test_limits_that_cannot_be_read(call, monkeypatch):
    """The cache went away since the request was counted."""
    monkeypatch.setattr("closient_auth.api.me.read_windows", Mock(side_effect=StoreUnavailable))

    assert call("/me", make_key()[1]).json()["key"]["limits"] is None


def test_nobody(call):
    response = call("/me")

    assert (response.status_code, response["WWW-Authenticate"]) == (HTTPStatus.UNAUTHORIZED, "ApiKey")


@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_key_revokes_itself(call, prefix):
    key, raw_key = make_key(prefix)
    neighbour, _ = make_key(prefix)

    assert call("/me/key", raw_key, method="delete").status_code == HTTPStatus.NO_CONTENT

    assert list(ApiKey.objects.filter(is_active=True)) == [neighbour]
    assert call("/me/key", raw_key, method="delete").json()["code"] == "invalid_api_key"
    entry = AuditEntry.objects.get(event="api_key_revoked")
    assert (entry.api_key_id, entry.user, entry.address) == (key.pk, key.user, "127.0.0.1")


def test_key_over_its_limit_revokes_itself(call):
    key, raw_key = make_key(rate_limit_per_minute=1)

    statuses = [call("/me", raw_key).status_code for _ in range(2)]
    assert statuses == [HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS]
    assert call("/me/key", raw_key, method="delete").status_code == HTTPStatus.NO_CONTENT

    assert not ApiKey.objects.get(pk=key.pk).is_active


def test_key_that_cannot_be_counted_revokes_itself(call, settings, cache_away):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": False}
    key, raw_key = make_key()

    assert call("/me", raw_key).status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert call("/me/key", raw_key, method="delete").status_code == HTTPStatus.NO_CONTENT

    assert not ApiKey.objects.get(pk=key.pk).is_active


def test_publishable_key_does_not_revoke_itself(call):
    key, raw_key = make_key("cpk")

    response = call("/me/key", raw_key, method="delete")

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "publishable_key_refused")
    assert ApiKey.objects.get(pk=key.pk).is_active


def test_session_has_no_key_to_revoke(send):
    response = send("owner", "delete", "/me/key")

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "api_key_required")
