from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import transaction

from closient_auth import signals
from closient_auth.models import AuditEntry, Organization
from closient_auth.models.audit import AuditEntryQuerySet
from tests.factories import OrganizationFactory

# ``prune()`` commits, so the tests do not run in a transaction.
pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2031, 6, 1, 12, tzinfo=UTC)
LIMIT = NOW - timedelta(days=365)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("closient_auth.models.audit.BATCH_SIZE", 2)


def add(number, moment):
    """Add entries of this time, and return their ids."""
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    with time_machine.travel(moment, tick=False):
        OrganizationFactory.create_batch(number)
    return set(AuditEntry.objects.exclude(pk__in=before).values_list("pk", flat=True))


def prune(moment=LIMIT):
    with time_machine.travel(NOW, tick=False):
        return AuditEntry.objects.prune(moment)


def stored():
    return list(AuditEntry.objects.exclude(event="audit_pruned").order_by("pk").values())


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_old_entries_are_deleted(number):
    add(1, LIMIT), add(1, NOW)
    newer = stored()
    add(number, LIMIT - timedelta(microseconds=1))

    assert prune() == number

    assert stored() == newer
    entry = AuditEntry.objects.get(event="audit_pruned")
    assert (entry.actor, entry.user_id, entry.organization_id, entry.created_at) == ("system", None, None, NOW)
    assert (entry.target_model, entry.target_id, entry.target) == ("auditentry", entry.pk, "")
    assert (entry.old_values, entry.new_values) == ({}, {"older_than": "2030-06-01T12:00:00Z", "entries": number})
    assert str(entry) == "Audit log pruned"
    assert Organization.objects.count() == number + 2


def test_nothing_to_delete_is_not_recorded():
    add(2, LIMIT)
    before = stored()

    assert prune() == 0
    assert list(AuditEntry.objects.order_by("pk").values()) == before


def test_entries_about_pruning_age_as_well():
    add(1, LIMIT - timedelta(days=1))
    prune()

    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        assert AuditEntry.objects.prune(NOW + timedelta(hours=1)) == 1

    (entry,) = AuditEntry.objects.all()
    assert (entry.event, entry.new_values["entries"]) == ("audit_pruned", 1)


def test_interrupted(monkeypatch):
    """The deletion is on record before the first entry is gone, and can be finished by a second run."""
    add(2, NOW)
    newer = stored()
    add(5, LIMIT - timedelta(days=1))
    erase, calls = AuditEntryQuerySet._erase, []

    def die(self):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return erase(self)

    monkeypatch.setattr(AuditEntryQuerySet, "_erase", die)
    with pytest.raises(KeyboardInterrupt):
        prune()

    assert AuditEntry.objects.get(event="audit_pruned").new_values["entries"] == 5
    assert len(stored()) == 2 + 3
    assert prune() == 3
    assert stored() == newer
    recorded = AuditEntry.objects.filter(event="audit_pruned").values_list("new_values", flat=True)
    assert sorted(new["entries"] for new in recorded) == [3, 5]


def test_without_its_record_nothing_is_deleted(monkeypatch):
    add(3, LIMIT - timedelta(days=1))
    before = stored()

    def fail(self, *args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(AuditEntryQuerySet, "record", fail)
    with pytest.raises(ZeroDivisionError):
        prune()
    assert stored() == before


def test_inside_a_transaction():
    """A rollback would bring back the entries, or remove the record of their deletion."""
    add(1, LIMIT - timedelta(days=1))
    before = stored()

    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        prune()
    assert stored() == before


def test_time_in_the_future():
    """The record of the deletion would be old as well."""
    add(1, LIMIT)
    before = stored()

    with pytest.raises(ValueError, match="should not be in the future"):
        prune(NOW + timedelta(seconds=1))
    assert stored() == before


def test_entries_cannot_be_chosen():
    for rows in (AuditEntry.objects.all(), AuditEntry.objects.filter(actor="mallory")):
        assert not hasattr(rows, "prune")


def test_signal():
    add(1, LIMIT - timedelta(days=1))
    seen = []

    def receive(sender, entry, instance, **kwargs):
        seen.append((sender, entry.event, instance))

    signals.audit_pruned.connect(receive)
    try:
        prune()
    finally:
        signals.audit_pruned.disconnect(receive)

    assert seen == [(AuditEntry, "audit_pruned", AuditEntry.objects.get())]


def test_reads_the_primary_database(replica, settings):
    add(3, LIMIT - timedelta(days=1))
    replica()

    assert prune() == 3

    settings.DATABASE_ROUTERS = []
    assert AuditEntry.objects.get().event == "audit_pruned"
