from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from closient_auth.models import AuditEntry, MailedAddress
from tests.factories import OrganizationFactory

NOW = datetime(2031, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def now():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def newer(db):
    """Add three entries that are two days old and one that is one day old, and return the id of the last."""
    for age, name in [(2, "a"), (2, "b"), (2, "c"), (1, "d")]:
        with time_machine.travel(NOW - timedelta(days=age), tick=False):
            OrganizationFactory.create(name=name)
    return AuditEntry.objects.get(target="d").pk


def get_left():
    return set(AuditEntry.objects.exclude(event="audit_pruned").values_list("pk", flat=True))


def test_text(run, newer):
    finished = run("prune_audit_entries", "--older-than", "1")

    assert finished.stdout == "Deleted audit entries older than 2031-01-30T12:00:00Z: 3\n"
    assert get_left() == {newer}
    assert AuditEntry.objects.get(event="audit_pruned").new_values["entries"] == 3


def test_json(run, newer):
    finished = run("prune_audit_entries", "--older-than", "1", "--json")

    assert json.loads(finished.stdout) == {"older_than": "2031-01-30T12:00:00Z", "deleted": 3}
    assert get_left() == {newer}


def test_nothing_is_that_old(run, newer):
    assert run("prune_audit_entries", "--older-than", "2").stdout.endswith(": 0\n")
    assert AuditEntry.objects.count() == 4


def test_without_time_zones(run, newer, settings):
    settings.USE_TZ = False

    assert run("prune_audit_entries", "--older-than", "300").stdout.endswith(": 0\n")


@pytest.mark.parametrize("days", ["0", "-1", "36501"])
def test_days_out_of_range(refuse, newer, days):
    error = "--older-than should be between 1 and 36500 days."
    assert refuse("prune_audit_entries", f"--older-than={days}").error == error
    assert AuditEntry.objects.count() == 4


@pytest.mark.parametrize("arguments", [[], ["--older-than", "year"], ["--older-than", "1.5"]])
def test_days_are_a_number_and_required(refuse, newer, arguments):
    assert "--older-than" in refuse("prune_audit_entries", *arguments).error
    assert AuditEntry.objects.count() == 4


def test_hashes_of_addresses(run, newer):
    """The hash of an address is needed for a day after the invitation."""
    for hours in (23, 25):
        values = {"last_sent_at": NOW - timedelta(hours=hours), "hashed_address": f"{hours}"}
        MailedAddress.objects.create(**values)

    run("prune_audit_entries", "--older-than", "300")

    assert MailedAddress.objects.get().hashed_address == "23"
