"""The commands know the names and members of the project."""

import io
from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.utils import timezone

from after.world import User, get_body, send
from closient_auth.models import ApiKey


def run(*arguments):
    output = io.StringIO()
    call_command(*arguments, stdout=output, stderr=io.StringIO())
    return output.getvalue()


def test_key_for_a_team(world):
    key = run("create_api_key", "csb", "--organization", "North.Side").strip()

    assert get_body(send("GET", "/api/tasks/", key=key))[0]["title"] == "North plan"


def test_user_key_for_one_team(world):
    world.south.set_roles(world.users["pia"], ["planner"])
    key = run("create_api_key", "csu", "--user", "pia", "--restricted-to", "North.Side").strip()

    assert send("GET", "/api/tasks/", key=key, team="North.Side").status_code == 200
    assert send("GET", "/api/tasks/", key=key, team="south").status_code == 404


def test_unknown_team(world):
    before = ApiKey.objects.count()
    with pytest.raises(CommandError, match="nowhere"):
        run("create_api_key", "csb", "--organization", "nowhere")

    assert ApiKey.objects.count() == before


def test_keys_of_a_team(world):
    listed = run("list_api_keys", "--organization", "North.Side", "--type", "csb")

    assert str(world.rows[world.north]["key"]) in listed
    assert str(world.rows[world.south]["key"]) not in listed


def test_reminders_go_to_members_who_manage_keys(world):
    for user in User.objects.all():
        User.objects.filter(pk=user.pk).update(email=f"{user.username}@example.com")
    soon = timezone.now() + timedelta(days=3)
    ApiKey.objects.create_key(prefix="csb", organization=world.north.organization, name="soon", expires_at=soon)

    run("remind_expiring_api_keys")

    assert sorted(message.to[0] for message in mail.outbox) == ["ada@example.com", "lea@example.com"]


def test_owners_are_unknown(world):
    with pytest.raises(CommandError, match="MEMBERSHIPS"):
        run("list_ownerless_organizations")
