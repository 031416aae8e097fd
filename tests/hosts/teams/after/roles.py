"""The rows of the project decide at each request, however they were changed."""

import pytest
from django.utils import timezone

from after.world import User, get_body, make_key, send
from teams.models import TeamMember, TeamRole
from teams.staffing import add_people, change_role, swap_roles

PROJECTS = "/api/teams/North.Side/projects/"
BUDGET = "/teams/North.Side/budget/"
NOT_FOUND = (404, None)
MAY_NOT = {
    "view": (403, "organization.view_organization"),
    "plan": (403, "organization.contribute_organization"),
    "bill": (403, "planning.bill"),
}


def try_all(world, name):
    """Return what a person gets with a user key for each right, and check that a session gets the same."""
    with_key, with_session = (
        {
            "view": read(send("GET", PROJECTS, **credential)),
            "plan": read(send("POST", PROJECTS, data={"name": "New"}, **credential)),
            "bill": read(send("GET", BUDGET, **credential)),
        }
        for credential in ({"key": make_key(world.users[name])}, {"user": world.users[name]})
    )
    assert with_key == with_session
    return with_key


def read(response):
    return response.status_code, get_body(response).get("required_permission") if response.status_code > 400 else None


def may(*rights):
    statuses = {"view": (200, None), "plan": (201, None), "bill": (200, None)}
    return {right: statuses[right] if right in rights else MAY_NOT[right] for right in statuses}


NOWHERE = dict.fromkeys(["view", "plan", "bill"], NOT_FOUND)


@pytest.mark.parametrize(
    ("name", "rights"),
    [
        ("ada", ["view", "plan", "bill"]),
        ("lea", ["view", "plan"]),
        ("pia", ["view", "plan"]),
        ("ava", ["view", "bill"]),
        ("vic", ["view"]),
        ("both", ["view", "plan", "bill"]),
        ("idle", []),
    ],
)
def test_rights_of_all_roles_add_up(world, name, rights):
    assert try_all(world, name) == may(*rights)


@pytest.mark.parametrize("name", ["zoe", "gone"])
def test_strangers_and_those_who_have_left_find_no_team(world, name):
    assert try_all(world, name) == NOWHERE


def test_query_that_changes_a_role_acts_on_the_next_request(world):
    key, address = make_key(world.users["vic"]), PROJECTS
    assert read(send("POST", address, key=key, data={"name": "New"})) == MAY_NOT["plan"]

    assert change_role(world.north, "viewer", "planner") == 1

    assert read(send("POST", address, key=key, data={"name": "New"})) == (201, None)
    assert try_all(world, "vic") == may("view", "plan")

    assert change_role(world.north, "planner", "viewer") == 3

    assert read(send("POST", address, key=key, data={"name": "New"})) == MAY_NOT["plan"]
    assert try_all(world, "both") == may("view", "bill")


def test_rows_of_a_bulk_insert_act_on_the_next_request(world):
    key = make_key(world.users["zoe"])
    assert read(send("GET", BUDGET, key=key)) == NOT_FOUND

    add_people(world.north, User.objects.filter(username="zoe"), "accountant")

    assert read(send("GET", BUDGET, key=key)) == (200, None)
    assert try_all(world, "zoe") == may("view", "bill")


def test_query_that_ends_a_membership_acts_on_the_next_request(world):
    key = make_key(world.users["pia"])
    assert read(send("GET", PROJECTS, key=key)) == (200, None)

    TeamMember.objects.filter(user=world.users["pia"]).update(left_at=timezone.now())

    assert read(send("GET", PROJECTS, key=key)) == NOT_FOUND
    assert try_all(world, "pia") == NOWHERE
    assert try_all(world, "vic") == may("view")


def test_who_comes_back_can_act_with_the_old_key(world):
    key = make_key(world.users["gone"])
    assert read(send("GET", PROJECTS, key=key)) == NOT_FOUND

    world.north.set_roles(world.users["gone"], ["viewer"])

    assert read(send("GET", PROJECTS, key=key)) == (200, None)
    assert try_all(world, "gone") == may("view")


def test_deleted_role_is_no_right(world):
    TeamRole.objects.filter(member__user=world.users["both"], role="planner").delete()

    assert try_all(world, "both") == may("view", "bill")


def test_swap_by_the_projects_own_function(world):
    ada, vic = (TeamMember.objects.get(user=world.users[name]) for name in ("ada", "vic"))

    swap_roles(ada, vic)

    assert try_all(world, "ada") == may("view")
    assert try_all(world, "vic") == may("view", "plan", "bill")


def test_roles_of_one_team_are_none_in_another(world):
    world.south.set_roles(world.users["pia"], ["viewer"])
    key = make_key(world.users["pia"])

    assert read(send("POST", PROJECTS, key=key, data={"name": "New"})) == (201, None)
    assert read(send("POST", "/api/teams/south/projects/", key=key, data={"name": "New"})) == MAY_NOT["plan"]
    assert read(send("GET", "/api/teams/south/projects/", key=key)) == (200, None)
