"""Members make and manage keys of their team over the management API, and give no more than they have."""

import pytest

from after.world import User, get_body, make_key, send
from closient_auth.models import ApiKey

KEYS = "/account/api/v1/organizations/North.Side/keys"
USER_KEYS = "/account/api/v1/organizations/North.Side/user-keys"
PROJECTS = "/api/teams/North.Side/projects/"
BUDGET = "/teams/North.Side/budget/"


def make_over_api(user, address=KEYS, **data):
    response = send("POST", address, user=user, data={"prefix": "csb", "name": "made", **data})
    assert response.status_code == 201, response.content
    return get_body(response)["key"], ApiKey.objects.get(pk=get_body(response)["id"])


def test_key_of_an_admin_may_all(world):
    key, _ = make_over_api(world.users["ada"])

    assert send("GET", BUDGET, key=key).status_code == 200
    assert send("POST", PROJECTS, key=key, data={"name": "New"}).status_code == 201
    assert send("DELETE", f"{PROJECTS}{world.rows[world.north]['project']}/", key=key).status_code == 204
    assert world.south.projects.count() == 1


def test_key_of_a_lead_may_not_bill(world):
    key, api_key = make_over_api(world.users["lea"])

    assert send("POST", PROJECTS, key=key, data={"name": "New"}).status_code == 201
    refused = send("GET", BUDGET, key=key)
    assert (refused.status_code, get_body(refused)["required_permission"]) == (403, "planning.bill")
    assert set(api_key.permissions) == {
        "organization.view_organization",
        "organization.contribute_organization",
        "organization.manage_api_keys",
        "organization.manage_members",
        "planning.manage",
    }


def test_lead_with_another_role_gives_both(world):
    world.north.set_roles(world.users["lea"], ["lead", "accountant"])

    key, _ = make_over_api(world.users["lea"])

    assert send("GET", BUDGET, key=key).status_code == 200


def test_lead_cannot_name_a_permission_that_a_lead_lacks(world):
    before = ApiKey.objects.count()

    response = send("POST", KEYS, user=world.users["lea"], data={"prefix": "csb", "permissions": ["planning.bill"]})

    assert response.status_code == 403, response.content
    assert ApiKey.objects.count() == before


def test_admin_chooses_permissions_of_the_project(world):
    key, _ = make_over_api(world.users["ada"], permissions=["planning.bill"])

    assert send("GET", BUDGET, key=key).status_code == 200
    assert send("GET", PROJECTS, key=key).status_code == 403


def test_unknown_permission_is_refused(world):
    response = send("POST", KEYS, user=world.users["ada"], data={"prefix": "csb", "permissions": ["planning.unknown"]})

    assert response.status_code == 400, response.content
    assert "planning.bill" in str(get_body(response)["permissions"])


def test_lead_cannot_widen_the_key_of_an_admin(world):
    _, api_key = make_over_api(world.users["ada"], permissions=["organization.view_organization"])

    wider = send("PATCH", f"{KEYS}/{api_key.pk}", user=world.users["lea"], data={"permissions": ["planning.bill"]})

    assert wider.status_code == 403, wider.content
    api_key.refresh_from_db()
    assert api_key.permissions == ["organization.view_organization"]


@pytest.mark.parametrize("name", ["vic", "pia", "ava", "both", "idle"])
def test_others_make_no_keys(world, name):
    before = ApiKey.objects.count()

    response = send("POST", KEYS, user=world.users[name], data={"prefix": "csb"})

    assert (response.status_code, get_body(response)["code"]) == (403, "permission_denied")
    assert get_body(response)["required_permission"] == "organization.manage_api_keys"
    assert ApiKey.objects.count() == before


def test_rotated_key_may_as_much(world):
    _, api_key = make_over_api(world.users["lea"])

    rotated = send("POST", f"{KEYS}/{api_key.pk}/rotate", user=world.users["lea"], data={})

    assert rotated.status_code == 201, rotated.content
    refused = send("GET", BUDGET, key=get_body(rotated)["key"])
    assert (refused.status_code, get_body(refused)["required_permission"]) == (403, "planning.bill")


def test_lead_who_rotates_a_key_of_staff_gets_less(world):
    address = f"{KEYS}/{world.rows[world.north]['key']}"
    assert ApiKey.objects.get(pk=world.rows[world.north]["key"]).permissions is None

    rotated = send("POST", f"{address}/rotate", user=world.users["lea"], data={})

    assert rotated.status_code == 201, rotated.content
    refused = send("GET", BUDGET, key=get_body(rotated)["key"])
    assert (refused.status_code, get_body(refused)["required_permission"]) == (403, "planning.bill")


def test_lead_who_lifts_all_restrictions_keeps_the_own_ones(world):
    key, api_key = make_over_api(world.users["lea"], permissions=["organization.view_organization"])

    lifted = send("PATCH", f"{KEYS}/{api_key.pk}", user=world.users["lea"], data={"permissions": None})

    assert lifted.status_code == 200, lifted.content
    assert send("POST", PROJECTS, key=key, data={"name": "New"}).status_code == 201
    refused = send("GET", BUDGET, key=key)
    assert (refused.status_code, get_body(refused)["required_permission"]) == (403, "planning.bill")


def test_admin_of_another_team_sees_no_key(world):
    address = f"{KEYS}/{world.rows[world.north]['key']}"
    for method, path in (("GET", KEYS), ("GET", address), ("DELETE", address), ("POST", f"{address}/rotate")):
        assert send(method, path, user=world.users["zoe"], data={}).status_code == 404
    assert ApiKey.objects.get(pk=world.rows[world.north]["key"]).is_active


def test_me_has_the_rights_of_all_roles(world):
    world.south.set_roles(world.users["both"], ["viewer"])

    for credential in ({"key": make_key(world.users["both"])}, {"user": world.users["both"]}):
        me = get_body(send("GET", "/account/api/v1/me", **credential))
        assert {row["name"]: sorted(row["permissions"]) for row in me["organizations"]} == {
            "North": ["organization.contribute_organization", "organization.view_organization", "planning.bill"],
            "South": ["organization.view_organization"],
        }


def test_user_keys_are_those_of_the_members_of_today(world):
    listed = get_body(send("GET", USER_KEYS, user=world.users["ada"]))

    assert sorted(row["holder"] for row in listed["results"]) == ["ada", "ava", "both", "idle", "lea", "pia", "vic"]


def test_shut_out_key(world):
    key = make_key(world.users["pia"])
    pk = ApiKey.objects.filter(user=world.users["pia"]).latest("created_at").pk
    world.south.set_roles(world.users["pia"], ["viewer"])

    assert send("PATCH", f"{USER_KEYS}/{pk}", user=world.users["lea"], data={"shut_out": True}).status_code == 200

    refused = send("GET", PROJECTS, key=key)
    assert (refused.status_code, get_body(refused)["code"]) == (403, "user_key_not_allowed")
    assert send("GET", "/api/teams/south/projects/", key=key).status_code == 200


def test_audit_log_names_the_person(world):
    _, api_key = make_over_api(world.users["lea"])

    listed = get_body(send("GET", "/account/api/v1/organizations/North.Side/audit", user=world.users["ada"]))

    row = listed["results"][0]
    assert (row["event"], row["actor"], row["target_id"]) == ("api_key_created", "lea", str(api_key.pk))


def test_team_that_accepts_no_user_keys(world):
    key = make_key(world.users["pia"])
    settings = "/account/api/v1/organizations/North.Side"

    changed = send("PATCH", settings, user=world.users["lea"], data={"user_keys_allowed": False})

    assert changed.status_code == 200, changed.content
    refused = send("GET", PROJECTS, key=key)
    assert (refused.status_code, get_body(refused)["code"]) == (403, "user_key_not_allowed")
    assert send("GET", PROJECTS, user=world.users["pia"]).status_code == 200
    assert send("GET", PROJECTS, key=make_key(world.north)).status_code == 200


def test_user_key_for_one_team(world):
    world.south.set_roles(world.users["pia"], ["planner"])
    made = send("POST", "/account/api/v1/me/keys", user=world.users["pia"], data={"restricted_to": "North.Side"})
    key, api_key = get_body(made)["key"], ApiKey.objects.get(pk=get_body(made)["id"])

    assert api_key.restricted_to_id == world.north.organization_id
    assert send("GET", "/api/tasks/", team="North.Side", key=key).status_code == 200
    assert send("GET", "/api/tasks/", team="south", key=key).status_code == 404


@pytest.mark.parametrize("name", ["vic", "gone"])
def test_user_key_for_another_team(world, name):
    team = world.south if name == "vic" else world.north
    before = ApiKey.objects.count()

    response = send(
        "POST",
        "/account/api/v1/me/keys",
        user=world.users[name],
        data={"restricted_to": str(team.organization_id)},
    )

    assert (response.status_code, set(get_body(response))) == (400, {"restricted_to"})
    assert ApiKey.objects.count() == before


def test_suspended_team(world):
    credentials = [
        {"key": make_key(world.north)},
        {"key": make_key(world.users["ada"])},
        {"user": world.users["ada"]},
    ]
    world.north.organization.suspend()

    for credential in credentials:
        refused = send("GET", "/api/tasks/", team="North.Side", **credential)
        assert (refused.status_code, get_body(refused)["code"]) == (403, "organization_suspended")
    assert send("GET", "/api/tasks/", team="North.Side", user=world.users["root"]).status_code == 200
    assert send("GET", "/api/tasks/", key=make_key(world.south)).status_code == 200


def test_inactive_member(world):
    key = make_key(world.users["pia"])
    User.objects.filter(username="pia").update(is_active=False)

    refused = send("GET", "/api/tasks/", key=key)

    assert (refused.status_code, get_body(refused)["code"]) == (401, "invalid_api_key")
    assert not User.objects.get(username="pia").has_perm("organization.view_organization", world.north)


def test_staff_without_a_role_are_strangers(world):
    staff = User.objects.create_user("staff", is_staff=True)
    before = ApiKey.objects.count()

    for method, address in (("GET", PROJECTS), ("GET", KEYS), ("POST", KEYS)):
        assert send(method, address, user=staff, data={"prefix": "csb"}).status_code == 404
    assert ApiKey.objects.count() == before
