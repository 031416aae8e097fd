from __future__ import annotations

import io
import json
import re

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from closient_auth.actors import Actor, acting
from closient_auth.models import ApiKey, AuditEntry, Invitation
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key

NAME = "vigdís"


@pytest.fixture
def organization(db):
    return OrganizationFactory.create(name="Blåbær", slug="blabaer")


@pytest.fixture
def person(organization):
    """Add a user with two audit entries as the actor, one about a membership, an invitation and three keys."""
    person = UserFactory.create(username=NAME, email="vigdis@example.com")
    MembershipFactory.create(user=person, organization=organization)
    make_invitation(OrganizationFactory.create(), person.email, by=UserFactory.create())
    with acting(Actor(user=person, address="192.0.2.7")):
        make_key(organization=organization, name="Süd", created_by=person)
        make_key("csu", name="Süd", user=person, by=person)
    make_key("csu", user=person)[0].revoke()
    make_key(organization=organization)
    return person


@pytest.fixture
def keys(person):
    return list(ApiKey.objects.active().exclude(created_by=None).order_by("pk"))


def get_placeholder():
    return AuditEntry.objects.get(event="user_forgotten").new_values["placeholder"]


def test_text(run, person, keys, organization):
    finished = run("forget_user", NAME)

    holders = {"csb": "blabaer", "csu": "user key"}
    assert finished.lines == [
        f"Placeholder: {get_placeholder()}",
        "Changed audit entries: 3",
        "Changed invitations: 1",
        "Active keys that this user has or made, to revoke with revoke_api_key:",
        *(f"{key.pk} {key.prefix}_{key.hint} {holders[key.prefix]}" for key in keys),
    ]
    assert len(keys) == 2
    assert set(AuditEntry.objects.filter(event="api_key_created", address="").values_list("actor", flat=True)) == {
        get_placeholder(),
        "system",
    }
    assert not AuditEntry.objects.filter(actor=NAME).exists()


def test_json(run, person, keys, organization):
    finished = run("forget_user", NAME, "--json")

    holders = {"csb": {"id": str(organization.pk), "slug": "blabaer"}, "csu": None}
    assert json.loads(finished.stdout) == {
        "placeholder": get_placeholder(),
        "audit_entries": 3,
        "invitations": 1,
        "api_keys": [
            {"id": str(key.pk), "type": key.prefix, "hint": key.hint, "organization": holders[key.prefix]}
            for key in keys
        ],
    }


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_ascii_output(person, options):
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")

    call_command("forget_user", NAME, *options, stdout=stdout)

    stdout.seek(0)
    assert get_placeholder() in stdout.read()


def test_by_id(run, person):
    assert run("forget_user", str(person.pk)).lines[1] == "Changed audit entries: 3"


def test_again(run, person):
    run("forget_user", NAME)
    before = list(AuditEntry.objects.order_by("pk").values())

    assert run("forget_user", NAME).lines[:3] == [
        "Placeholder: none, as there was nothing to replace",
        "Changed audit entries: 0",
        "Changed invitations: 0",
    ]
    assert list(AuditEntry.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("by", ["name", "id", "address"])
def test_deleted_account(run, refuse, person, by):
    text = {"name": NAME, "id": str(person.pk), "address": person.email}[by]
    person.delete()

    finished = run("forget_user", text)

    assert finished.lines[0] == f"Placeholder: {get_placeholder()}"
    assert re.fullmatch(r"Changed audit entries: [0-4]", finished.lines[1])
    assert Invitation.objects.filter(email="vigdis@example.com").exists() == (by != "address")
    assert AuditEntry.objects.filter(target=f"{NAME}: Editor").exists() == (by == "address")


def test_unknown(refuse, person):
    before = list(AuditEntry.objects.order_by("pk").values())

    error = "Neither a user nor an audit entry or invitation has this name or id."
    assert refuse("forget_user", "nobody").error == error
    assert refuse("forget_user", "system").error == error
    assert list(AuditEntry.objects.order_by("pk").values()) == before


def test_ambiguous(refuse, person):
    """One user's name is another's id."""
    UserFactory.create(username=str(person.pk))
    before = list(AuditEntry.objects.order_by("pk").values())

    assert refuse("forget_user", str(person.pk)).error.startswith("Ambiguous user: ")
    assert list(AuditEntry.objects.order_by("pk").values()) == before


def test_account_and_keys_stay(run, person, keys):
    before = get_user_model().objects.filter(pk=person.pk).values().get()
    rows = list(ApiKey.objects.order_by("pk").values())

    run("forget_user", NAME)

    assert get_user_model().objects.filter(pk=person.pk).values().get() == before
    assert list(ApiKey.objects.order_by("pk").values()) == rows


def test_address_of_an_account_is_not_enough(refuse, person):
    """The entries of the account would stay as they are."""
    before = list(AuditEntry.objects.values())

    refused = refuse("forget_user", "Vigdis@example.com")

    assert refused.error == "An account has this e-mail address. Pass its username or id."
    assert list(AuditEntry.objects.values()) == before


def test_number_that_is_no_id(refuse, db):
    assert "has this name or id" in refuse("forget_user", "9" * 30).error
