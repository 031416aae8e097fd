"""Saving a stale instance neither reactivates a revoked key nor leaves a revocation unrecorded."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.signals import pre_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth import signals
from closient_auth.models import ApiKey, AuditEntry
from tests.factories import make_key


def stored(api_key):
    return ApiKey.objects.values().get(pk=api_key.pk)


@pytest.fixture(autouse=True)
def neighbour(db):
    """Fail the test if an unrelated key has changed."""
    api_key, _ = make_key()
    before = stored(api_key)
    yield
    assert stored(api_key) == before


SAVES = {
    "save": lambda api_key: api_key.save(),
    "save the column": lambda api_key: api_key.save(update_fields=["is_active"]),
    "update or create": lambda api_key: ApiKey.objects.update_or_create(pk=api_key.pk, defaults={"is_active": True}),
}


@pytest.mark.parametrize("save", SAVES)
def test_stale_instance_does_not_revive_a_key(save):
    api_key, _ = make_key()
    stale = ApiKey.objects.get(pk=api_key.pk)
    api_key.revoke()
    stale.name = "Later"

    SAVES[save](stale)

    assert not stored(api_key)["is_active"]
    assert stored(api_key)["name"] == ("Later" if save == "save" else "")
    assert stale.is_active == (save == "update or create")


def test_stale_instance_does_not_lengthen_the_life_of_a_rotated_key():
    api_key, _ = make_key()
    stale = ApiKey.objects.get(pk=api_key.pk)
    api_key.rotate(grace=timedelta(minutes=1))
    stale.name = "Later"

    stale.save()

    assert stored(api_key)["name"] == "Later"
    assert stored(api_key)["expires_at"] == stale.expires_at == api_key.expires_at


def test_rotated_key_may_be_saved_with_a_shorter_life():
    api_key, _ = make_key()
    api_key.rotate(grace=timedelta(minutes=1))
    sooner = api_key.expires_at = timezone.now()

    api_key.save()

    assert stored(api_key)["expires_at"] == sooner


def test_revocation_while_a_key_is_saved_stands():
    api_key, _ = make_key()

    def revoke(instance, **kwargs):
        ApiKey.objects.filter(pk=instance.pk).update(is_active=False)

    pre_save.connect(revoke, sender=ApiKey)
    try:
        api_key.save()
    finally:
        pre_save.disconnect(revoke, sender=ApiKey)

    assert not stored(api_key)["is_active"]


@pytest.mark.parametrize("kwargs", [{}, {"update_fields": ["is_active"]}, {"update_fields": ["is_active", "name"]}])
def test_turning_off_is_a_revocation(kwargs, django_capture_on_commit_callbacks):
    api_key, _ = make_key()
    seen = []
    receive = lambda instance, entry, **kwargs: seen.append((instance, entry.event))  # noqa: E731
    signals.api_key_revoked.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            for _ in range(2):
                api_key.is_active = False
                api_key.save(**kwargs)
    finally:
        signals.api_key_revoked.disconnect(receive)

    assert not stored(api_key)["is_active"]
    entry = AuditEntry.objects.get(event="api_key_revoked")
    assert (entry.target_id, entry.old_values, entry.new_values) == (
        api_key.pk,
        {"is_active": True},
        {"is_active": False},
    )
    assert seen == [(api_key, "api_key_revoked")]


def test_save_leaves_alone_what_it_is_not_told_of():
    api_key, _ = make_key()
    api_key.name = "Shop"

    api_key.save(update_fields=["name"])
    api_key.is_active = False
    api_key.save(update_fields=["description"])

    assert (stored(api_key)["name"], stored(api_key)["is_active"]) == ("Shop", True)


def test_last_use_does_not_move_back():
    api_key, _ = make_key()
    now = timezone.now()
    ApiKey.objects.filter(pk=api_key.pk).update(last_used=now)
    api_key.name = "Shop"

    api_key.save()

    assert (stored(api_key)["name"], stored(api_key)["last_used"]) == ("Shop", now)
    api_key.last_used = later = now + timedelta(days=1)
    api_key.save(update_fields=["last_used"])
    assert stored(api_key)["last_used"] == later


def test_column_that_was_not_read_is_not_written():
    api_key, _ = make_key(name="Till", description="Shop")
    partly = ApiKey.objects.only("name", "is_active").get(pk=api_key.pk)
    ApiKey.objects.filter(pk=api_key.pk).update(description="New")
    partly.name = "Till 2"

    with CaptureQueriesContext(connection) as queries:
        partly.save()

    (update,) = (query["sql"] for query in queries if query["sql"].startswith("UPDATE"))
    assert "description" not in update
    assert (stored(api_key)["name"], stored(api_key)["description"]) == ("Till 2", "New")


def test_a_new_key_cannot_be_passed_off_as_an_old_one():
    api_key, _ = make_key()
    api_key.revoke()
    before = stored(api_key)

    for kwargs in ({"update_fields": ["is_active"]}, {"force_update": True}):
        with pytest.raises(ValueError, match="Cannot force both insert and updating"):
            ApiKey(**before | {"is_active": True}).save(**kwargs)

    assert stored(api_key) == before


def test_key_that_has_gone_does_not_come_back():
    api_key, _ = make_key()
    ApiKey.objects.filter(pk=api_key.pk).delete()

    for kwargs in ({}, {"update_fields": ["name"]}):
        with pytest.raises((ApiKey.DoesNotExist, DatabaseError)), transaction.atomic():
            api_key.save(**kwargs)

    assert not ApiKey.objects.filter(pk=api_key.pk).exists()
