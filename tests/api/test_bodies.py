"""Request bodies on every route that reads one: fields that cannot be set, and text that cannot be stored."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client
from rest_framework.test import APIClient

from closient_auth.models import ApiKey, Invitation, Membership, Organization
from tests.api.test_matrix import OWN_ROWS
from tests.api.world import snapshot

RESTRICTIONS = ("permissions", "restricted_to", "allowed_networks", "allowed_origins")
KEY_FIELDS = ("name", "description", "expires_at", "rate_limit_per_minute", "rate_limit_per_day", *RESTRICTIONS)
# Each route has a model, and the fields that the body can set.
WRITABLE = {
    "POST /me/keys": (ApiKey, KEY_FIELDS),
    "PATCH /me/keys/{id}": (ApiKey, KEY_FIELDS),
    "POST /me/keys/{id}/rotate": (ApiKey, ("grace_seconds", "expires_at")),
    "POST /organizations": (Organization, ("name", "slug")),
    "PATCH /organizations/{organization}": (Organization, ("name", "slug", "user_keys_allowed")),
    "POST /organizations/{organization}/keys": (ApiKey, ("prefix", *KEY_FIELDS)),
    "PATCH /organizations/{organization}/keys/{id}": (ApiKey, KEY_FIELDS),
    "POST /organizations/{organization}/keys/{id}/rotate": (ApiKey, ("grace_seconds", "expires_at")),
    "PATCH /organizations/{organization}/user-keys/{id}": (ApiKey, ("shut_out",)),
    "PATCH /organizations/{organization}/members/{id}": (Membership, ("role",)),
    "POST /organizations/{organization}/invitations": (Invitation, ("email", "role")),
    "POST /organizations/{organization}/invitations/{id}/resend": (Invitation, ()),
    "POST /invitations/accept": (Membership, ("token",)),
    "POST /invitations/decline": (Invitation, ("token",)),
    "POST /invitations/preview": (Invitation, ("token",)),
}
HOSTILE = ["\0", "\ud800", "a\udfffb"]


@pytest.fixture
def send_more(world):
    """Send an Owner's request with additional fields, and assert that it changes no row."""

    def send_more(row, more):
        owner = world.people["owner"]
        own = (world.acme.pk, world.get_id(row, world.acme, owner), world.tokens[owner])
        response = world.ask("owner", row, *own, more)
        assert snapshot() == world.rows
        return response

    return send_more


def test_every_route_with_a_body_is_here():
    assert WRITABLE.keys() == {row for row in OWN_ROWS if row.startswith(("POST", "PATCH"))}


@pytest.mark.parametrize("row", WRITABLE)
def test_what_is_not_to_be_set_is_named(send_more, row):
    model, writable = WRITABLE[row]
    columns = {name for field in model._meta.concrete_fields for name in (field.name, field.attname)}

    for name in {*columns, "pk", "nonsense"} - set(writable):
        response = send_more(row, {name: "1"})
        told = f"This field cannot be set. Writable fields: {', '.join(sorted(writable)) or '-'}."
        assert (response.status_code, response.json()) == (HTTPStatus.BAD_REQUEST, {name: [told]})


@pytest.mark.parametrize("row", WRITABLE)
def test_error_does_not_grow_with_the_body(send_more, row):
    _, writable = WRITABLE[row]
    long = "x" * 100_000

    response = send_more(row, {f"unknown-{number}": 0 for number in range(20_000)})
    assert response.json().keys() == {f"unknown-{number}" for number in range(10)}
    assert len(response.content) < 2500

    values = [long, [long], {long: long}, 10**4000]
    for more in [{long: 0}, {long: 0, f"{long}y": 0}, *({name: value} for name in writable for value in values)]:
        response = send_more(row, more)
        assert (response.status_code, len(response.content) < 500) == (HTTPStatus.BAD_REQUEST, True), response.content


def test_error_of_a_body_that_is_no_object_does_not_grow(send, tree):
    long = "x" * 100_000
    for body in (long, [long], [{long: 0}] * 1000):
        response = send("owner", "post", f"{tree}/keys", body)
        assert (response.status_code, len(response.content) < 500) == (HTTPStatus.BAD_REQUEST, True)


@pytest.mark.parametrize("row", [row for row in OWN_ROWS if row.startswith("GET")])
def test_error_does_not_grow_with_the_query(world, row):
    owner = world.people["owner"]
    names = (
        *("page", "page_size", "prefix", "state", "unused_since", "role", "q", "status", "event", "actor"),
        *("target_id", "since", "until", "x" * 10_000),
    )
    url = row.removeprefix("GET ").format(organization=world.acme.pk, id=world.get_id(row, world.acme, owner))
    for name in names:
        response = world.call(f"{url}?{name}={'x' * 10_000}", user=owner)
        assert response.status_code in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST)
        # The links of a list repeat the query.
        assert response.status_code == HTTPStatus.OK or len(response.content) < 500, response.content


@pytest.mark.unmeasured
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("row", WRITABLE)
def test_text_that_cannot_be_kept(send_more, row, text):
    _, writable = WRITABLE[row]

    for more in [{text: 1}, *({name: text} for name in writable)]:
        assert send_more(row, more).status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("text", HOSTILE[1:], ids=ascii)
def test_half_a_surrogate_pair_is_told(send, tree, text):
    for body in (text, [text], {"name": {"deep": [text]}}, {"name": {text: 1}}):
        response = send("owner", "post", f"{tree}/keys", body)
        assert response.json() == {"detail": "The JSON contains invalid Unicode."}
    whole = send("owner", "post", f"{tree}/keys", {"prefix": "csb", "name": "\U0001f511"})
    assert whole.json()["name"] == "\U0001f511"


@pytest.mark.parametrize("charset", ["utf-8", "punycode", "zip", "bz2", "utf-16", "nonsense"])
def test_body_is_utf8_whatever_it_says(people, charset):
    """``punycode`` can take minutes, and ``zip`` and ``bz2`` decompress."""
    client = APIClient()
    client.force_authenticate(people["outsider"])
    body = '{"name": "Ácme"}'

    response = client.generic("POST", "/organizations", body, content_type=f"application/json; charset={charset}")

    assert (response.status_code, response.json()["name"]) == (HTTPStatus.CREATED, "Ácme")


@pytest.mark.parametrize("size", [100, 101])
def test_body_is_as_long_as_django_allows(people, settings, size):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    client = Client(raise_request_exception=False)
    client.force_login(people["outsider"])
    body = '{"name": "New"}'.ljust(size)

    response = client.post("/organizations", body, content_type="application/json")

    assert Organization.objects.filter(name="New").exists() == (size == 100)
    assert response.status_code in ([HTTPStatus.CREATED] if size == 100 else [HTTPStatus.BAD_REQUEST, 413])


def test_body_of_a_deletion_is_not_read(send, tree, acme):
    assert send("owner", "delete", tree, {"nonsense": 1}).status_code == HTTPStatus.NO_CONTENT
    assert not Organization.objects.filter(pk=acme.pk).exists()
