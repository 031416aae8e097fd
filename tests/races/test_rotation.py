"""Concurrent rotations of one key create one successor."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from closient_auth.models import ApiKey, AuditEntry
from tests.factories import make_key
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("round", rounds(4))
def test_eight_rotations_make_one_successor(round):
    key, _ = make_key()
    neighbour, _ = make_key()

    errors = race(*[lambda: ApiKey.objects.get(pk=key.pk).rotate()] * 8)

    refused = [error for error in errors if error is not None]
    assert [type(error) for error in refused] == [ValidationError] * 7, errors
    assert {error.code for error in refused} == {"not_active"}
    assert ApiKey.objects.filter(rotated_from__isnull=False).get().rotated_from_id == key.pk
    assert AuditEntry.objects.filter(event="api_key_rotated").count() == 1
    assert ApiKey.objects.get(pk=neighbour.pk).is_active


@pytest.mark.parametrize("round", rounds(10))
def test_revoked_meanwhile(round):
    """In either order, the old key is revoked; a successor exists only if the rotation came first."""
    key, _ = make_key()

    rotated, revoked = race(
        lambda: ApiKey.objects.get(pk=key.pk).rotate(), lambda: ApiKey.objects.get(pk=key.pk).revoke()
    )

    assert revoked is None
    assert rotated is None or rotated.code == "not_active"
    assert not ApiKey.objects.get(pk=key.pk).is_active
    assert ApiKey.objects.filter(rotated_from=key).exists() == (rotated is None)
