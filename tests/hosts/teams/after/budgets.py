"""The SQL of a request in a project whose own rows decide."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from after.world import make_key, send


def list_tables(address, **credential):
    """Return the first table of each SELECT statement of a request."""
    with CaptureQueriesContext(connection) as queries:
        response = send("GET", address, key=credential["key"], team=credential.get("team"))
    assert response.status_code == 200
    selects = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    return [select.partition(" FROM ")[2].split()[0].strip('`"') for select in selects]


@pytest.mark.parametrize(
    ("address", "team", "rows"),
    [
        ("/api/teams/North.Side/projects/", None, ["planning_project"]),
        ("/api/tasks/", "North.Side", ["planning_task"]),
        ("/api/tasks/", None, ["planning_task"]),
    ],
)
@pytest.mark.parametrize("name", ["pia", "both"])
def test_user_key_costs_two_more_statements_than_its_lookup(world, address, team, rows, name):
    key = make_key(world.users[name])

    tables = list_tables(address, key=key, team=team)

    assert tables == ["closient_auth_apikey", "closient_auth_organization", "teams_teamrole", *rows]


def test_name_of_a_business_key_costs_one_statement(world):
    key = make_key(world.north)

    assert list_tables("/api/tasks/", key=key) == ["closient_auth_apikey", "planning_task"]
    assert list_tables("/api/tasks/", key=key, team=str(world.north.organization_id)) == [
        "closient_auth_apikey",
        "planning_task",
    ]
    assert list_tables("/api/tasks/", key=key, team="North.Side") == [
        "closient_auth_apikey",
        "closient_auth_organization",
        "planning_task",
    ]


def test_number_of_teams_and_roles_does_not_matter(world):
    for number in range(20):
        team = type(world.north).objects.create(name=f"T{number}", slug=f"t{number}")
        team.set_roles(world.users["pia"], ["planner", "viewer", "lead"])
    key = make_key(world.users["pia"])

    tables = list_tables("/api/tasks/", key=key, team="North.Side")

    assert tables == ["closient_auth_apikey", "closient_auth_organization", "teams_teamrole", "planning_task"]
