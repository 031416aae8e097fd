"""The preview of a member's removal, and the removal that it shows."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership
from tests.factories import MembershipFactory, make_invitation, make_key


@pytest.fixture
def member(people):
    return Membership.objects.get(user=people["manager"])


@pytest.fixture
def route(tree, member):
    return f"{tree}/members/{member.pk}"


@pytest.fixture
def left(acme, people):
    """Return what the manager leaves behind, beside rows that have nothing to do with it."""
    manager, owner = people["manager"], people["owner"]
    other = MembershipFactory.create(user=manager, role="owner").organization
    make_key(organization=acme, created_by=owner)
    make_key(organization=acme, created_by=manager)[0].revoke()
    make_key(organization=other, created_by=manager)
    make_key("csu", user=manager, restricted_to=other)
    make_key("csu", user=owner)
    make_invitation(acme, "theirs@example.org", by=owner)
    make_invitation(other, "elsewhere@example.org", by=manager)
    withdrawn = make_invitation(acme, "withdrawn@example.org", by=manager)[0]
    withdrawn.withdraw()
    return {
        "user_keys": make_key("csu", user=manager, name="Laptop")[0],
        "live_keys": make_key(organization=acme, created_by=manager, name="Shop")[0],
        "invitations": make_invitation(acme, "new@example.org", by=manager)[0],
    }


def test_preview(send, route, left):
    response = send("owner", "get", f"{route}/offboarding")

    body = response.json()
    assert {name: [row["id"] for row in rows] for name, rows in body.items()} == {
        name: [str(row.pk)] for name, row in left.items()
    }
    # The key is the person's own.
    key = left["user_keys"]
    shown = {"id": str(key.pk), "holder": "manager", "hint": key.hint, "last_used": None, "shut_out": False}
    assert body["user_keys"] == [shown]
    assert body["live_keys"][0]["last_used"] is None
    assert body["invitations"][0]["email"] == "new@example.org"
    assert response["ETag"] == send("owner", "get", f"{route}/offboarding")["ETag"]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("owner", 200),
        ("manager", 200),
        ("root", 200),
        ("billing", 403),
        ("editor", 403),
        ("outsider", 404),
        (None, 401),
    ],
)
def test_who_sees_the_preview(send, route, who, status):
    assert send(who, "get", f"{route}/offboarding").status_code == status


def test_no_preview_of_ones_own(send, tree, people):
    """It shows keys and invitations, which an Editor may not list."""
    own = Membership.objects.get(user=people["editor"])

    assert send("editor", "get", f"{tree}/members/{own.pk}/offboarding").status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("lacking", ["manage_members", "manage_api_keys"])
def test_preview_needs_both_permissions(call, route, people, lacking):
    names = {"organization.view_organization", "organization.manage_members", "organization.manage_api_keys"}
    _, raw_key = make_key("csu", user=people["owner"], permissions=sorted(names - {f"organization.{lacking}"}))

    response = call(f"{route}/offboarding", raw_key)

    assert (response.status_code, response.json()["required_permission"]) == (403, f"organization.{lacking}")


def test_removal_revokes_the_chosen_keys(send, call, route, left, acme, people):
    stays = make_key(organization=acme, created_by=people["manager"])[0]
    etag = send("owner", "get", f"{route}/offboarding")["ETag"]

    response = send("owner", "delete", route, {"revoke_keys": [str(left["live_keys"].pk)]}, if_match=etag)

    assert response.status_code == HTTPStatus.OK
    assert [row["id"] for row in response.json()["live_keys"]] == [str(stays.pk)]
    assert not ApiKey.objects.get(pk=left["live_keys"].pk).is_active
    assert ApiKey.objects.get(pk=stays.pk).is_active
    assert ApiKey.objects.get(pk=left["user_keys"].pk).is_active
    assert not Invitation.objects.get(pk=left["invitations"].pk).is_valid()
    events = AuditEntry.objects.filter(organization_id=acme.pk, actor="owner").values_list("event", flat=True)
    assert sorted(events) == ["api_key_revoked", "member_removed"]
    removed = AuditEntry.objects.get(event="member_removed")
    assert removed.old_values["live_keys"] == {str(stays.pk): stays.hint}


@pytest.mark.parametrize(
    "change",
    ["user key", "live key", "revoked", "wider", "renamed", "shut out", "invitation", "withdrawn", "resent", "role"],
)
def test_removal_after_a_change_is_refused(send, route, left, acme, people, member, change):
    etag = send("owner", "get", f"{route}/offboarding")["ETag"]
    manager = people["manager"]
    changes = {
        "user key": lambda: make_key("csu", user=manager),
        "live key": lambda: make_key(organization=acme, created_by=manager),
        "revoked": left["live_keys"].revoke,
        "wider": lambda: left["live_keys"].change(allowed_networks=["203.0.113.0/24"]),
        "renamed": lambda: left["live_keys"].change(name="Other"),
        "shut out": lambda: left["user_keys"].shut_out(acme),
        "resent": lambda: left["invitations"].resend(by=manager),
        "invitation": lambda: make_invitation(acme, "more@example.org", by=manager),
        "withdrawn": left["invitations"].withdraw,
        "role": lambda: member.change_role("editor"),
    }
    changes[change]()
    active = set(ApiKey.objects.active())

    response = send("owner", "delete", route, {"revoke_keys": [str(left["live_keys"].pk)]}, if_match=etag)

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.CONFLICT, "offboarding_changed")
    assert (Membership.objects.filter(pk=member.pk).exists(), set(ApiKey.objects.active())) == (True, active)
    again = send("owner", "get", f"{route}/offboarding")["ETag"]
    assert send("owner", "delete", route, if_match=again).status_code == HTTPStatus.OK


@pytest.mark.parametrize("if_match", ["nonsense", '"0"', "W/", "", '""'])
def test_etag_that_was_never_shown(send, route, member, if_match):
    response = send("owner", "delete", route, if_match=if_match)

    assert response.json()["code"] == "offboarding_changed"
    assert Membership.objects.filter(pk=member.pk).exists()


@pytest.mark.parametrize("if_match", [None, "*"])
def test_removal_without_a_preview(send, route, member, if_match):
    headers = {} if if_match is None else {"if_match": if_match}

    assert send("owner", "delete", route, **headers).status_code == HTTPStatus.OK


def test_use_of_a_key_changes_no_preview(send, call, route, acme, people):
    _, raw_key = make_key(organization=acme, created_by=people["manager"])
    etag = send("owner", "get", f"{route}/offboarding")["ETag"]

    call("/me", raw_key)

    response = send("owner", "get", f"{route}/offboarding")
    assert (response["ETag"], response.json()["live_keys"][0]["last_used"] is None) == (etag, False)


def test_other_keys_are_not_revoked(send, route, left, acme, neighbour, people):
    others = [
        make_key(organization=acme, created_by=people["owner"])[0],
        left["user_keys"],
        ApiKey.objects.get(organization=neighbour),
        ApiKey.objects.filter(is_active=False)[0],
    ]
    before = list(ApiKey.objects.order_by("pk").values())
    missing = "ffffffff-ffff-4fff-bfff-ffffffffffff"
    for id in (*[str(key.pk) for key in others], missing):
        response = send("owner", "delete", route, {"revoke_keys": [str(left["live_keys"].pk), id]})
        message = f"This member created no active key of the organization with the id {id}."
        assert (response.status_code, response.json()) == (HTTPStatus.BAD_REQUEST, {"revoke_keys": [message]})
    values: list[object] = ["x", ["x"], [1], {}, None, [missing] * 1001]
    for value in values:
        response = send("owner", "delete", route, {"revoke_keys": value})
        assert (response.status_code, response.json().keys()) == (HTTPStatus.BAD_REQUEST, {"revoke_keys"})
        assert len(response.content) < 200
    assert list(ApiKey.objects.order_by("pk").values()) == before
    assert Membership.objects.filter(user=people["manager"], organization=acme).exists()


def test_leaving_member_without_the_right_revokes_nothing(send, tree, acme, people):
    key = make_key(organization=acme, created_by=people["editor"])[0]
    own = Membership.objects.get(user=people["editor"])

    response = send("editor", "delete", f"{tree}/members/{own.pk}", {"revoke_keys": [str(key.pk)]})

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "permission_denied")
    assert ApiKey.objects.get(pk=key.pk).is_active
    assert Membership.objects.filter(pk=own.pk).exists()


def test_last_owner_keeps_the_keys(send, tree, acme, people):
    key = make_key(organization=acme, created_by=people["owner"])[0]
    own = Membership.objects.get(user=people["owner"])

    response = send("owner", "delete", f"{tree}/members/{own.pk}", {"revoke_keys": [str(key.pk)]})

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.CONFLICT, "last_owner")
    assert ApiKey.objects.get(pk=key.pk).is_active


@pytest.mark.parametrize(
    ("whom", "role", "is_demotion"),
    [
        ("manager", "editor", True),
        ("manager", "billing", True),
        ("editor", "billing", True),
        ("manager", "owner", False),
        ("manager", "manager", False),
        ("editor", "manager", False),
    ],
)
def test_demotion_names_the_keys(send, tree, acme, people, whom, role, is_demotion):
    key = make_key(organization=acme, created_by=people[whom])[0]
    make_key(organization=acme, created_by=people["owner"])
    make_key(organization=acme, created_by=people[whom])[0].revoke()
    member = Membership.objects.get(user=people[whom])

    response = send("owner", "patch", f"{tree}/members/{member.pk}", {"role": role})

    assert response.json()["role"] == role
    assert [row["id"] for row in response.json()["live_keys"]] == [str(key.pk)] * is_demotion


def test_number_of_queries_does_not_grow(send, route, people, acme, django_assert_max_num_queries):
    with CaptureQueriesContext(connection) as queries:
        send("owner", "get", f"{route}/offboarding")
    for number in range(10):
        make_key("csu", user=people["manager"])
        make_key(organization=acme, created_by=people["manager"])
        make_invitation(acme, f"{number}@example.org", by=people["manager"])

    with django_assert_max_num_queries(len(queries)):
        response = send("owner", "get", f"{route}/offboarding")

    assert {name: len(rows) for name, rows in response.json().items()} == {
        "user_keys": 10,
        "live_keys": 10,
        "invitations": 10,
    }


def test_leaving_member_learns_no_keys(send, tree, acme, people):
    make_key(organization=acme, created_by=people["editor"], name="Secret project")
    own = Membership.objects.get(user=people["editor"])

    assert send("editor", "delete", f"{tree}/members/{own.pk}").json() == {"live_keys": []}
