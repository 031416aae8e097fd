from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from closient_auth.models import ApiKey
from closient_auth.models.api_keys import KeyState
from tests.factories import OrganizationFactory, UserFactory, make_key

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def ids(run):
    """Return a function for the sorted names of the listed keys."""

    def ids(*arguments):
        rows = json.loads(run("list_api_keys", *arguments, "--format", "json").stdout)
        return sorted(row["name"] for row in rows)

    return ids


def key(name, *, days_old=0, last_used=None, revoked=False, **kwargs):
    api_key, _ = make_key(kwargs.pop("prefix", "csb"), name=name, **kwargs)
    ApiKey.objects.filter(pk=api_key.pk).update(
        created_at=NOW - timedelta(days=days_old),
        last_used=last_used and NOW - timedelta(days=last_used),
        is_active=not revoked,
    )
    return api_key


def test_json(run):
    acme = OrganizationFactory.create(slug="acme")
    ada = UserFactory.create(username="ada")
    api_key, raw_key = make_key(
        organization=acme,
        name="Lager Süd",
        description="Scanner",
        created_by=ada,
        expires_at=datetime(2030, 3, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo")),
        rate_limit_per_minute=5,
        rate_limit_per_day=70,
    )
    ApiKey.objects.filter(pk=api_key.pk).update(last_used=NOW - timedelta(microseconds=1))

    printed = run("list_api_keys", "--format", "json")
    assert json.loads(printed.stdout) == [
        {
            "id": str(api_key.pk),
            "type": "csb",
            "hint": raw_key[4:8],
            "name": "Lager Süd",
            "description": "Scanner",
            "state": "active",
            "organization": {"id": str(acme.pk), "slug": "acme"},
            "user": None,
            "created_by": str(ada.pk),
            "created_at": "2030-01-31T12:00:00Z",
            "expires_at": "2030-03-01T00:00:00Z",
            "last_used": "2030-01-31T11:59:59Z",
            "rate_limit_per_minute": 5,
            "rate_limit_per_day": 70,
            "rotated_from": None,
            "permissions": None,
            "restricted_to": None,
            "allowed_networks": [],
            "allowed_origins": [],
        }
    ]
    assert raw_key.split("_")[1] not in printed.stdout
    assert ApiKey.objects.get().hashed_key not in printed.stdout


def test_json_of_none_one_and_two(run):
    for edges in [["[[", "]]"], ["[[", "{}", "]]"], ["[[", "{,", "{}", "]]"]]:
        listed = run("list_api_keys", "--format", "json")
        assert [line[0] + line[-1] for line in listed.lines] == edges
        assert len(json.loads(listed.stdout)) == len(edges) - 2
        make_key("csu")


def test_table(run):
    ada = UserFactory.create(username="ada")
    acme = OrganizationFactory.create(slug="acme")
    _, first = make_key(id=UUID(int=1), organization=acme, name="Lager", expires_at=NOW + timedelta(days=1))
    _, second = make_key("csu", id=UUID(int=2), user=ada)
    ApiKey.objects.filter(user=ada).update(last_used=NOW, is_active=False)

    assert run("list_api_keys").lines == [
        "ID                                    KEY        STATE          LAST USED             EXPIRES AT            "
        "HOLDER                    NAME",
        f"00000000-0000-0000-0000-000000000001  {first[:8]}…  active         never                 2030-02-01T12:00:00Z  "
        "acme                      Lager",
        f"00000000-0000-0000-0000-000000000002  {second[:8]}…  revoked        2030-01-31T12:00:00Z  never                 "
        "ada",
    ]


def test_name_that_would_speak_to_the_terminal(run):
    make_key(name="\x1b]0;owned\x07\u202etxt\nfake row")

    assert len(run("list_api_keys").lines) == 2
    assert run("list_api_keys").lines[1].endswith("  �]0;owned��txt�fake row")


def test_without_time_zones(run, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"
    make_key(expires_at=datetime(2031, 1, 1, 9))

    (row,) = json.loads(run("list_api_keys", "--format", "json").stdout)
    assert row["expires_at"] == "2031-01-01T00:00:00Z"


def test_unused(ids):
    """Revoked and expired keys are left out, because they are refused anyway."""
    key("used lately", days_old=100, last_used=29)
    key("used at the edge", days_old=100, last_used=30)
    key("used before", days_old=100, last_used=31)
    key("never used", days_old=31)
    key("new", days_old=29)
    key("revoked", days_old=100, last_used=31, revoked=True)
    key("expired", days_old=100, expires_at=NOW)

    assert ids("--unused-for", "30") == ["never used", "used before"]
    assert ids("--unused-for", "30", "--state", "revoked") == ["revoked"]


def test_expiring(ids):
    key("now", expires_at=NOW)
    key("soon", expires_at=NOW + timedelta(seconds=1))
    key("at the edge", expires_at=NOW + timedelta(days=7))
    key("later", expires_at=NOW + timedelta(days=7, seconds=1))
    key("never")
    key("revoked", expires_at=NOW + timedelta(days=1), revoked=True)

    assert ids("--expiring-within", "7") == ["at the edge", "soon"]
    assert ids("--expiring-within", "0") == []


def test_filters_together(ids):
    acme, other = OrganizationFactory.create(slug="acme"), OrganizationFactory.create()
    key("unused, expiring", organization=acme, days_old=40, expires_at=NOW + timedelta(days=1))
    key("unused", organization=acme, days_old=40)
    key("publishable", prefix="cpk", organization=acme, days_old=40, expires_at=NOW + timedelta(days=1))
    key("other", organization=other, days_old=40, expires_at=NOW + timedelta(days=1))
    key("user", prefix="csu", days_old=40, expires_at=NOW + timedelta(days=1))

    assert ids("--organization", "acme") == ["publishable", "unused", "unused, expiring"]
    assert ids("--organization", str(acme.pk)) == ["publishable", "unused", "unused, expiring"]
    assert ids("--type", "csu") == ["user"]
    everything = ["--organization", "acme", "--type", "csb", "--unused-for", "30", "--expiring-within", "7"]
    assert ids(*everything) == ["unused, expiring"]


def test_created_by(ids, refuse):
    """The keys that a person made, to replace them when the person leaves."""
    ada, grace = UserFactory.create(username="ada"), UserFactory.create(username="grace")
    key("of ada", created_by=ada)
    key("revoked", created_by=ada, revoked=True)
    key("of grace", created_by=grace)
    key("held by ada", prefix="csu", user=ada)

    assert ids("--created-by", "ada") == ids("--created-by", str(ada.pk)) == ["of ada", "revoked"]
    assert ids("--created-by", "ada", "--state", "active") == ["of ada"]
    assert refuse("list_api_keys", "--created-by", "bob").error == "This user does not exist. Use a username or id."


@pytest.mark.parametrize("options", [["--json"], ["--json", "--format", "table"]])
def test_json_is_a_format(run, options):
    key("Lager Süd")

    printed = run("list_api_keys", *options)
    assert printed.stdout == run("list_api_keys", "--format", "json").stdout
    assert printed.stdout.isascii()


@pytest.mark.parametrize(
    ("state", "names"),
    [("active", ["active"]), ("revoked", ["revoked"]), ("expired", ["expired"]), ("user_inactive", ["inactive"])],
)
def test_state(ids, state, names):
    assert state in KeyState
    key("active")
    key("revoked", revoked=True)
    key("expired", expires_at=NOW)
    key("inactive", prefix="csu", user=UserFactory.create(is_active=False))

    assert ids("--state", state) == names
    assert ids() == ["active", "expired", "inactive", "revoked"]


@pytest.mark.parametrize("option", ["--unused-for", "--expiring-within"])
@pytest.mark.parametrize("days", ["-1", "36501", "9" * 30])
def test_days_that_are_none(refuse, option, days):
    assert refuse("list_api_keys", option, days).error == f"{option} should be between 0 and 36500 days."


def test_organization_that_is_none(refuse):
    assert refuse("list_api_keys", "--organization", "ac\nme").error.startswith(
        r"Organization 'ac\nme' does not exist."
    )


@pytest.mark.parametrize("format", ["table", "json"])
def test_reader_that_has_read_enough(db, format):
    make_key()
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout:
        call_command("list_api_keys", "--format", format, stdout=stdout)

    # Python would otherwise flush the stream again at exit and print a second error.
    assert stdout.closed


def test_disk_that_is_full(db):
    with open("/dev/full", "w") as stdout, pytest.raises(CommandError) as caught:
        call_command("list_api_keys", stdout=stdout)

    assert str(caught.value) == "Could not write to stdout: No space left on device."
    assert stdout.closed


def test_many_keys_in_pages(run, django_assert_num_queries):
    """Memory use is limited to one page of rows on every database, and each key is listed once."""
    organization = OrganizationFactory.create()
    ApiKey.objects.bulk_create(
        ApiKey(prefix="csb", organization=organization, hashed_key=f"{number:064}", hint="AAAA")
        for number in range(2500)
    )

    with django_assert_num_queries(4) as queries:
        rows = json.loads(run("list_api_keys", "--format", "json").stdout)
    assert len({row["id"] for row in rows}) == len(rows) == 2500
    assert all("LIMIT 1000" in query["sql"] and "hashed_key" not in query["sql"] for query in queries)


def test_beyond_the_policy(run, refuse, acme, settings):
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 30}
    now = timezone.now()
    forever, long, short, revoked = (
        make_key(organization=acme, expires_at=days and now + timedelta(days=days))[0] for days in (None, 31, 29, None)
    )
    revoked.revoke()

    def ids():
        return {row["id"] for row in json.loads(run("list_api_keys", "--beyond-policy", "--json").stdout)}

    assert ids() == {str(forever.pk), str(long.pk)}
    settings.CLOSIENT_AUTH = {}
    assert "MAX_KEY_LIFETIME_DAYS" in refuse("list_api_keys", "--beyond-policy").error
