"""People make keys over the management API, by the permissions that the host gives them."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import timezone

from closient_auth.models import ApiKey
from closient_auth.models import Membership as RoleMembership
from closient_auth.roles import Permission
from tenancy import access
from tenancy.models import Membership

from .conftest import get_anchor

VIEW, CONTRIBUTE = "organization.view_organization", "organization.contribute_organization"
MANAGE, DELETE = "organization.manage_api_keys", "tracker.delete_rows"


@pytest.fixture
def keys(get_url, acme):
    return get_url(acme, "keys").replace("/api/", "/api/account/")


@pytest.fixture
def clerks(monkeypatch):
    """Let members manage keys, but not delete rows."""
    monkeypatch.setitem(access.PERMISSIONS, "member", {VIEW, CONTRIBUTE, MANAGE})


def test_key_of_an_owner_may_do_all(world, acme, send, get_url, keys):
    project, _, _ = world.make_rows(acme)
    made = send(keys, "owner", "post", {"prefix": "csb", "name": "server"})

    assert (made.status_code, made.data["permissions"], made.data["created_by"]) == (
        201,
        sorted([*Permission, "tracker.delete_rows"]),
        "owner@advisories.example",
    )
    assert send(get_url(acme, f"projects/{project.pk}"), made.data["key"], "delete").status_code == 204


def test_member_without_the_permission_makes_no_key(world, send, keys):
    refused = send(keys, "member", "post", {"prefix": "csb"})

    assert (refused.status_code, refused.data["required_permission"]) == (403, MANAGE)
    assert not ApiKey.objects.exists()


@pytest.mark.usefixtures("clerks")
def test_key_may_do_what_its_maker_may(world, acme, send, get_url, keys):
    project, _, _ = world.make_rows(acme)
    made = send(keys, "member", "post", {"prefix": "csb"})
    path = get_url(acme, f"projects/{project.pk}")

    assert (made.status_code, made.data["permissions"]) == (201, sorted([VIEW, CONTRIBUTE, MANAGE]))
    assert send(path, made.data["key"]).status_code == 200
    refused = send(path, made.data["key"], "delete")
    assert (refused.status_code, refused.data["required_permission"]) == (403, DELETE)
    assert acme.projects.count() == 1


@pytest.mark.usefixtures("clerks")
def test_people_do_not_grant_what_they_lack(world, acme, send, keys):
    refused = send(keys, "member", "post", {"prefix": "csb", "permissions": [VIEW, DELETE]})
    assert (refused.status_code, refused.data["code"]) == (403, "permission_denied")
    assert DELETE in refused.data["detail"]
    assert not ApiKey.objects.exists()

    made = send(keys, "member", "post", {"prefix": "csb", "permissions": [VIEW]})
    refused = send(f"{keys}/{made.data['id']}", "member", "patch", {"permissions": [DELETE]})
    assert (refused.status_code, refused.data["code"]) == (403, "permission_denied")
    assert ApiKey.objects.get().permissions == [VIEW]


@pytest.mark.usefixtures("clerks")
def test_rotation_takes_away_what_the_person_lacks(world, acme, send, get_url, keys):
    api_key, raw_key = world.make_key("csb", acme)
    project, _, _ = world.make_rows(acme)

    rotated = send(f"{keys}/{api_key.pk}/rotate", "member", "post", {})

    assert (rotated.status_code, rotated.data["permissions"]) == (201, sorted([VIEW, CONTRIBUTE, MANAGE]))
    assert send(get_url(acme), raw_key).data["code"] == "invalid_api_key"
    path = get_url(acme, f"projects/{project.pk}")
    assert send(path, rotated.data["key"], "delete").data["required_permission"] == DELETE
    assert acme.projects.count() == 1


@pytest.mark.usefixtures("clerks")
def test_demotion_ends_the_management_at_the_next_request(world, send, keys):
    assert send(keys, "member").status_code == 200
    Membership.objects.filter(user=world.users["member"]).update(date_joined=None)

    assert (send(keys, "member").status_code, send(keys, "member").data) == (404, {"detail": "Not found."})
    assert send(keys, "owner").status_code == 200


def test_permissions_of_the_host_are_known(world, acme, send, keys):
    unknown = send(keys, "owner", "post", {"prefix": "csb", "permissions": ["tracker.delete_row"]})
    assert unknown.status_code == 400
    assert not ApiKey.objects.exists()

    made = send(keys, "owner", "post", {"prefix": "csb", "permissions": [DELETE]})
    assert (made.status_code, made.data["permissions"]) == (201, [DELETE])
    assert set(send("/api/account/me", made.data["key"]).data["organizations"][0]["permissions"]) == {DELETE}


def test_restricted_user_key(world, acme, rival, send, get_url):
    world.join(rival, "member", "owner")
    body = {"restricted_to": acme.name, "permissions": [VIEW]}
    made = send("/api/account/me/keys", "member", "post", body)

    assert (made.status_code, str(made.data["restricted_to"])) == (201, str(acme.pk))
    key = made.data["key"]
    assert send(get_url(acme), key).status_code == 200
    assert send(get_url(acme), key, "post", {"name": "new"}).data["required_permission"] == CONTRIBUTE
    assert send(get_url(rival), key).status_code == 404
    assert (acme.projects.count(), rival.projects.count()) == (0, 0)

    foreign = send("/api/account/me/keys", "outsider", "post", {"restricted_to": acme.name})
    assert (foreign.status_code, list(foreign.data)) == (400, ["restricted_to"])


def test_shut_out_user_key(world, acme, rival, send, get_url):
    world.join(rival, "member", "owner")
    api_key, raw_key = world.make_key("csu", "member")

    path = get_url(acme, f"user-keys/{api_key.pk}").replace("/api/", "/api/account/")
    assert send(path, "owner", "patch", {"shut_out": True}).data["shut_out"] is True

    refused = send(get_url(acme), raw_key)
    assert (refused.status_code, refused.data["code"]) == (403, "user_key_not_allowed")
    assert send(get_url(rival), raw_key).status_code == 200


def test_suspended_organization(world, acme, rival, send, get_url):
    _, business = world.make_key("csb", acme)
    _, user_key = world.make_key("csu", "owner")
    get_anchor(acme).suspend()

    for credential in (business, user_key, "owner"):
        refused = send(get_url(acme), credential)
        assert (refused.status_code, refused.data["code"]) == (403, "organization_suspended")
    assert send(get_url(rival), "rival").status_code == 200
    assert not world.users["owner"].has_perm(VIEW, acme)


def test_reminders_go_to_the_members_who_manage_keys(world, acme, rival, mailoutbox):
    world.make_key("csb", acme, name="server", expires_at=timezone.now() + timedelta(hours=12))
    world.join(acme, "member", "member")

    call_command("remind_expiring_api_keys", stdout=StringIO())
    assert [mail.to for mail in mailoutbox] == [["owner@advisories.example"]]

    mailoutbox.clear()
    Membership.objects.filter(user=world.users["invitee"]).update(date_joined=timezone.now())
    Membership.objects.filter(user=world.users["owner"]).update(role="member")
    call_command("remind_expiring_api_keys", stdout=StringIO())
    assert [mail.to for mail in mailoutbox] == [["invitee@advisories.example"]]


def test_commands_take_the_names_of_the_host(world, acme, rival):
    output = StringIO()
    call_command("create_api_key", "csb", organization=acme.name, stdout=output)

    assert ApiKey.objects.get().organization_id == acme.pk
    with pytest.raises(CommandError):
        call_command("create_api_key", "csb", organization="Acme", stdout=output)
    assert ApiKey.objects.count() == 1


COMMANDS = [
    ("list_api_keys",),
    ("collect_api_key_usage",),
    ("prune_audit_entries", "--older-than", "1"),
    ("remind_expiring_api_keys",),
    ("forget_user", "member@advisories.example"),
    ("sync_organizations",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_commands_run(world, acme, command):
    api_key, _ = world.make_key("csb", acme)
    call_command(*command, stdout=StringIO(), stderr=StringIO())

    assert ApiKey.objects.get().state == "active"
    assert acme.memberships.count() == 4


def test_command_about_owners_refers_to_the_host(world):
    with pytest.raises(CommandError, match="MEMBERSHIPS"):
        call_command("list_ownerless_organizations", stdout=StringIO())


@pytest.mark.usefixtures("clerks")
def test_role_of_the_package_adds_nothing(world, acme, send, keys):
    """Such a row may be left over from before the project named its own class."""
    for name in ("member", "outsider"):
        RoleMembership.objects.create(organization=get_anchor(acme), user=world.users[name], role="owner")

    made = send(keys, "member", "post", {"prefix": "csb"})
    assert (made.status_code, made.data["permissions"]) == (201, sorted([VIEW, CONTRIBUTE, MANAGE]))
    refused = send(keys, "member", "post", {"prefix": "csb", "permissions": [DELETE]})
    assert (refused.status_code, refused.data["code"]) == (403, "permission_denied")
    with pytest.raises(PermissionDenied, match="not a member"):
        world.make_key("csb", acme, by=world.users["outsider"])
    assert ApiKey.objects.count() == 1
