"""Teams and people come and go as before; their organizations and keys go with them."""

import pytest
from django.db import transaction
from django.db.models import ProtectedError

from after.world import ROLES, User, get_body, make_client, make_key, send, snapshot
from closient_auth.models import ApiKey, Organization
from teams.models import Team, TeamMember


def delete_with_the_model(world):
    world.north.delete()


def delete_with_a_query(world):
    Team.objects.filter(pk=world.north.pk).delete()


def delete_over_the_api(world):
    assert send("DELETE", "/api/teams/North.Side/", user=world.users["ada"]).status_code == 204


def delete_in_the_admin(world):
    client = make_client(world.users["root"])
    assert (
        client.post(f"/admin/teams/team/{world.north.pk}/delete/", {"post": "yes"}, format="multipart").status_code
        == 302
    )


def delete_with_the_action_of_the_admin(world):
    client = make_client(world.users["root"])
    data = {"action": "delete_selected", "_selected_action": [world.north.pk], "post": "yes"}
    assert client.post("/admin/teams/team/", data, format="multipart").status_code == 302


@pytest.mark.parametrize(
    "delete",
    [
        delete_with_the_model,
        delete_with_a_query,
        delete_over_the_api,
        delete_in_the_admin,
        delete_with_the_action_of_the_admin,
    ],
)
def test_deleted_team_takes_its_organization_and_keys(world, delete):
    key, user_key = make_key(world.north), make_key(world.users["pia"])
    others, anchor = snapshot(world.south), world.north.organization_id

    delete(world)

    assert not Team.objects.filter(pk=world.north.pk).exists()
    assert not Organization.objects.filter(pk=anchor).exists()
    assert not ApiKey.objects.filter(organization_id=anchor).exists()
    assert send("GET", "/api/tasks/", key=key).status_code == 401
    assert send("GET", "/api/teams/North.Side/projects/", key=user_key).status_code == 404
    assert snapshot(world.south) == others


def test_rolled_back_deletion(world):
    before = snapshot()
    with transaction.atomic():
        world.north.delete()
        transaction.set_rollback(True)

    assert snapshot() == before


def test_team_without_an_organization_is_deleted(world):
    Team.objects.bulk_create([Team(name="New", slug="new")])
    others = snapshot(world.south)

    Team.objects.get(slug="new").delete()

    assert snapshot(world.south) == others
    assert Organization.objects.count() == 2


def test_organization_of_a_team_cannot_be_deleted_alone(world):
    with pytest.raises(ProtectedError), transaction.atomic():
        Organization.objects.filter(pk=world.north.organization_id).delete()

    assert Team.objects.get(slug="North.Side").organization_id == world.north.organization_id


@pytest.mark.parametrize("name", [name for name in ROLES if name != "gone"])
def test_every_member_can_be_deleted(world, name):
    user = world.users[name]
    key, business_key, others = make_key(user), make_key(world.north, created_by=user), snapshot(world.south)

    user.delete()

    assert not User.objects.filter(username=name).exists()
    assert not TeamMember.objects.filter(team=world.north, user__username=name).exists()
    assert send("GET", "/api/tasks/", key=key).status_code == 401
    assert send("GET", "/api/tasks/", key=business_key).status_code == 200
    assert snapshot(world.south) == others


def test_the_only_admin_steps_down_and_leaves(world):
    session = {"user": world.users["zoe"]}

    assert send("PUT", "/api/teams/south/members/zoe/", data={"roles": ["lead"]}, **session).status_code == 200
    assert send("DELETE", "/api/teams/south/members/zoe/", **session).status_code == 204

    assert send("GET", "/api/tasks/", team="south", key=make_key(world.users["zoe"])).status_code == 404
    assert send("GET", "/api/tasks/", key=make_key(world.south)).status_code == 200


def test_founder_of_a_team_makes_keys_at_once(world):
    session = {"user": world.users["vic"]}
    assert send("POST", "/api/teams/", data={"name": "West", "slug": "West.2"}, **session).status_code == 201

    made = send("POST", "/account/api/v1/organizations/West.2/keys", data={"prefix": "csb"}, **session)

    assert made.status_code == 201, made.content
    assert get_body(send("GET", "/api/tasks/", key=get_body(made)["key"])) == []
    assert Team.objects.get(slug="West.2").organization.name == "West"


def test_refused_team_leaves_no_organization(world):
    refused = send("POST", "/api/teams/", data={"name": "Other", "slug": "south"}, user=world.users["vic"])

    assert refused.status_code == 400
    assert Organization.objects.count() == 2


def test_renamed_team(world):
    renamed = send("PATCH", "/api/teams/North.Side/", data={"name": "Northern"}, user=world.users["ada"])

    assert renamed.status_code == 200
    me = get_body(send("GET", "/account/api/v1/me", key=make_key(world.north)))
    assert [row["id"] for row in me["organizations"]] == [str(world.north.organization_id)]
