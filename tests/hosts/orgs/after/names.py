"""URLs and X-Organization name an organization as the host does, or by its id."""

from urllib.parse import quote

import pytest
from django.db import connection
from tenancy.access import OrganizationMemberships

from closient_auth.models import Organization as Anchor
from tenancy.models import Organization

from .conftest import get_anchor

NAMES = ["Acme Inc. Berlin", "rival.example", "UPPER lower", "Søren & Söhne", "100% + more", "me", "-", "x" * 100]


@pytest.fixture(params=["csb", "csu", "session"])
def get_credential(request, world):
    """Return a function to get a credential of an organization and its owner."""

    def get_credential(organization, owner):
        if request.param == "session":
            return owner
        return world.make_key(request.param, organization if request.param == "csb" else owner)[1]

    return get_credential


@pytest.mark.parametrize("name", NAMES)
def test_name_of_the_host(world, send, get_url, get_credential, name):
    organization, _ = Organization.objects.get_or_create(name=name)
    world.join(organization, "owner", "owner")
    world.make_rows(organization)
    credential = get_credential(organization, "owner")

    for named in (name, str(organization.pk), organization.pk.hex):
        response = send(get_url(named), credential)
        assert (response.status_code, [row["name"] for row in response.data["results"]]) == (
            200,
            [f"Project of {name}"],
        )
    assert send(get_url(organization, "tags"), credential, "post", {"name": "new"}).status_code == 201
    assert organization.tags.filter(name="new").exists()


@pytest.mark.parametrize("other", ["Rival GmbH & Co.", "Acme Inc", "Acme Inc. Berlin.", "unknown"])
def test_other_names_are_not_found(acme, send, get_url, get_credential, other):
    response = send(get_url(other), get_credential(acme, "owner"))

    assert (response.status_code, response.data) == (404, {"detail": "Not found."})


@pytest.mark.skipif(connection.vendor == "mysql", reason="the database compares these texts as equal")
@pytest.mark.parametrize("other", ["acme inc. berlin", "Acme Inc. Berlin "])
def test_similar_names_are_not_found(acme, send, get_url, get_credential, other):
    assert send(get_url(other), get_credential(acme, "owner")).status_code == 404


def test_header(world, acme, rival, send, get_url, get_credential):
    credential = get_credential(acme, "owner")
    for named in (acme.name, str(acme.pk)):
        assert send(get_url(acme), credential, **{"X-Organization": named}).status_code == 200
    # The URL and the header disagree.
    for named in (rival.name, str(rival.pk)):
        assert send(get_url(acme), credential, **{"X-Organization": named}).status_code == 404


def test_management_api_takes_the_name(acme, rival, send, get_url, get_credential):
    credential = get_credential(acme, "owner")
    for named in (acme.name, str(acme.pk)):
        url = get_url(named, "").replace("/api/", "/api/account/").rstrip("/")
        assert send(url, credential).data["name"] == acme.name
        assert send(f"{url}/keys", credential).status_code == 200
    assert send(get_url(rival, "keys").replace("/api/", "/api/account/"), credential).status_code == 404


def test_a_name_that_is_the_id_of_another_organization(world, acme, rival, send, get_url, get_credential):
    """The id wins, so the name leads nowhere: not to its own organization, and never to a foreign one."""
    decoy = Organization.objects.create(name=str(acme.pk))
    world.join(decoy, "rival", "owner")
    world.make_rows(decoy)
    world.make_rows(acme)

    # The members of both get what the id says.
    found = send(get_url(str(acme.pk)), get_credential(acme, "owner"))
    assert [row["name"] for row in found.data["results"]] == [f"Project of {acme}"]
    credential = get_credential(decoy, "rival")
    refused = send(get_url(str(acme.pk), "tags"), credential, "post", {"name": "new"})
    assert refused.status_code in (201, 404)
    assert list(acme.tags.values_list("name", flat=True)) == [f"Tag of {acme}"]
    # Its own id always names it.
    found = send(get_url(str(decoy.pk)), credential)
    assert [row["name"] for row in found.data["results"]] == [f"Project of {decoy}"]


def test_member_of_both_gets_what_the_id_says(world, acme, send, get_url):
    decoy = Organization.objects.create(name=str(acme.pk))
    world.join(decoy, "owner", "owner")
    world.make_rows(decoy)
    world.make_rows(acme)
    _, raw_key = world.make_key("csu", "owner")

    for credential in (raw_key, "owner", "superuser"):
        found = send(get_url(str(acme.pk)), credential)
        assert [row["name"] for row in found.data["results"]] == [f"Project of {acme}"]


def test_renamed_organization_has_its_new_name_at_once(world, acme, send, get_url, get_credential):
    credential = get_credential(acme, "owner")
    Organization.objects.filter(pk=acme.pk).update(name="Acme 2")

    assert send(get_url("Acme Inc. Berlin"), credential).status_code == 404
    assert send(get_url("Acme 2"), credential).status_code == 200
    assert send(get_url(str(acme.pk)), credential).status_code == 200


def test_slug_of_another_organization_is_only_a_name(world, acme, send, get_url, get_credential):
    """The package makes slugs from names, so the name of one organization can be the slug of another."""
    twin = Organization.objects.create(name=get_anchor(acme).slug)
    world.join(twin, "rival", "owner")
    world.make_rows(twin)
    world.make_rows(acme)

    found = send(get_url(twin), get_credential(twin, "rival"))
    assert [row["name"] for row in found.data["results"]] == [f"Project of {twin}"]
    assert send(get_url(twin), get_credential(acme, "owner")).status_code == 404


@pytest.mark.parametrize("name", ["\0", "Acme Inc. Berlin\0", "\ud800", "x" * 5000, "'; --", "%"])
def test_hostile_names_are_not_found(acme, send, get_credential, name):
    path = f"/api/organizations/{quote(name, errors='surrogatepass')}/projects"
    assert send(path, get_credential(acme, "owner")).status_code == 404


def test_class_that_forgets_to_filter_finds_no_foreign_organization(world, acme, rival, send, get_url, monkeypatch):
    def named(self, organizations, name):
        return Anchor.objects.filter(pk__in=Organization.objects.filter(name=name).values("pk"))

    monkeypatch.setattr(OrganizationMemberships, "named", named)
    for credential in ("member", world.make_key("csu", "member")[1], world.make_key("csb", acme)[1]):
        assert send(get_url(acme), credential).status_code == 200
        refused = send(get_url(rival), credential)
        assert (refused.status_code, refused.data) == (404, {"detail": "Not found."})
