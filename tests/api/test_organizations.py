from __future__ import annotations

from http import HTTPStatus

import pytest

from closient_auth.models import ApiKey, AuditEntry, Membership, Organization
from tests.factories import MembershipFactory, UserFactory, make_key


def test_create(send, people):
    response = send("billing", "post", "/organizations", {"name": "New Shop"})

    organization = Organization.objects.get(slug="new-shop")
    assert response.status_code == HTTPStatus.CREATED
    assert (response.json()["id"], response.json()["slug"]) == (str(organization.pk), "new-shop")
    assert organization.memberships.get().user == people["billing"]
    assert organization.memberships.get().role == "owner"
    assert [row["name"] for row in send("billing", "get", "/organizations").json()["results"]] == ["Acme", "New Shop"]
    assert send("billing", "post", "/organizations", {"name": "X", "slug": "acme"}).json().keys() == {"slug"}
    assert send("billing", "post", "/organizations", {"name": "X", "owner": 1}).json().keys() == {"owner"}


def test_list_of_a_key(call, acme, people):
    MembershipFactory.create(user=people["editor"], organization__name="Zeta")

    def names(*args, **kwargs):
        return [row["name"] for row in call("/organizations", make_key(*args, **kwargs)[1]).json()["results"]]

    assert names("csb", organization=acme) == ["Acme"]
    assert names("csu", user=people["editor"]) == ["Acme", "Zeta"]


def test_rename(send, tree, acme, neighbour):
    response = send("owner", "patch", tree, {"name": "Acme Ltd"})

    assert (response.json()["name"], response.json()["slug"]) == ("Acme Ltd", "acme")
    assert send("editor", "get", tree).json() == response.json()
    assert send("owner", "patch", tree, {"slug": neighbour.slug}).json().keys() == {"slug"}
    assert send("owner", "patch", tree, {"id": "x"}).json().keys() == {"id"}
    assert send("owner", "patch", tree, {"name": 1, "slug": 1}).json().keys() == {"name", "slug"}
    for who in ("manager", "billing", "editor"):
        assert send(who, "patch", tree, {"name": "Mine"}).status_code == HTTPStatus.FORBIDDEN
    acme.refresh_from_db()
    assert acme.name == "Acme Ltd"


def test_delete_kills_the_keys(send, call, tree, acme, neighbour):
    _, raw_key = make_key(organization=acme)
    for who in ("manager", "billing", "editor"):
        assert send(who, "delete", tree).status_code == HTTPStatus.FORBIDDEN

    assert send("owner", "delete", tree).status_code == HTTPStatus.NO_CONTENT

    assert call("/me", raw_key).status_code == HTTPStatus.UNAUTHORIZED
    assert send("owner", "delete", tree).status_code == HTTPStatus.NOT_FOUND
    assert list(Organization.objects.all()) == [neighbour]
    assert AuditEntry.objects.get(event="organization_deleted").actor == "owner"


@pytest.mark.parametrize("who", ["owner", "root"])
def test_member_changes(send, tree, people, who):
    editor = Membership.objects.get(user=people["editor"])

    response = send(who, "patch", f"{tree}/members/{editor.pk}", {"role": "owner"})

    assert response.json() == {
        "id": str(editor.pk),
        "username": "editor",
        "email": "editor@example.com",
        "role": "owner",
        "created_at": response.json()["created_at"],
        "live_keys": [],
    }
    assert AuditEntry.objects.get(event="member_changed").actor == who
    assert send(who, "patch", f"{tree}/members/{editor.pk}", {}).json() == response.json()
    assert send(who, "patch", f"{tree}/members/{editor.pk}", {"role": "boss"}).json().keys() == {"role"}
    assert send(who, "patch", f"{tree}/members/{editor.pk}", {"user": 1, "role": "editor"}).json().keys() == {"user"}


def test_only_owners_make_owners(send, tree, people):
    members = {member.user.username: member for member in Membership.objects.select_related("user")}
    for who, whom, role in (
        ("manager", "editor", "owner"),
        ("manager", "manager", "owner"),
        ("manager", "owner", "editor"),
        ("editor", "billing", "editor"),
    ):
        response = send(who, "patch", f"{tree}/members/{members[whom].pk}", {"role": role})
        assert response.status_code == HTTPStatus.FORBIDDEN
    for who, whom in (("manager", "owner"), ("editor", "billing"), ("billing", "manager")):
        assert send(who, "delete", f"{tree}/members/{members[whom].pk}").status_code == HTTPStatus.FORBIDDEN
    assert {pk: member.role for pk, member in members.items()} == {
        member.user.username: member.role for member in Membership.objects.select_related("user")
    }


def test_last_owner_stays(send, tree, acme, people):
    owner = Membership.objects.get(user=people["owner"])
    for method, data in (("patch", {"role": "manager"}), ("delete", None)):
        response = send("owner", method, f"{tree}/members/{owner.pk}", data)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.CONFLICT, "last_owner")
        assert response.json()["organizations"] == [{"id": str(acme.pk), "name": "Acme", "slug": "acme"}]
    assert Membership.objects.get(user=people["owner"]).role == "owner"


def test_removal_tells_the_keys_that_live_on(send, tree, acme, people):
    member = Membership.objects.get(user=people["manager"])
    lives, _ = make_key(organization=acme, created_by=people["manager"])
    revoked, _ = make_key(organization=acme, created_by=people["manager"])
    revoked.revoke()
    make_key(organization=acme, created_by=people["owner"])
    make_key(created_by=people["manager"])

    response = send("owner", "delete", f"{tree}/members/{member.pk}")

    assert response.status_code == HTTPStatus.OK
    assert [key["id"] for key in response.json()["live_keys"]] == [str(lives.pk)]
    assert send("owner", "delete", f"{tree}/members/{member.pk}").status_code == HTTPStatus.NOT_FOUND
    assert ApiKey.objects.filter(is_active=True).count() == 3


@pytest.mark.parametrize("who", ["manager", "billing", "editor"])
def test_leave(send, tree, people, who):
    member = Membership.objects.get(user=people[who])

    assert send(who, "delete", f"{tree}/members/{member.pk}").json() == {"live_keys": []}
    assert send(who, "get", tree).status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["owner", "manager", "billing", "editor"]),
        ("role=editor", ["editor"]),
        ("q=AGER", ["manager"]),
        ("q=editor@example", ["editor"]),
        ("q=e&role=owner", ["owner"]),
        ("q=", ["owner", "manager", "billing", "editor"]),
    ],
)
def test_list_of_members(send, tree, query, found):
    assert [row["username"] for row in send("editor", "get", f"{tree}/members?{query}").json()["results"]] == found


def test_members_of_users_without_addresses(send, tree, people, monkeypatch):
    monkeypatch.setattr(type(people["owner"]), "EMAIL_FIELD", "no_such_field")

    rows = send("editor", "get", f"{tree}/members?q=editor").json()["results"]

    assert [(row["username"], row["email"]) for row in rows] == [("editor", "")]


def test_query_that_cannot_be(send, tree):
    assert send("editor", "get", f"{tree}/members?role=boss").json().keys() == {"role"}
    assert send("editor", "get", f"{tree}/members?q=%00").json().keys() == {"q"}


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("value", ["2030-01-01T00:00:00", "2030-01-01", "yesterday"])
def test_time_without_a_zone(send, tree, name, value):
    response = send("owner", "get", f"{tree}/audit?{name}={value}")

    assert (response.status_code, response.json().keys()) == (HTTPStatus.BAD_REQUEST, {name})


def test_audit(send, tree, acme, people, neighbour):
    member = Membership.objects.get(user=people["editor"])
    send("owner", "patch", f"{tree}/members/{member.pk}", {"role": "billing"})
    send("owner", "patch", tree, {"name": "Acme Ltd"})

    newest, change = send("manager", "get", f"{tree}/audit").json()["results"][:2]

    assert (newest["event"], newest["target"]) == ("organization_changed", "Acme Ltd")
    assert change == {
        "id": change["id"],
        "created_at": change["created_at"],
        "event": "member_changed",
        "actor": "owner",
        "user_id": str(people["owner"].pk),
        "api_key_id": None,
        "address": "127.0.0.1",
        "target_model": "membership",
        "target_id": str(member.pk),
        "target": "editor: Billing",
        "old_values": {"role": "editor"},
        "new_values": {"role": "billing"},
    }
    for query, events in (
        ("event=member_changed", ["member_changed"]),
        (f"target_id={acme.pk}", ["organization_changed", "organization_created"]),
        ("actor=owner", ["organization_changed", "member_changed"]),
        (f"since={newest['created_at']}", ["organization_changed"]),
        (f"until={change['created_at']}&event=member_changed", []),
    ):
        found = send("manager", "get", f"{tree}/audit?{query}").json()["results"]
        assert [row["event"] for row in found] == events
    for who in ("billing", "editor"):
        assert send(who, "get", f"{tree}/audit").status_code == HTTPStatus.FORBIDDEN


def test_audit_tells_a_user_named_system_from_the_system(send, call, tree, acme, people):
    people["system"] = UserFactory.create(username="system", is_superuser=True)
    acme.rename(name="By code")
    send("system", "patch", tree, {"name": "By a user"})
    key, raw_key = make_key(organization=acme)
    call("/me/key", raw_key, method="delete")

    revoked, _, *renamed = send("owner", "get", f"{tree}/audit").json()["results"][:4]

    assert (revoked["user_id"], revoked["api_key_id"]) == (None, str(key.pk))
    assert [(row["actor"], row["user_id"]) for row in renamed] == [
        ("system", str(people["system"].pk)),
        ("system", None),
    ]


@pytest.mark.parametrize(
    ("slug", "told"),
    [
        ("Acme-2", "A slug should have only lower-case letters"),
        ("0", "A slug should have only lower-case letters"),
        ("admin", "This slug is reserved."),
    ],
)
def test_slug_that_could_be_mistaken_is_refused(send, tree, acme, slug, told):
    for method, path in (("post", "/organizations"), ("patch", tree)):
        response = send("owner", method, path, {"name": "Mine", "slug": slug})
        assert response.status_code == HTTPStatus.BAD_REQUEST
        assert [text.startswith(told) for text in response.json()["slug"]] == [True]

    assert not Organization.objects.filter(name="Mine").exists()
