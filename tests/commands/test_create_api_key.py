from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core.management import CommandError, ManagementUtility, call_command

from closient_auth.keys import verify_api_key
from closient_auth.models import ApiKey
from tests.factories import UserFactory

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def ada(db):
    return UserFactory.create(username="ada")


def test_prints_the_key_and_nothing_else(run, acme, call):
    printed = run("create_api_key", "csb", "--organization", "acme")

    raw_key = printed.stdout.removesuffix("\n")
    assert raw_key.startswith("csb_")
    assert verify_api_key(raw_key)
    assert call("/who/", raw_key).status_code == HTTPStatus.OK
    assert (
        printed.stderr
        == f"Created {ApiKey.objects.get().pk}, valid until it is revoked. The key cannot be shown again.\n"
    )


def test_can_be_quiet(run, acme):
    assert run("create_api_key", "csb", "--organization", "acme", "--verbosity", "0").stderr == ""


def test_keeps_what_it_is_told(run, acme, ada):
    run(
        *("create_api_key", "cpk", "--organization", str(acme.pk), "--name", "shop window", "--description", "Widget"),
        *("--created-by", "ada", "--expires-at", "2090-01-31T13:00:00+01:00"),
        *("--rate-limit-per-minute", "5", "--rate-limit-per-day", "70"),
    )

    api_key = ApiKey.objects.get()
    assert (api_key.prefix, api_key.organization, api_key.user) == ("cpk", acme, None)
    assert (api_key.name, api_key.description, api_key.created_by) == ("shop window", "Widget", ada)
    assert (api_key.rate_limit_per_minute, api_key.rate_limit_per_day) == (5, 70)
    assert api_key.expires_at == datetime(2090, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("by", ["username", "pk"])
def test_user_key(run, ada, by):
    UserFactory.create()
    run("create_api_key", "csu", "--user", str(getattr(ada, by)))

    assert (ApiKey.objects.get().user, ApiKey.objects.get().organization) == (ada, None)


@pytest.mark.parametrize("moment", ["2030-01-31T12:00:01Z", "2030-01-31T13:00:01+01:00", "20300131T120001.000Z"])
def test_expires_at(run, acme, moment):
    with time_machine.travel(NOW, tick=False):
        printed = run("create_api_key", "csb", "--organization", "acme", "--expires-at", moment)

    assert ApiKey.objects.get().expires_at == NOW + timedelta(seconds=1)
    assert "valid until 2030-01-31T12:00:01Z." in printed.stderr


def test_expires_in_days(run, acme):
    with time_machine.travel(NOW, tick=False):
        run("create_api_key", "csb", "--organization", "acme", "--expires-in-days", "90")

    assert ApiKey.objects.get().expires_at == NOW + timedelta(days=90)


@pytest.mark.parametrize("option", [("--expires-at", "2030-02-01T13:00:00+01:00"), ("--expires-in-days", "1")])
def test_expiry_without_time_zones(run, acme, settings, option):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"
    with time_machine.travel(NOW.astimezone(ZoneInfo("Asia/Tokyo")), tick=False):
        run("create_api_key", "csb", "--organization", "acme", *option)

    assert ApiKey.objects.get().expires_at == datetime(2030, 2, 1, 21)


USER_WANTED = "A csu key belongs to a user. Pass --user and not --organization."
REFUSED = {
    "csb without": (["csb"], "A csb key belongs to an organization. Pass --organization and not --user."),
    "cpk with user": (["cpk", "--user", "ada"], "A cpk key belongs to an organization. Pass"),
    "csb with both": (["csb", "--organization", "acme", "--user", "ada"], "A csb key belongs to an organization"),
    "csu without": (["csu"], USER_WANTED),
    "csu with organization": (["csu", "--organization", "acme"], USER_WANTED),
    "csu with both": (["csu", "--organization", "acme", "--user", "ada"], USER_WANTED),
    "organization": (["csb", "--organization", "acne"], "Organization 'acne' does not exist. Use an id or slug"),
    "hostile slug": (["csb", "--organization", "a'; --"], 'Organization "a\'; --" does not exist.'),
    "user": (["csu", "--user", "bob"], "This user does not exist. Use a username or id."),
    "creator": (["csb", "--organization", "acme", "--created-by", "bob"], "This user does not exist."),
    "inactive": (["csu", "--user", "ina"], "This user is inactive, so the key would be refused."),
    "naive": (["csb", "--organization", "acme", "--expires-at", "2090-01-31T12:00"], "--expires-at has no time zone."),
    "date": (["csb", "--organization", "acme", "--expires-at", "2090-01-31"], "--expires-at has no time zone."),
    "no time": (["csb", "--organization", "acme", "--expires-at", "tomorrow"], "--expires-at is not an ISO 8601 time."),
    "no moment": (
        ["csb", "--organization", "acme", "--expires-at", "9999-12-31T23:59:59-01:00"],
        "--expires-at is not an ISO 8601 time.",
    ),
    "past": (
        ["csb", "--organization", "acme", "--expires-at", "2020-01-31T12:00Z"],
        "--expires-at: Choose a time in the future, or set no expiry.",
    ),
    "no days": (
        ["csb", "--organization", "acme", "--expires-in-days", "0"],
        "--expires-in-days should be between 1 and",
    ),
    "many days": (["csb", "--organization", "acme", "--expires-in-days", "9" * 12], "--expires-in-days should be"),
    "both expiries": (
        ["csb", "--organization", "acme", "--expires-in-days", "1", "--expires-at", "2090-01-31T12:00Z"],
        "Error: argument --expires-at: not allowed with argument --expires-in-days",
    ),
    "minute": (
        ["csb", "--organization", "acme", "--rate-limit-per-minute", "-1"],
        "--rate-limit-per-minute should be between 0 (the default limit) and 2147483647 requests.",
    ),
    "day": (
        ["csb", "--organization", "acme", "--rate-limit-per-day", "2147483648"],
        "--rate-limit-per-day should be between 0",
    ),
    "name": (["csb", "--organization", "acme", "--name", "n" * 256], "--name: Ensure this value has at most 255"),
    "type": (["csx", "--organization", "acme"], "Error: argument type: invalid choice: 'csx'"),
}


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refuses(refuse, acme, ada, arguments, sentence):
    UserFactory.create(username="ina", is_active=False)

    refused = refuse("create_api_key", *arguments)
    assert refused.error.startswith(sentence)
    assert refused.stdout == ""
    assert not ApiKey.objects.exists()


def test_name_that_is_the_id_of_another_is_nobody(refuse, ada):
    UserFactory.create(username=str(ada.pk))

    refused = refuse("create_api_key", "csu", "--user", str(ada.pk))
    assert refused.error == "Ambiguous user: this is one user's name and another's id. Use the other identifier."
    assert not ApiKey.objects.exists()


def test_key_that_could_not_be_printed_is_not_kept(acme):
    reader, writer = os.pipe()
    os.close(reader)
    not_kept = r"^Could not write the key to stdout; no key was created: Broken pipe\.$"
    with open(writer, "w") as stdout, pytest.raises(CommandError, match=not_kept):
        call_command("create_api_key", "csb", "--organization", "acme", stdout=stdout)

    # Python would otherwise flush the stream again at exit and print a second error.
    assert stdout.closed
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    "name",
    [
        "create_api_key",
        "revoke_api_key",
        "rotate_api_key",
        "list_api_keys",
        "list_ownerless_organizations",
        "remind_expiring_api_keys",
        "sync_organizations",
    ],
)
def test_help(capsys, name):
    with pytest.raises(SystemExit, match="0"):
        call_command(name, "--help")

    assert name in capsys.readouterr().out


def test_json(run, acme, ada):
    printed = run(
        *("create_api_key", "csb", "--organization", "acme", "--name", "Lager Süd"),
        *("--expires-at", "2090-01-31T13:00:00+01:00", "--json"),
    )

    assert printed.stdout.isascii()
    document = json.loads(printed.stdout)
    api_key = ApiKey.objects.get()
    assert verify_api_key(document.pop("key"))
    assert document == {
        "id": str(api_key.pk),
        "prefix": "csb",
        "hint": api_key.hint,
        "name": "Lager Süd",
        "organization": {"id": str(acme.pk), "slug": "acme"},
        "user": None,
        "expires_at": "2090-01-31T12:00:00Z",
    }


def test_arguments_that_are_no_text(db, capsys):
    with pytest.raises(SystemExit, match="1"):
        ManagementUtility(["manage.py", "create_api_key", "csb", "--organization", "acm\udce9"]).execute()

    error = "CommandError: An argument is not text in the encoding of the locale. Use UTF-8.\n"
    assert capsys.readouterr() == ("", error)


def test_restrictions(run, acme, ada):
    view, billing = "organization.view_organization", "organization.manage_billing"
    run(
        *("create_api_key", "csu", "--user", "ada", "--restricted-to", "acme", "--permission", view),
        *("--permission", billing, "--allowed-network", "203.0.113.0/24", "--allowed-network", "2001:DB8::/32"),
    )
    run("create_api_key", "cpk", "--organization", "acme", "--allowed-origin", "https://www.example.com")

    of_user, public = ApiKey.objects.order_by("created_at")
    assert (of_user.permissions, of_user.restricted_to) == ([view, billing], acme)
    assert of_user.allowed_networks == ["203.0.113.0/24", "2001:db8::/32"]
    assert public.allowed_origins == ["https://www.example.com"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--permission", "organization.view"], "--permission: “organization.view” is not a known permission."),
        (
            ["--allowed-network", "203.0.113.9/24"],
            "--allowed-network: “203.0.113.9/24” has an address inside of the network. Did you mean 203.0.113.0/24?",
        ),
        (["--allowed-origin", "https://www.example.com"], "--allowed-origin: Only publishable keys can have"),
        (["--restricted-to", "acme"], "--restricted-to: A key of an organization works in this organization only."),
        (["--restricted-to", "nowhere"], "Organization 'nowhere' does not exist."),
    ],
)
def test_bad_restriction(refuse, acme, options, error):
    refused = refuse("create_api_key", "csb", "--organization", "acme", *options)

    assert (refused.error[: len(error)], refused.stdout) == (error, "")
    assert not ApiKey.objects.exists()
