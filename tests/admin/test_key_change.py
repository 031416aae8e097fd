from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.contrib.messages import get_messages
from django.db.models.signals import pre_save
from django.utils import timezone

from closient_auth.admin.forms import ApiKeyForm
from closient_auth.models import ApiKey, AuditEntry
from tests.factories import make_key


def stored(api_key):
    return ApiKey.objects.values().get(pk=api_key.pk)


def expire(api_key):
    ApiKey.objects.filter(pk=api_key.pk).update(expires_at=timezone.now() - timedelta(days=1))


@pytest.fixture
def change(page):
    """Return a function to load the change form of a key and post it with other values."""

    def change(client, api_key, **values):
        form = client.get(page("apikey_change", api_key.pk)).context["adminform"].form
        data = {name: form[name].value() for name in form.fields if name != "expires_at"}
        expires_at = form.initial["expires_at"]
        if expires_at:
            local = timezone.localtime(expires_at)
            data |= {"expires_at_0": f"{local:%Y-%m-%d}", "expires_at_1": f"{local:%H:%M:%S}"}
        return client.post(page("apikey_change", api_key.pk), {**data, **values})

    return change


def test_only_what_may_change_changes(root, root_user, page, change):
    api_key, _ = make_key(name="Server")
    neighbour, _ = make_key(name="Neighbour")
    before, beside = stored(api_key), stored(neighbour)
    forged = {
        "id": str(neighbour.pk),
        "prefix": "csu",
        "organization": str(neighbour.organization_id),
        "user": str(root_user.pk),
        "is_active": "",
        "hashed_key": "0" * 64,
        "hint": "zzzz",
        "created_by": str(root_user.pk),
        "last_used_0": "2020-01-01",
    }

    response = change(root, api_key, name="Renamed", rate_limit_per_minute="5", **forged)

    assert response.status_code == HTTPStatus.FOUND
    assert stored(api_key) == {**before, "name": "Renamed", "rate_limit_per_minute": 5}
    assert stored(neighbour) == beside


def test_revocation_between_reading_and_saving_stands(root, change):
    api_key, _ = make_key(name="Server")

    def revoke(instance, **kwargs):
        ApiKey.objects.filter(pk=instance.pk).update(is_active=False, description="meanwhile")

    pre_save.connect(revoke, sender=ApiKey)
    try:
        change(root, api_key, name="Renamed")
    finally:
        pre_save.disconnect(revoke, sender=ApiKey)

    api_key.refresh_from_db()
    assert (api_key.name, api_key.description, api_key.is_active) == ("Renamed", "meanwhile", False)


@pytest.mark.parametrize("renamed", [False, True])
def test_rotation_between_reading_and_saving_stands(root, change, monkeypatch, renamed):
    """The form is validated before the rotation shortens the old key's expiry to an hour."""
    tomorrow = timezone.localtime() + timedelta(days=1)
    api_key, _ = make_key(name="Server", expires_at=tomorrow)
    neighbour, _ = make_key()
    beside, save = stored(neighbour), ApiKeyForm.save

    def rotate(self, *args, **kwargs):
        ApiKey.objects.get(pk=api_key.pk).rotate(grace=timedelta(hours=1))
        return save(self, *args, **kwargs)

    monkeypatch.setattr(ApiKeyForm, "save", rotate)
    later = tomorrow + timedelta(days=1)
    values = {"name": "Renamed"} if renamed else {"expires_at_0": f"{later:%Y-%m-%d}"}
    response = change(root, api_key, **values)

    if renamed:
        assert response.status_code == HTTPStatus.FOUND
        (message,) = map(str, get_messages(response.wsgi_request))
        assert "changed successfully" in message
        assert stored(api_key)["name"] == "Renamed"
        assert stored(api_key)["expires_at"] < tomorrow
    else:
        assert response.status_code == HTTPStatus.OK
        assert response.context["adminform"].form.errors == {"expires_at": ["You cannot extend a rotated key."]}
        assert f'value="{later:%Y-%m-%d}"' in response.content.decode()
        # The rotation runs within the transaction of the form and is rolled back with it.
        assert stored(api_key)["expires_at"] == tomorrow
        assert not AuditEntry.objects.filter(event="api_key_changed").exists()
    assert stored(neighbour) == beside


def test_revoked_key_cannot_be_brought_back(root, change):
    api_key, _ = make_key()
    api_key.revoke()

    change(root, api_key, name="Renamed", is_active="on", state="active")

    assert (stored(api_key)["name"], stored(api_key)["is_active"]) == ("Renamed", False)


def test_expired_key_can_be_renamed_and_renewed_but_not_backdated(root, change):
    api_key, _ = make_key()
    expire(api_key)
    before = stored(api_key)

    assert change(root, api_key, name="Renamed").status_code == HTTPStatus.FOUND
    assert stored(api_key) == {**before, "name": "Renamed"}

    response = change(root, api_key, name="Again", expires_at_0="2020-01-01")
    assert response.context["adminform"].form.errors == {
        "expires_at": ["Choose a time in the future, or set no expiry."]
    }
    assert stored(api_key)["name"] == "Renamed"

    tomorrow = timezone.localtime() + timedelta(days=1)
    assert change(root, api_key, expires_at_0=f"{tomorrow:%Y-%m-%d}").status_code == HTTPStatus.FOUND
    assert ApiKey.objects.active().get() == api_key


def test_viewing_is_not_changing(page, make_staff):
    client = make_staff("view_apikey")
    api_key, _ = make_key(name="Server")
    before = stored(api_key)
    content = client.get(page("apikey_change", api_key.pk)).content.decode()

    response = client.post(page("apikey_change", api_key.pk), {"name": "Renamed"})

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert stored(api_key) == before
    assert "Server" in content
    assert f'<div class="readonly">{api_key.pk}</div>' in content
    assert "revokelink" not in content
    assert 'name="_save"' not in content
