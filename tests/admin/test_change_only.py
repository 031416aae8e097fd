"""Staff who may change keys, but not add them, cannot grant more than they have."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from closient_auth.models import ApiKey, AuditEntry
from closient_auth.roles import ROLE_PERMISSIONS, Role
from tests.factories import MembershipFactory, UserFactory, make_key

VIEW = "organization.view_organization"
OWN = "organization.delete_organization"
LACKING = f"You do not have these permissions: {OWN}."


def stored(api_key):
    return ApiKey.objects.values().get(pk=api_key.pk)


@pytest.fixture
def change(page):
    def change(client, api_key, permissions=None, **values):
        data = {"name": api_key.name, "rate_limit_per_minute": "0", "rate_limit_per_day": "0", **values}
        if permissions is not None:
            data["permissions"] = permissions
        return client.post(page("apikey_change", api_key.pk), data)

    return change


@pytest.mark.parametrize("prefix", ["csb", "csu"])
@pytest.mark.parametrize("role", ["owner", "manager", "editor", None])
@pytest.mark.parametrize("permissions", [["change_apikey", "add_apikey"], ["change_apikey"]])
def test_who_can_widen_a_key(make_staff, change, organization, permissions, role, prefix):
    staff = UserFactory.create(username="grace")
    if role:
        MembershipFactory.create(organization=organization, user=staff, role=role)
    holder = {"organization": organization} if prefix == "csb" else {}
    api_key, _ = make_key(prefix, permissions=[VIEW], **holder)
    neighbour, _ = make_key(prefix, permissions=[VIEW], **holder)
    before, beside = stored(api_key), stored(neighbour)
    allowed = "add_apikey" in permissions or role == "owner" or prefix == "csu"

    response = change(make_staff(*permissions, user=staff), api_key, [OWN, VIEW], name="Typed")

    if allowed:
        assert response.status_code == HTTPStatus.FOUND
        assert stored(api_key) == {**before, "name": "Typed", "permissions": [OWN, VIEW]}
        assert AuditEntry.objects.get(event="api_key_changed").actor == "grace"
    else:
        assert response.status_code == HTTPStatus.OK
        assert response.context["adminform"].form.errors == {"__all__": [LACKING]}
        assert LACKING in response.content.decode()
        assert 'value="Typed"' in response.content.decode()
        assert stored(api_key) == before
        assert not LogEntry.objects.exists()
        assert not AuditEntry.objects.filter(event="api_key_changed").exists()
    assert stored(neighbour) == beside


@pytest.mark.parametrize("prefix", ["csb", "cpk"])
def test_all_permissions_are_at_most_those_of_staff(page, make_staff, change, organization, prefix):
    api_key, _ = make_key(prefix, organization=organization, permissions=[VIEW])
    data = {"name": "", "rate_limit_per_minute": "0", "rate_limit_per_day": "0", "initial-permissions": VIEW}

    make_staff("change_apikey").post(page("apikey_change", api_key.pk), data)

    allowed = None if prefix == "cpk" else sorted(ROLE_PERMISSIONS[Role.MANAGER])
    assert stored(api_key)["permissions"] == allowed


def test_name_of_a_wide_key_can_change(make_staff, change):
    api_key, _ = make_key(permissions=[OWN])

    response = change(make_staff("change_apikey"), api_key, [OWN], **{"initial-permissions": OWN}, name="New")

    assert response.status_code == HTTPStatus.FOUND
    assert (stored(api_key)["name"], stored(api_key)["permissions"]) == ("New", [OWN])


def test_maximums_are_told_at_their_fields(make_staff, change, settings):
    settings.CLOSIENT_AUTH = {"MAX_RATE_LIMIT_PER_DAY": 10, "MAX_KEY_LIFETIME_DAYS": 30}
    api_key, _ = make_key(expires_at=timezone.now() + timedelta(days=2))
    before = stored(api_key)
    local = timezone.localtime(api_key.expires_at)
    expiry = {"expires_at_0": f"{local:%Y-%m-%d}", "expires_at_1": f"{local:%H:%M:%S}"}
    client = make_staff("change_apikey")

    response = change(client, api_key, rate_limit_per_day="11", **expiry)
    errors = response.context["adminform"].form.errors
    assert errors == {"rate_limit_per_day": ["The highest limit is 10 requests."]}
    assert list(change(client, api_key, expires_at_0="").context["adminform"].form.errors) == ["expires_at"]
    assert stored(api_key) == before
    # A user key and other staff have no maximum here.
    user_key, _ = make_key("csu")
    assert change(client, user_key, rate_limit_per_day="11").status_code == HTTPStatus.FOUND
    other = make_staff("change_apikey", "add_apikey")
    assert change(other, api_key, rate_limit_per_day="11", **expiry).status_code == HTTPStatus.FOUND
