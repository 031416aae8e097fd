"""Keys that can do less, over the management API."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from closient_auth.models import ApiKey
from closient_auth.roles import ROLE_PERMISSIONS, Role
from tests.factories import MembershipFactory, make_key

VIEW, MANAGE, DELETE = (
    f"organization.{name}" for name in ("view_organization", "manage_api_keys", "delete_organization")
)
OF_MANAGERS = sorted(ROLE_PERMISSIONS[Role.MANAGER])
PUBLIC = {"prefix": "cpk", "allowed_origins": ["HTTPS://www.example.com:443", "capacitor://localhost"]}


@pytest.mark.parametrize("who", ["owner", "manager", "root"])
def test_every_restriction_of_a_key_of_an_organization(send, tree, who):
    body = {
        "prefix": "csb",
        "permissions": [VIEW],
        "allowed_networks": ["203.0.113.0/24", "2001:DB8::/32", "192.0.2.7"],
    }

    created = send(who, "post", f"{tree}/keys", body).json()

    networks = ["203.0.113.0/24", "2001:db8::/32", "192.0.2.7/32"]
    assert (created["permissions"], created["allowed_networks"]) == ([VIEW], networks)
    key = ApiKey.objects.get()
    assert (key.permissions, key.allowed_networks, key.allowed_origins) == ([VIEW], networks, [])
    rotated = send(who, "post", f"{tree}/keys/{key.pk}/rotate").json()
    assert (rotated["permissions"], rotated["allowed_networks"]) == ([VIEW], networks)


def test_origins_of_a_publishable_key(send, tree):
    created = send("manager", "post", f"{tree}/keys", PUBLIC).json()

    assert created["allowed_origins"] == ["https://www.example.com", "capacitor://localhost"]
    # A publishable key has no more than a Manager has.
    assert created["permissions"] is None


@pytest.mark.parametrize(
    ("who", "permissions", "stored"),
    [
        ("owner", None, None),
        ("owner", [DELETE], [DELETE]),
        ("root", None, None),
        ("manager", None, OF_MANAGERS),
        ("manager", [VIEW, VIEW], [VIEW]),
        ("manager", [], []),
        ("manager", [DELETE], None),
        ("manager", [VIEW, DELETE], None),
    ],
)
def test_nobody_gives_more_than_they_have(send, tree, who, permissions, stored):
    response = send(who, "post", f"{tree}/keys", {"prefix": "csb", "permissions": permissions})

    if permissions and stored is None:
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "permission_denied")
        assert DELETE in response.json()["detail"]
        assert not ApiKey.objects.exists()
    else:
        assert (response.status_code, response.json()["permissions"]) == (HTTPStatus.CREATED, stored)


@pytest.mark.parametrize(
    ("body", "status", "stored"),
    [
        ({"name": "Till"}, HTTPStatus.OK, None),
        ({"permissions": [VIEW]}, HTTPStatus.OK, [VIEW]),
        ({"permissions": None}, HTTPStatus.OK, OF_MANAGERS),
        ({"permissions": [DELETE]}, HTTPStatus.FORBIDDEN, None),
        ({"rate_limit_per_day": 5}, HTTPStatus.OK, OF_MANAGERS),
        ({"allowed_networks": []}, HTTPStatus.OK, OF_MANAGERS),
    ],
)
def test_manager_changes_the_key_of_an_owner(send, call, tree, acme, body, status, stored):
    key, raw_key = make_key(organization=acme)
    neighbour = make_key(organization=acme)[0]

    assert send("manager", "patch", f"{tree}/keys/{key.pk}", body).status_code == status

    key.refresh_from_db()
    neighbour.refresh_from_db()
    assert (key.permissions, neighbour.permissions) == (stored, None)
    assert call("/me", raw_key).json()["key"]["permissions"] == stored


def test_manager_does_not_get_the_secret_of_an_owners_key(send, call, tree, acme):
    key = make_key(organization=acme)[0]

    response = send("manager", "post", f"{tree}/keys/{key.pk}/rotate")

    assert response.json()["permissions"] == OF_MANAGERS
    assert call("/me", response.json()["key"]).json()["organizations"][0]["permissions"] == OF_MANAGERS


def test_user_key_of_one_organization(send, call, people, acme):
    other = MembershipFactory.create(user=people["editor"], role="owner").organization

    created = send("editor", "post", "/me/keys", {"restricted_to": "acme"}).json()

    assert created["restricted_to"] == str(acme.pk)
    raw_key = created["key"]
    me = call("/me", raw_key).json()
    assert (me["key"]["restricted_to"], [row["id"] for row in me["organizations"]]) == (str(acme.pk), [str(acme.pk)])
    assert [row["id"] for row in call("/organizations", raw_key).json()["results"]] == [str(acme.pk)]
    assert call(f"/organizations/{acme.pk}", raw_key).status_code == HTTPStatus.OK
    foreign, missing = (call(f"/organizations/{id}", raw_key) for id in (other.pk, people["outsider"].pk))
    assert (foreign.status_code, foreign.content) == (HTTPStatus.NOT_FOUND, missing.content)
    same = send("editor", "patch", f"/me/keys/{created['id']}", {"restricted_to": str(acme.pk)})
    assert same.json()["restricted_to"] == str(acme.pk)
    lifted = send("editor", "patch", f"/me/keys/{created['id']}", {"restricted_to": None})
    assert lifted.json()["restricted_to"] is None
    assert call(f"/organizations/{other.pk}", raw_key).status_code == HTTPStatus.OK


def test_user_key_of_a_foreign_organization(send, neighbour):
    for id in (neighbour.pk, "ffffffff-ffff-4fff-bfff-ffffffffffff"):
        response = send("editor", "post", "/me/keys", {"restricted_to": str(id)})
        assert response.status_code == HTTPStatus.BAD_REQUEST
        assert response.json() == {"restricted_to": ["You are not a member of an organization with this id or name."]}
    assert not ApiKey.objects.filter(user__isnull=False).exists()


def test_me_tells_what_a_key_may_do(send, call, people, acme):
    _, raw_key = make_key("csu", user=people["owner"], permissions=[VIEW, MANAGE])

    me = call("/me", raw_key).json()

    assert me["key"]["permissions"] == [VIEW, MANAGE]
    assert me["organizations"][0]["permissions"] == sorted([VIEW, MANAGE])
    assert call(f"/organizations/{acme.pk}/keys", raw_key).status_code == HTTPStatus.OK
    refused = call(f"/organizations/{acme.pk}/invitations", raw_key)
    assert (refused.status_code, refused.json()["required_permission"]) == (
        HTTPStatus.FORBIDDEN,
        "organization.manage_members",
    )


def test_maximums_of_the_host(send, tree, settings, people, acme):
    settings.CLOSIENT_AUTH = {
        "MAX_RATE_LIMIT_PER_MINUTE": 100,
        "MAX_RATE_LIMIT_PER_DAY": 1000,
        "MAX_ACTIVE_KEYS": 2,
        "MAX_KEY_LIFETIME_DAYS": 30,
    }
    for keys, body in ((f"{tree}/keys", {"prefix": "csb"}), ("/me/keys", {})):
        for field, value in (
            ("rate_limit_per_minute", 101),
            ("rate_limit_per_day", 1001),
            ("expires_at", None),
            ("expires_at", "2050-01-31T12:00:00Z"),
        ):
            response = send("owner", "post", keys, {**body, field: value})
            assert (response.status_code, response.json().keys()) == (HTTPStatus.BAD_REQUEST, {field})
        full = {**body, "rate_limit_per_minute": 100, "rate_limit_per_day": 1000}
        created = [send("owner", "post", keys, full) for _ in range(3)]
        assert [response.status_code for response in created] == [HTTPStatus.CREATED] * 2 + [HTTPStatus.CONFLICT]
        assert created[2].json()["code"] == "too_many_keys"
        assert "active keys is 2" in created[2].json()["detail"]
        # Rotation needs no vacancy, and a revoked key makes one.
        id = created[0].json()["id"]
        assert send("owner", "post", f"{keys}/{id}/rotate", {"grace_seconds": 60}).status_code == HTTPStatus.CREATED
        send("owner", "delete", f"{keys}/{created[1].json()['id']}")
        assert send("owner", "delete", f"{keys}/{id}").status_code == HTTPStatus.NO_CONTENT
        assert send("owner", "post", keys, body).status_code == HTTPStatus.CREATED


def test_rotation_with_a_new_expiry(send, tree, acme, settings):
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 30}
    key = make_key(organization=acme)[0]

    late = send("owner", "post", f"{tree}/keys/{key.pk}/rotate", {"expires_at": "2050-01-31T12:00:00Z"})

    assert (late.status_code, late.json().keys()) == (HTTPStatus.BAD_REQUEST, {"expires_at"})
    assert ApiKey.objects.get().is_active
    settings.CLOSIENT_AUTH = {}
    rotated = send("owner", "post", f"{tree}/keys/{key.pk}/rotate", {"expires_at": "2050-01-31T12:00:00Z"})
    assert rotated.json()["expires_at"] == "2050-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("value", "statuses"),
    [
        ("anyone", {"outsider": HTTPStatus.CREATED, "root": HTTPStatus.CREATED}),
        ("staff", {"outsider": HTTPStatus.FORBIDDEN, "root": HTTPStatus.CREATED}),
        ("tests.api.test_restrictions.is_outsider", {"outsider": HTTPStatus.CREATED, "root": HTTPStatus.FORBIDDEN}),
    ],
)
def test_who_creates_organizations(send, settings, people, value, statuses):
    settings.CLOSIENT_AUTH = {"ORGANIZATION_CREATION": value}
    people["root"].is_staff = True
    people["root"].save()

    for who, status in statuses.items():
        response = send(who, "post", "/organizations", {"name": "New"})
        assert response.status_code == status
        if status == HTTPStatus.FORBIDDEN:
            assert response.json() == {"detail": "You may not create organizations.", "code": "permission_denied"}


def is_outsider(user):
    return user.username == "outsider"


@pytest.mark.parametrize("value", [5, True, "text", {"a": 1}, [["a"]], [{}], ["unknown"]])
@pytest.mark.parametrize("field", ["permissions", "allowed_networks", "allowed_origins"])
def test_malformed_row_can_be_found_and_ended(send, tree, acme, people, field, value):
    """Another program has written it."""
    key = make_key(organization=acme, created_by=people["manager"])[0]
    ApiKey.objects.update(**{field: value})
    member = people["manager"].closient_auth_memberships.get()

    assert send("manager", "get", f"{tree}/keys").json()["results"][0]["id"] == str(key.pk)
    assert send("manager", "get", f"{tree}/keys/{key.pk}").status_code == HTTPStatus.OK
    assert send("owner", "get", f"{tree}/members/{member.pk}/offboarding").status_code == HTTPStatus.OK
    # An innocent change does not make the key work.
    renamed = send("manager", "patch", f"{tree}/keys/{key.pk}", {"rate_limit_per_day": 5})
    assert renamed.status_code == HTTPStatus.OK
    key.refresh_from_db()
    assert (getattr(key, field), key.rate_limit_per_day) == (value, 5)
    assert send("manager", "post", f"{tree}/keys/{key.pk}/rotate").status_code == HTTPStatus.BAD_REQUEST
    assert send("owner", "delete", f"{tree}/members/{member.pk}").json()["live_keys"][0]["id"] == str(key.pk)
    assert send("owner", "delete", f"{tree}/keys/{key.pk}").status_code == HTTPStatus.NO_CONTENT


@pytest.mark.parametrize("body", [5, True, 1.5, "user_keys_allowed", ["user_keys_allowed"], [{}]])
def test_organization_is_changed_by_an_object_alone(send, tree, body):
    assert send("owner", "patch", tree, body).status_code == HTTPStatus.BAD_REQUEST
    assert send("manager", "patch", tree, body).status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_leaked_key_revokes_itself_from_everywhere(call, acme, people, prefix):
    holder = {"user": people["owner"]} if prefix == "csu" else {"organization": acme}
    restrictions = {"permissions": [], "allowed_networks": ["203.0.113.0/24"]}
    key, raw_key = make_key(prefix, **holder, **restrictions)
    acme.suspend()
    assert call("/me", raw_key).status_code == HTTPStatus.FORBIDDEN

    assert call("/me/key", raw_key, method="delete").status_code == HTTPStatus.NO_CONTENT

    key.refresh_from_db()
    assert not key.is_active


def test_organizations_that_refuse_a_key_are_not_offered(call, people, acme):
    user = people["editor"]
    closed = MembershipFactory.create(user=user, organization__user_keys_allowed=False).organization
    open_ = MembershipFactory.create(user=user).organization
    key, raw_key = make_key("csu", user=user)
    key.shut_out(acme)

    response = call(f"/organizations/{closed.pk}", raw_key)
    assert response.json()["detail"] == "This organization accepts no user keys."
    response = call(f"/organizations/{acme.pk}", raw_key)
    assert response.json()["detail"] == "This organization has shut out this user key."
    assert [row["id"] for row in call("/organizations", raw_key).json()["results"]] == [str(open_.pk)]
