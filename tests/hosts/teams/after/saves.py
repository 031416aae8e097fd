"""Teams that are saved and deleted in less usual ways keep one organization each."""

import pytest
from django.db import IntegrityError, transaction

from after.sync import sync
from after.world import make_key, send
from closient_auth.models import Organization
from teams.models import Team


class BigTeam(Team):
    class Meta:
        proxy = True
        app_label = "teams"


def get_anchor(slug):
    return Team.objects.get(slug=slug).organization


@pytest.fixture
def stale(world):
    """Return a team that was read before its organization was made."""
    Team.objects.bulk_create([Team(name="West", slug="west")])
    team = Team.objects.get(slug="west")
    sync()
    return team


def test_some_fields(world):
    world.north.name = "Northern"
    world.north.save(update_fields=["name"])

    assert get_anchor("North.Side").name == "Northern"


def test_team_read_without_the_link(world):
    team = Team.objects.only("name").get(slug="North.Side")
    team.name = "Northern"
    team.save()

    assert get_anchor("North.Side").name == "Northern"
    assert world.users["ada"].has_perm("planning.bill", Team.objects.only("name").get(slug="North.Side"))


def test_failed_insert(world):
    with pytest.raises(IntegrityError), transaction.atomic():
        Team.objects.create(name="Other", slug="south")

    assert Organization.objects.count() == 2


def test_get_or_create(world):
    team, is_new = Team.objects.get_or_create(slug="west", defaults={"name": "West"})
    again, _ = Team.objects.get_or_create(slug="west", defaults={"name": "West"})

    assert is_new
    assert team.organization == again.organization
    assert Organization.objects.count() == 3


def test_stale_team_is_saved(stale):
    key = make_key(Team.objects.get(slug="west"))
    stale.name = "Western"
    stale.save()

    assert Organization.objects.count() == 3
    assert get_anchor("west").name == "Western"
    assert send("GET", "/api/teams/west/projects/", key=key).status_code == 200


def test_stale_team_is_deleted(stale):
    key = make_key(Team.objects.get(slug="west"))
    stale.delete()

    assert Organization.objects.count() == 2
    assert send("GET", "/api/tasks/", key=key).status_code == 401


def test_team_read_without_the_link_is_deleted(world):
    key = make_key(world.south)

    Team.objects.only("name").get(slug="south").delete()

    assert list(Organization.objects.all()) == [world.north.organization]
    assert send("GET", "/api/tasks/", key=key).status_code == 401


def test_team_is_saved_as_a_proxy(world):
    team = BigTeam.objects.create(name="West", slug="west")

    assert get_anchor("west").name == "West"
    team.name = "Western"
    team.save()
    assert get_anchor("west").name == "Western"


def test_team_is_deleted_as_a_proxy(world):
    key = make_key(world.south)

    BigTeam.objects.get(slug="south").delete()

    assert list(Organization.objects.all()) == [world.north.organization]
    assert send("GET", "/api/tasks/", key=key).status_code == 401


def test_proxy_of_a_team_has_its_permissions(world):
    assert world.users["ada"].has_perm("planning.bill", BigTeam.objects.get(slug="North.Side"))
    assert not world.users["pia"].has_perm("planning.bill", BigTeam.objects.get(slug="North.Side"))


def test_copy_of_a_team(world):
    """The documentation of Django copies a row by saving it without its primary key."""
    team = Team.objects.get(slug="south")
    team.pk, team.slug, team._state.adding = None, "west", True
    team.save()

    assert get_anchor("west") not in (None, get_anchor("south"))
    assert Organization.objects.count() == 3
