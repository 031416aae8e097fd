"""``has_perm()`` takes the rows of the project."""

import pytest

from after.world import User
from closient_auth.models import ApiKey
from closient_auth.principals import OrganizationPrincipal
from teams.models import Team

VIEW, PLAN, BILL = "organization.view_organization", "organization.contribute_organization", "planning.bill"


def may(user, obj, *permissions):
    return [user.has_perm(permission, obj) for permission in permissions or (VIEW, PLAN, BILL)]


def reload(user):
    """Return the user as the next request would read it."""
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ada", [True, True, True]),
        ("pia", [True, True, False]),
        ("ava", [True, False, True]),
        ("both", [True, True, True]),
        ("vic", [True, False, False]),
        ("idle", [False, False, False]),
        ("gone", [False, False, False]),
        ("zoe", [False, False, False]),
        ("root", [True, True, True]),
    ],
)
def test_user_and_team(world, name, expected):
    user = world.users[name]

    assert may(user, world.north) == expected
    assert may(user, world.north.organization) == expected


def test_user_and_role_of_today(world):
    vic = world.users["vic"]
    assert may(vic, world.north) == [True, False, False]

    world.north.set_roles(vic, ["planner"])

    assert may(reload(vic), world.north) == [True, True, False]
    assert may(reload(vic), world.south) == [False, False, False]


def test_principal_and_team(world):
    api_key, _ = ApiKey.objects.create_key(prefix="csb", organization=world.north.organization)
    principal = OrganizationPrincipal(api_key)

    assert may(principal, world.north) == may(principal, world.north.organization) == [True, True, True]
    assert may(principal, world.south) == may(principal, world.south.organization) == [False, False, False]


def test_restricted_principal(world):
    api_key, _ = ApiKey.objects.create_key(prefix="csb", organization=world.north.organization, permissions=[VIEW])

    assert may(OrganizationPrincipal(api_key), world.north) == [True, False, False]


def test_publishable_principal(world):
    api_key, _ = ApiKey.objects.create_key(prefix="cpk", organization=world.north.organization)

    assert may(OrganizationPrincipal(api_key), world.north) == [True, False, False]


@pytest.mark.parametrize("is_saved", [True, False])
def test_team_without_an_organization(world, is_saved):
    team = Team(name="New", slug="new")
    if is_saved:
        Team.objects.bulk_create([team])
        team = Team.objects.get(slug="new")
        world.north.members.filter(user=world.users["ada"]).update(team=team)
    api_key, _ = ApiKey.objects.create_key(prefix="csb", organization=world.north.organization)

    assert may(world.users["ada"], team) == [False, False, False]
    assert may(OrganizationPrincipal(api_key), team) == [False, False, False]


def test_other_rows_of_the_project(world):
    project = world.north.projects.get()

    assert may(world.users["ada"], project) == [False, False, False]
    assert may(world.users["ada"], None) == [False, False, False]
    assert may(world.users["ada"], world.north.members.first()) == [False, False, False]


def test_unknown_permission(world):
    assert may(world.users["ada"], world.north, "planning.unknown") == [False]
