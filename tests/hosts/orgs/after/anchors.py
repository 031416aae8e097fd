"""Each organization of the host has a row of the package, which keys belong to."""

from io import StringIO

import pytest
from django.core import serializers
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from closient_auth.models import ApiKey
from closient_auth.models import Organization as Anchor
from tenancy.models import Organization

from .conftest import get_anchor

MESSAGES = ["closient_auth.W032", "closient_auth.W033"]


def sync(*options):
    call_command("sync_organizations", *options, stdout=StringIO(), stderr=StringIO())


def get_anchors():
    return dict(Anchor.objects.values_list("pk", "name"))


def get_organizations():
    return dict(Organization.objects.values_list("pk", "name"))


def test_saved_organization_has_an_anchor(world):
    assert get_anchors() == get_organizations()
    assert len(get_anchors()) == 2


@pytest.mark.parametrize("name", ["x" * 100, "日本語", "...", "admin", "Acme-Inc-Berlin", "acme inc berlin"])
def test_every_name_has_an_anchor(world, name):
    organization = Organization.objects.create(name=name)

    assert get_anchor(organization).name == name
    assert get_anchors() == get_organizations()


def test_organization_made_over_the_api_of_the_host(world, send, get_url):
    created = send("/api/organizations", "outsider", "post", {"name": "New. Org"})
    assert created.status_code == 201

    made = send(get_url("New. Org", "keys").replace("/api/", "/api/account/"), "outsider", "post", {"prefix": "csb"})
    assert made.status_code == 201
    assert send(get_url("New. Org"), made.data["key"]).status_code == 200


def test_sync_makes_the_missing_anchors(world, send, get_url):
    before = set(get_anchors())
    new, other = Organization.objects.bulk_create([Organization(name="Bulk 1"), Organization(name="Bulk 2")])
    world.join(new, "outsider", "owner")
    assert set(get_anchors()) == before
    # Without an anchor, there is no organization for the package.
    assert send(get_url(new), "outsider").status_code == 404

    sync()

    assert get_anchors() == get_organizations()
    assert send(get_url(new), "outsider").status_code == 200
    assert send(get_url(other), "outsider").status_code == 404
    sync()
    assert get_anchors() == get_organizations()


def test_sync_takes_over_the_names(world, acme, rival):
    Organization.objects.filter(pk=acme.pk).update(name="Renamed")
    assert get_anchor(acme).name == "Acme Inc. Berlin"

    sync()

    assert (get_anchor(acme).name, get_anchor(rival).name) == ("Renamed", rival.name)


def test_rename_by_save(acme, rival):
    acme.name = "Renamed"
    acme.save()

    assert (get_anchor(acme).name, get_anchor(rival).name) == ("Renamed", rival.name)


def test_rename_by_update_fields(acme):
    acme.name = "Renamed"
    acme.save(update_fields=["name"])

    assert get_anchor(acme).name == "Renamed"


def test_names_can_be_swapped(acme, rival):
    with transaction.atomic():
        Organization.objects.filter(pk=acme.pk).update(name="-")
        rival.name, acme.name = acme.name, rival.name
        rival.save()
        acme.save()

    assert get_anchors() == {acme.pk: "Rival GmbH & Co.", rival.pk: "Acme Inc. Berlin"} == get_organizations()


@pytest.mark.parametrize("is_bulk", [False, True])
def test_deletion_ends_the_keys(world, acme, rival, send, get_url, is_bulk):
    _, raw_key = world.make_key("csb", acme)
    restricted, _ = world.make_key("csu", "owner", restricted_to=get_anchor(acme))
    user_key, _ = world.make_key("csu", "owner")
    neighbour, other = world.make_key("csb", rival)
    pk, name = acme.pk, acme.name

    (Organization.objects.filter(pk=pk) if is_bulk else acme).delete()

    assert set(get_anchors()) == {rival.pk}
    assert set(ApiKey.objects.values_list("pk", flat=True)) == {neighbour.pk, user_key.pk}
    refused = send(get_url(name), raw_key)
    assert (refused.status_code, refused.data["code"]) == (401, "invalid_api_key")
    assert send(get_url(rival), other).status_code == 200
    # Another organization with the same name does not get them back.
    again = Organization.objects.create(name=name)
    assert again.pk != pk
    assert send(get_url(name), raw_key).status_code == 401
    assert send(get_url(name), "owner").status_code == 404


def test_rolled_back_deletion_keeps_the_keys(world, acme):
    api_key, _ = world.make_key("csb", acme)
    with transaction.atomic():
        acme.delete()
        transaction.set_rollback(True)

    assert get_anchors() == get_organizations()
    assert ApiKey.objects.filter(pk=api_key.pk).exists()


class Tenant(Organization):
    """A proxy, as the admin of a project may use it."""

    class Meta:
        proxy = True
        app_label = "tenancy"


def test_save_by_a_proxy(world, rival):
    tenant = Tenant.objects.create(name="New")
    assert get_anchors() == get_organizations()

    tenant.name = "Renamed"
    tenant.save()
    assert get_anchors() == get_organizations()


def test_deletion_by_a_proxy_ends_the_keys(world, acme, rival, send, get_url):
    world.make_key("csb", acme)
    neighbour, _ = world.make_key("csb", rival)

    Tenant.objects.get(pk=acme.pk).delete()

    assert set(get_anchors()) == {rival.pk}
    assert list(ApiKey.objects.all()) == [neighbour]


def test_fixture_is_followed_by_a_sync(world, acme):
    row = Organization(name="Loaded", created_at=timezone.now())
    (deserialized,) = serializers.deserialize("json", serializers.serialize("json", [row]))
    deserialized.save()
    assert get_anchors() != get_organizations()

    sync()

    assert get_anchors() == get_organizations()


def find_messages():
    return [message.id for message in run_checks(databases=["default"]) if message.id in MESSAGES]


def test_check_tells_of_missing_anchors(world):
    assert find_messages() == []
    Organization.objects.bulk_create([Organization(name="Bulk")])
    assert find_messages() == ["closient_auth.W032"]

    sync()

    assert find_messages() == []


def test_organization_deleted_by_another_program(world, acme, send, get_url):
    orphan = Organization.objects.create(name="Gone")
    api_key, raw_key = world.make_key("csb", orphan)
    neighbour, _ = world.make_key("csb", acme)
    Organization.objects.filter(pk=orphan.pk)._raw_delete("default")
    assert find_messages() == ["closient_auth.W033"]

    # The name is gone, and no person leads there.
    assert send(get_url("Gone"), raw_key).status_code == 404
    assert send(get_url(str(orphan.pk)), "owner").status_code == 404
    sync("--dry-run", "--delete-orphans", "--with-keys")
    sync()
    assert set(ApiKey.objects.all()) == {api_key, neighbour}


def test_sync_deletes_orphans_on_request(world, acme, send, get_url):
    orphans = [Organization.objects.create(name=name) for name in ("Gone", "Gone too")]
    _, raw_key = world.make_key("csb", orphans[0])
    neighbour, _ = world.make_key("csb", acme)
    Organization.objects.filter(name__startswith="Gone")._raw_delete("default")

    sync("--delete-orphans", "--with-keys")

    assert (find_messages(), get_anchors()) == ([], get_organizations())
    assert list(ApiKey.objects.all()) == [neighbour]
    assert send(get_url(str(orphans[0].pk)), raw_key).status_code == 401
