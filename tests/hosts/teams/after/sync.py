"""``sync_organizations`` makes the organizations that are missing."""

import io

from django.core.management import call_command

from after.world import make_key, send, snapshot
from closient_auth.models import Organization
from teams.models import Team


def sync():
    output = io.StringIO()
    call_command("sync_organizations", stdout=output)
    return output.getvalue()


def test_teams_of_a_bulk_insert(world):
    Team.objects.bulk_create([Team(name="West", slug="West.2"), Team(name="East", slug="East")])
    west = Team.objects.get(slug="West.2")
    west.set_roles(world.users["zoe"], ["planner"])
    others, key = snapshot(world.north), make_key(world.users["zoe"])
    assert west.organization is None
    assert send("GET", "/api/teams/West.2/projects/", key=key).status_code == 404
    assert send("GET", "/api/teams/West.2/", user=world.users["zoe"]).status_code == 200

    sync()

    west.refresh_from_db()
    assert west.organization.name == "West"
    assert Organization.objects.count() == Team.objects.count() == 4
    assert send("GET", "/api/teams/West.2/projects/", key=key).status_code == 200
    assert send("GET", "/api/tasks/", key=make_key(west)).status_code == 200
    assert snapshot(world.north) == others


def test_twice_is_once(world):
    Team.objects.bulk_create([Team(name="West", slug="West.2")])
    sync()
    before = snapshot()

    sync()

    assert snapshot() == before


def test_teams_with_one_name(world):
    Team.objects.bulk_create([Team(name="North", slug=f"north-{number}") for number in range(3)])

    sync()

    assert Organization.objects.filter(name="North").count() == 4
    assert len(set(Team.objects.values_list("organization", flat=True))) == 5


def test_longest_name_and_one_that_makes_no_slug(world):
    Team.objects.bulk_create([Team(name="n" * 200, slug="long"), Team(name="北", slug="bei")])

    sync()

    assert not Team.objects.filter(organization=None).exists()
    assert Team.objects.get(slug="bei").organization.name == "北"


def test_team_that_is_saved(world):
    team = Team.objects.create(name="New", slug="new")

    assert Team.objects.get(pk=team.pk).organization.name == "New"
    anchor = team.organization_id
    team.name = "Newer"
    team.save()
    assert Team.objects.get(pk=team.pk).organization_id == anchor
    assert Organization.objects.count() == 3
