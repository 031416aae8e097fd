"""Owners and Managers are masters of their organization: user keys of members, and suspension."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.models import AuditEntry
from tests.factories import MembershipFactory, make_invitation, make_key


@pytest.fixture
def keys(tree):
    return f"{tree}/user-keys"


@pytest.fixture
def leaked(people):
    return make_key("csu", user=people["editor"], name="Private name", description="Private")


def test_list_shows_the_keys_that_can_act(send, call, keys, people, acme, leaked):
    key, raw_key = leaked
    call("/me", raw_key)
    key.refresh_from_db()
    other = MembershipFactory.create(user=people["editor"]).organization
    here = make_key("csu", user=people["billing"], restricted_to=acme)[0]
    make_key("csu", user=people["editor"], restricted_to=other)
    make_key("csu", user=people["editor"], expires_at=timezone.now() - timedelta(seconds=1))
    make_key("csu", user=people["editor"])[0].revoke()
    make_key("csu", user=people["outsider"])
    make_key(organization=acme)

    response = send("manager", "get", keys)

    assert response.json()["results"] == [
        {"id": str(here.pk), "holder": "billing", "hint": here.hint, "last_used": None, "shut_out": False},
        {
            "id": str(key.pk),
            "holder": "editor",
            "hint": key.hint,
            "last_used": key.last_used.isoformat().replace("+00:00", "Z"),
            "shut_out": False,
        },
    ]
    assert "Private" not in response.content.decode()


def test_number_of_queries_does_not_grow(send, keys, people, leaked):
    def count():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert send("owner", "get", keys).status_code == HTTPStatus.OK
        return len(queries)

    before = count()
    for _ in range(20):
        make_key("csu", user=people["editor"])
    assert count() == before


def test_key_is_shut_out_and_let_in(send, call, keys, people, acme, leaked):
    key, raw_key = leaked
    other = MembershipFactory.create(user=people["editor"]).organization
    _, sibling = make_key("csu", user=people["editor"])

    def statuses():
        return [
            call(f"/organizations/{row.pk}", raw).status_code for row in (acme, other) for raw in (raw_key, sibling)
        ]

    assert statuses() == [200, 200, 200, 200]
    shut_out = send("manager", "patch", f"{keys}/{key.pk}", {"shut_out": True})
    assert shut_out.json()["shut_out"] is True
    assert statuses() == [403, 200, 200, 200]
    assert call(f"/organizations/{acme.pk}", raw_key).json()["code"] == "user_key_not_allowed"
    assert [row["slug"] for row in call("/me", raw_key).json()["organizations"]] == [other.slug]
    # The session of the person works, and the person cannot undo it.
    assert send("editor", "get", f"/organizations/{acme.pk}").status_code == HTTPStatus.OK
    assert send("editor", "patch", f"{keys}/{key.pk}", {"shut_out": False}).status_code == HTTPStatus.FORBIDDEN
    rotated = send("editor", "post", f"/me/keys/{key.pk}/rotate").json()["key"]
    assert call(f"/organizations/{acme.pk}", rotated).status_code == HTTPStatus.FORBIDDEN
    successor = key.successor
    assert send("owner", "patch", f"{keys}/{successor.pk}", {"shut_out": False}).json()["shut_out"] is False
    assert call(f"/organizations/{acme.pk}", rotated).status_code == HTTPStatus.OK
    entries = AuditEntry.objects.filter(event__in=["api_key_shut_out", "api_key_let_in"]).order_by("created_at")
    assert [(entry.event, entry.actor, entry.organization_id, entry.target_id) for entry in entries] == [
        ("api_key_shut_out", "manager", acme.pk, key.pk),
        ("api_key_let_in", "owner", acme.pk, successor.pk),
    ]


def test_same_change_twice(send, keys, leaked):
    for _ in range(2):
        assert send("owner", "patch", f"{keys}/{leaked[0].pk}", {"shut_out": True}).json()["shut_out"] is True
    assert send("owner", "patch", f"{keys}/{leaked[0].pk}", {}).json()["shut_out"] is True
    assert AuditEntry.objects.filter(event="api_key_shut_out").count() == 1


@pytest.mark.parametrize("who", ["owner", "manager"])
def test_organization_without_user_keys(send, call, tree, acme, people, leaked, who):
    _, raw_key = leaked
    _, business = make_key(organization=acme)
    other = MembershipFactory.create(user=people["editor"]).organization

    response = send(who, "patch", tree, {"user_keys_allowed": False})

    assert (response.status_code, response.json()["user_keys_allowed"]) == (HTTPStatus.OK, False)
    refused = call(tree, raw_key)
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.FORBIDDEN, "user_key_not_allowed")
    assert [row["id"] for row in call("/organizations", raw_key).json()["results"]] == [str(other.pk)]
    assert call(f"/organizations/{other.pk}", raw_key).status_code == HTTPStatus.OK
    assert call(tree, business).status_code == HTTPStatus.OK
    assert send("editor", "get", tree).status_code == HTTPStatus.OK
    send(who, "patch", tree, {"user_keys_allowed": True})
    assert call(tree, raw_key).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("who", "body"),
    [
        ("billing", {"user_keys_allowed": False}),
        ("editor", {"user_keys_allowed": False}),
        ("manager", {"user_keys_allowed": False, "name": "Mine"}),
        ("manager", {}),
        ("manager", ["user_keys_allowed", "name"]),
    ],
)
def test_who_may_not_change_it(send, tree, acme, who, body):
    response = send(who, "patch", tree, body)

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert response.json()["required_permission"] == "organization.delete_organization"
    acme.refresh_from_db()
    assert (acme.user_keys_allowed, acme.name) == (True, "Acme")


def test_name_and_user_keys_change_together_or_not_at_all(send, tree, acme):
    taken = MembershipFactory.create().organization

    refused = send("owner", "patch", tree, {"user_keys_allowed": False, "slug": taken.slug})
    acme.refresh_from_db()
    assert (refused.json().keys(), acme.user_keys_allowed) == ({"slug"}, True)

    send("owner", "patch", tree, {"user_keys_allowed": False, "slug": "new-slug"})
    acme.refresh_from_db()
    assert (acme.slug, acme.user_keys_allowed) == ("new-slug", False)


def test_suspended_organization(send, call, tree, acme, people, leaked):
    _, business = make_key(organization=acme)
    other = MembershipFactory.create(user=people["editor"]).organization
    make_invitation(acme, "new@example.org", by=people["owner"])

    def ask():
        sessions = [send(who, "get", tree) for who in ("owner", "manager", "billing", "editor")]
        return [*sessions, call(tree, leaked[1]), call(tree, business), call("/me", business)]

    assert {response.status_code for response in ask()} == {HTTPStatus.OK}
    acme.suspend()
    assert {(response.status_code, response.json()["code"]) for response in ask()} == {
        (HTTPStatus.FORBIDDEN, "organization_suspended")
    }
    for method, route in (("post", "/keys"), ("get", "/members"), ("get", "/audit"), ("patch", ""), ("delete", "")):
        assert send("owner", method, tree + route).json()["code"] == "organization_suspended"
    # Others are not told, people keep their other organizations, and staff can look.
    assert send("outsider", "get", tree).status_code == HTTPStatus.NOT_FOUND
    assert call(f"/organizations/{other.pk}", leaked[1]).status_code == HTTPStatus.OK
    assert send("root", "get", tree).json()["suspended_at"] is not None
    me = {row["slug"]: row["permissions"] for row in send("editor", "get", "/me").json()["organizations"]}
    assert (me["acme"], bool(me[other.slug])) == ([], True)
    rows = (acme.memberships.count(), acme.api_keys.active().count(), acme.invitations.in_state("pending").count())

    acme.lift_suspension()

    assert rows == (4, 1, 1)
    assert {response.status_code for response in ask()} == {HTTPStatus.OK}
