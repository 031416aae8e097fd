from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError

from closient_auth.keys import hash_api_key
from closient_auth.models import ApiKey
from tests.factories import OrganizationFactory, UserFactory, make_key

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
LIMITS = {"name": "Shop", "description": "Till 4", "rate_limit_per_minute": 7, "rate_limit_per_day": 70}


@pytest.fixture(autouse=True)
def _now(time_machine):
    time_machine.move_to(NOW, tick=False)


def stored(api_key):
    return ApiKey.objects.values().get(pk=api_key.pk)


@pytest.fixture
def neighbour(organization):
    """Yield another key of the organization; fail the test if it has changed."""
    api_key, _ = make_key(organization=organization)
    before = stored(api_key)
    yield api_key
    assert stored(api_key) == before


def test_successor_is_the_same_with_another_secret(organization, neighbour, join):
    maker, manager = join("owner").user, join("manager").user
    old, old_raw = make_key("cpk", organization=organization, created_by=maker, expires_at=NOW + timedelta(1), **LIMITS)

    new, raw_key = old.rotate(by=manager)

    assert raw_key != old_raw
    assert stored(new) == stored(old) | {
        "id": new.pk,
        "hashed_key": hash_api_key(raw_key),
        "hint": raw_key[4:8],
        "created_by_id": manager.pk,
        "rotated_from_id": old.pk,
        "is_active": True,
    }
    assert not stored(old)["is_active"]
    assert old.successor == new


def test_user_key(db):
    old, _ = make_key("csu")

    new, _ = old.rotate(by=old.user)

    assert (new.user, new.organization, new.created_by, new.state) == (old.user, None, old.user, "active")


@pytest.mark.parametrize(
    ("expires_in", "grace", "lives"),
    [
        (None, timedelta(days=7), timedelta(days=7)),
        (None, timedelta(seconds=1), timedelta(seconds=1)),
        (timedelta(days=30), timedelta(hours=1), timedelta(hours=1)),
        (timedelta(minutes=5), timedelta(hours=1), timedelta(minutes=5)),
    ],
)
def test_grace_never_lengthens_a_life(organization, expires_in, grace, lives):
    expires_at = expires_in and NOW + expires_in
    old, _ = make_key(organization=organization, expires_at=expires_at)

    new, _ = old.rotate(grace=grace)

    assert (stored(old)["is_active"], stored(old)["expires_at"]) == (True, NOW + lives)
    assert stored(new)["expires_at"] == expires_at


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=7, microseconds=1)])
def test_grace_out_of_range(organization, grace):
    api_key, _ = make_key(organization=organization)
    before = stored(api_key)

    with pytest.raises(ValidationError) as caught:
        api_key.rotate(grace=grace)

    assert caught.value.code == "grace"
    assert list(ApiKey.objects.values()) == [before]


def rotate_away(api_key):
    api_key.rotate(grace=timedelta(days=7))


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda api_key: api_key.revoke(), "not_active"),
        (lambda api_key: type(api_key).objects.update(expires_at=NOW), "not_active"),
        (lambda api_key: type(api_key.user).objects.update(is_active=False), "not_active"),
        (rotate_away, "already_rotated"),
    ],
    ids=["revoked", "expired", "inactive user", "rotated"],
)
def test_dead_or_rotated_key(db, end, code):
    api_key, _ = make_key("csu")
    looked_at = ApiKey.objects.get(pk=api_key.pk)
    end(api_key)
    count = ApiKey.objects.count()

    with pytest.raises(ValidationError) as caught:
        looked_at.rotate()

    assert caught.value.code == code
    assert ApiKey.objects.count() == count


def test_rotated_key_cannot_be_given_a_longer_life(organization):
    api_key, _ = make_key(organization=organization)
    api_key.rotate(grace=timedelta(days=1))

    for expires_at in (None, NOW + timedelta(days=2)):
        with pytest.raises(ValidationError) as caught:
            api_key.change(expires_at=expires_at)
        assert caught.value.message_dict == {"expires_at": ["You cannot extend a rotated key."]}
    api_key.change(expires_at=NOW + timedelta(hours=1))

    assert stored(api_key)["expires_at"] == NOW + timedelta(hours=1)


def test_count_goes_along_a_chain(organization, neighbour):
    first, _ = make_key(organization=organization)
    second, _ = first.rotate()
    third, _ = second.rotate()

    assert first.family == second.family == third.family != neighbour.family


OPERATIONS = {
    "change": lambda api_key, by: api_key.change(name="Mine", by=by),
    "revoke": lambda api_key, by: api_key.revoke(by=by),
    "rotate": lambda api_key, by: api_key.rotate(by=by),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("role", ["editor", "billing", None, "demoted", "other"])
def test_who_may_not_manage_keys(organization, neighbour, join, operation, role):
    api_key, _ = make_key(organization=organization)
    before = stored(api_key)
    by = UserFactory.create() if role in (None, "other") else join("manager" if role == "demoted" else role).user
    if role == "demoted":
        organization.memberships.update(role="editor")
    elif role == "other":
        api_key, _ = make_key("csu")
        before = stored(api_key)

    with pytest.raises(PermissionDenied):
        OPERATIONS[operation](api_key, by)

    assert stored(api_key) == before
    assert not ApiKey.objects.filter(rotated_from=api_key).exists()


def test_change_keeps_to_the_editable_fields(organization, join):
    api_key, _ = make_key(organization=organization)
    api_key.change(by=join("manager").user, **LIMITS)

    assert {name: stored(api_key)[name] for name in LIMITS} == LIMITS
    with pytest.raises(TypeError, match="cannot be changed: is_active, prefix"):
        api_key.change(name="x", prefix="cpk", is_active=True)
    with pytest.raises(ValidationError) as caught:
        api_key.change(name="x" * 256)
    assert set(caught.value.message_dict) == {"name"}
    assert stored(api_key)["name"] == "Shop"


def test_change_does_not_undo_a_revocation(organization):
    api_key, _ = make_key(organization=organization)
    looked_at = ApiKey.objects.get(pk=api_key.pk)
    api_key.revoke()

    looked_at.change(name="Later")

    assert (stored(api_key)["is_active"], stored(api_key)["name"], looked_at.is_active) == (False, "Later", False)


def test_revoke_again_is_harmless(organization):
    api_key, _ = make_key(organization=organization)

    assert (api_key.revoke(), api_key.revoke()) == (True, False)
    assert not stored(api_key)["is_active"]


def test_rotated_keys_go_with_their_holder(neighbour):
    organization, user = OrganizationFactory.create(), UserFactory.create()
    for key, _ in (make_key(organization=organization), make_key("csu", user=user)):
        key.rotate(grace=timedelta(days=1))
    organization.delete()
    user.delete()

    assert ApiKey.objects.get() == neighbour
