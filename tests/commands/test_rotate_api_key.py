from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import ManagementUtility
from django.db import connection

from closient_auth.keys import verify_api_key
from closient_auth.models import ApiKey, AuditEntry
from tests.factories import UserFactory, make_key

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def neighbour(db):
    """Return a key; fail the test if it has changed."""
    neighbour, _ = make_key()
    values = ApiKey.objects.filter(pk=neighbour.pk).values()
    before = values.get()
    yield neighbour
    assert values.get() == before


@pytest.fixture
def old(neighbour):
    with time_machine.travel(NOW, tick=False):
        yield make_key(name="warehouse", rate_limit_per_minute=5)[0]


def assert_unchanged(old):
    fields = [field.attname for field in ApiKey._meta.fields if field.name != "created_at"]
    assert ApiKey.objects.filter(pk=old.pk).values(*fields).get() == {name: getattr(old, name) for name in fields}
    assert not ApiKey.objects.filter(rotated_from=old).exists()


def test_replaces_the_key(run, call, neighbour):
    old, old_raw_key = make_key(name="warehouse", rate_limit_per_minute=5)
    rotated = run("rotate_api_key", str(old.pk))

    raw_key = rotated.stdout.removesuffix("\n")
    new = ApiKey.objects.get(rotated_from=old)
    assert verify_api_key(raw_key)
    assert (new.prefix, new.organization, new.name) == ("csb", old.organization, "warehouse")
    assert new.rate_limit_per_minute == 5
    assert call("/who/", old_raw_key).status_code == HTTPStatus.UNAUTHORIZED
    assert call("/who/", raw_key).status_code == HTTPStatus.OK
    sentences = "valid until it is revoked. The old key is revoked. The new key cannot be shown again."
    assert rotated.stderr == f"Created {new.pk}, {sentences}\n"


def test_grace(run, old):
    rotated = run("rotate_api_key", old.pk.hex, "--grace-seconds", "3600")

    old.refresh_from_db()
    assert (old.is_active, old.expires_at) == (True, NOW + timedelta(hours=1))
    assert "The old key works until 2030-01-31T13:00:00Z." in rotated.stderr


def test_grace_that_ends_with_the_key(run, old):
    old.change(expires_at=NOW + timedelta(minutes=1))
    rotated = run("rotate_api_key", str(old.pk), "--grace-seconds", "604800")

    assert "valid until 2030-01-31T12:01:00Z. The old key works until 2030-01-31T12:01:00Z." in rotated.stderr


def test_can_be_quiet(run, old):
    assert run("rotate_api_key", str(old.pk), "--verbosity", "0").stderr == ""


@pytest.mark.parametrize(("grace", "valid_until"), [("0", None), ("60", "2030-01-31T12:01:00Z")])
def test_json(run, old, grace, valid_until):
    rotated = run("rotate_api_key", str(old.pk), "--grace-seconds", grace, "--json")

    document = json.loads(rotated.stdout)
    new = ApiKey.objects.get(rotated_from=old)
    assert verify_api_key(document.pop("key"))
    assert document == {
        "id": str(new.pk),
        "prefix": "csb",
        "hint": new.hint,
        "name": "warehouse",
        "organization": {"id": str(old.organization_id), "slug": old.organization.slug},
        "user": None,
        "expires_at": None,
        "rotated_from": {"id": str(old.pk), "valid_until": valid_until},
    }


def test_key_of_a_user(run, neighbour):
    ada = UserFactory.create(username="ada")
    old, _ = make_key("csu", user=ada)

    assert json.loads(run("rotate_api_key", str(old.pk), "--json").stdout)["user"] == {
        "id": str(ada.pk),
        "username": "ada",
    }


OUT_OF_RANGE = "--grace-seconds should be between 0 and 604800 (7 days)."


@pytest.mark.parametrize("seconds", ["-1", "604801", "9" * 30])
def test_grace_out_of_range(refuse, old, seconds):
    assert refuse("rotate_api_key", str(old.pk), f"--grace-seconds={seconds}").error == OUT_OF_RANGE
    assert_unchanged(old)


@pytest.mark.parametrize("other", ["", "7", "warehouse", "csb_Cel5", str(uuid4())])
def test_id_of_no_key(refuse, old, other):
    error = "No key was rotated: no key has this id. Run list_api_keys to see the ids."
    assert refuse("rotate_api_key", other).error == error
    assert_unchanged(old)


def test_already_rotated(refuse, old):
    new, _ = old.rotate(grace=timedelta(days=1))

    error = "No key was rotated: This key has already been rotated."
    assert refuse("rotate_api_key", str(old.pk)).error == error
    assert list(ApiKey.objects.filter(rotated_from=old)) == [new]


CHANGES = {
    "revoked": lambda: ApiKey.objects.update(is_active=False),
    "expired": lambda: ApiKey.objects.update(expires_at=datetime(2026, 1, 1, tzinfo=UTC)),
    "user inactive": lambda: get_user_model()._default_manager.update(is_active=False),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_key_that_is_not_active(refuse, db, change):
    old, _ = make_key("csu")
    change()
    old = ApiKey.objects.get(pk=old.pk)

    error = "No key was rotated: Only an active key can be rotated."
    assert refuse("rotate_api_key", str(old.pk)).error == error
    assert_unchanged(old)


def test_key_that_is_deleted_meanwhile(refuse, old):
    def delete(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            ApiKey.objects.filter(pk=old.pk)._raw_delete("default")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(delete):
        error = refuse("rotate_api_key", str(old.pk)).error
    assert error == "No key was rotated: no key has this id. Run list_api_keys to see the ids."
    assert not AuditEntry.objects.filter(event="api_key_rotated").exists()


def test_raw_key_as_an_argument(refuse, neighbour):
    old, raw_key = make_key()

    refused = refuse("rotate_api_key", raw_key)
    shown = "Do not pass a key on the command line, as process lists and the shell history show it."
    assert refused.error == f"{shown} Pass its id."
    assert_unchanged(old)


@pytest.mark.parametrize("option", ["{}", "--key={}", "x {}"])
def test_raw_key_on_the_command_line_is_not_repeated(neighbour, capsys, option):
    """The argument parser normally repeats unknown arguments in its error message."""
    old, raw_key = make_key()

    with pytest.raises(SystemExit, match="1"):
        ManagementUtility(["manage.py", "rotate_api_key", *option.format(raw_key).split()]).execute()

    printed = capsys.readouterr()
    assert printed.err.startswith("CommandError: Do not pass a key on the command line")
    assert printed.out == ""
    assert raw_key.split("_")[1] not in printed.err
    assert_unchanged(old)
