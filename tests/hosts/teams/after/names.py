"""Requests name a team as the project does, or by the id of its organization."""

import pytest

from after.world import get_body, make_key, send
from teams.models import Team

NOT_FOUND = (404, {"detail": "Not found."})
CREDENTIALS = ["business key", "user key", "session", "superuser's session"]


@pytest.fixture(params=CREDENTIALS)
def credential(request, world):
    if request.param == "business key":
        return {"key": make_key(world.north)}
    if request.param == "user key":
        return {"key": make_key(world.users["pia"])}
    return {"user": world.users["pia" if request.param == "session" else "root"]}


def list_titles(response):
    assert response.status_code == 200, response.content
    return [row.get("title") or row["name"] for row in get_body(response)]


def test_name_in_the_url(credential):
    assert list_titles(send("GET", "/api/teams/North.Side/projects/", **credential)) == ["North bridge"]


def test_name_in_the_header(credential):
    assert list_titles(send("GET", "/api/tasks/", team="North.Side", **credential)) == ["North plan"]


def test_id_in_the_url_and_the_header(world, credential):
    anchor = str(world.north.organization_id)

    assert list_titles(send("GET", f"/api/teams/{anchor}/projects/", **credential)) == ["North bridge"]
    assert list_titles(send("GET", "/api/tasks/", team=anchor, **credential)) == ["North plan"]
    assert list_titles(send("GET", "/api/teams/North.Side/projects/", team=anchor, **credential)) == ["North bridge"]


def test_two_different_names(world, credential):
    for team in ("south", str(world.south.organization_id)):
        response = send("GET", "/api/teams/North.Side/projects/", team=team, **credential)
        assert (response.status_code, get_body(response)) == NOT_FOUND


@pytest.mark.parametrize("name", ["nowhere", "North", "", "%00", "5", "North.Side/"])
def test_unknown_name(credential, name):
    response = send("GET", "/api/tasks/", team=name, **credential)

    assert (response.status_code, get_body(response)) == NOT_FOUND


def test_slug_of_the_organization_is_not_a_name(world, credential):
    slug = world.north.organization.slug
    assert slug != world.north.slug

    response = send("GET", "/api/tasks/", team=slug, **credential)

    assert (response.status_code, get_body(response)) == NOT_FOUND


def test_new_name_acts_at_once(world, credential):
    Team.objects.filter(pk=world.north.pk).update(slug="Up.North")

    assert list_titles(send("GET", "/api/tasks/", team="Up.North", **credential)) == ["North plan"]
    assert send("GET", "/api/tasks/", team="North.Side", **credential).status_code == 404


def test_longest_name(world, credential):
    slug = "L" + "ong." * 24 + "xyz"
    assert len(slug) == 100
    Team.objects.filter(pk=world.north.pk).update(slug=slug)

    assert list_titles(send("GET", f"/api/teams/{slug}/projects/", **credential)) == ["North bridge"]


def test_no_name_in_a_single_team(world):
    for credential in ({"key": make_key(world.north)}, {"key": make_key(world.users["pia"])}):
        assert list_titles(send("GET", "/api/tasks/", **credential)) == ["North plan"]
    assert list_titles(send("GET", "/api/tasks/", user=world.users["pia"])) == ["North plan"]


def test_no_name_in_two_teams(world):
    world.south.set_roles(world.users["pia"], ["viewer", "accountant"])

    for credential in ({"key": make_key(world.users["pia"])}, {"user": world.users["pia"]}):
        response = send("GET", "/api/tasks/", **credential)
        assert (response.status_code, get_body(response)["code"]) == (400, "organization_required")
        assert [row["name"] for row in get_body(response)["organizations"]] == ["North", "South"]
        assert list_titles(send("GET", "/api/tasks/", team="south", **credential)) == ["South plan"]


def test_several_roles_make_one_membership(world):
    assert list_titles(send("GET", "/api/tasks/", key=make_key(world.users["both"]))) == ["North plan"]


def test_name_that_looks_like_the_id_of_another_team(world):
    """The id wins for whoever may use it; everybody else still reaches their own team."""
    Team.objects.filter(pk=world.south.pk).update(slug=str(world.north.organization_id))
    name = str(world.north.organization_id)

    assert list_titles(send("GET", "/api/tasks/", team=name, key=make_key(world.north))) == ["North plan"]
    assert list_titles(send("GET", "/api/tasks/", team=name, key=make_key(world.users["pia"]))) == ["North plan"]
    assert list_titles(send("GET", "/api/tasks/", team=name, user=world.users["root"])) == ["North plan"]
    assert list_titles(send("GET", "/api/tasks/", team=name, key=make_key(world.users["zoe"]))) == ["South plan"]
    world.north.set_roles(world.users["zoe"], ["viewer"])
    assert list_titles(send("GET", "/api/tasks/", team=name, key=make_key(world.users["zoe"]))) == ["North plan"]
