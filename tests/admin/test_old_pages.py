"""A page that was loaded a while ago must not undo what somebody else has changed since."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from closient_auth.forms import NOTHING
from closient_auth.models import ApiKey, AuditEntry, Organization
from tests.admin.browser import read_form
from tests.admin.members import form_data, join
from tests.factories import OrganizationFactory, make_key

VIEW = "organization.view_organization"
BILLING = "organization.manage_billing"
WIDE = {
    "permissions": [VIEW, BILLING],
    "allowed_networks": ["203.0.113.0/24", "2001:db8::/32"],
    "allowed_origins": ["https://a.example", "https://b.example"],
}
NARROW = {"permissions": [VIEW], "allowed_networks": ["203.0.113.7/32"], "allowed_origins": ["https://a.example"]}
NONE: dict[str, Any] = {"permissions": None, "allowed_networks": [], "allowed_origins": []}


def stored(row):
    return type(row).objects.values().get(pk=row.pk)


@pytest.fixture
def load(page):
    """Return a function for the data of the change page of a row as a browser would send it."""

    def load(client, row):
        name = row._meta.model_name
        return read_form(client.get(page(f"{name}_change", row.pk)), f"{name}_form")

    return load


@pytest.fixture
def post(page):
    def post(client, row, data):
        return client.post(page(f"{row._meta.model_name}_change", row.pk), data)

    return post


@pytest.mark.parametrize("old", [NONE, WIDE, {**NONE, "permissions": []}])
@pytest.mark.parametrize("new", [NONE, NARROW, {**NARROW, "permissions": []}])
def test_old_page_of_a_key_keeps_its_new_restrictions(root, load, post, old, new):
    api_key, _ = make_key("cpk", **old)
    neighbour, _ = make_key("cpk", **WIDE)
    beside, data = stored(neighbour), load(root, api_key)
    ApiKey.objects.get(pk=api_key.pk).change(**new)
    before = stored(api_key)

    assert post(root, api_key, {**data, "description": "Renamed"}).status_code == HTTPStatus.FOUND

    assert stored(api_key) == {**before, "description": "Renamed"}
    assert stored(neighbour) == beside
    assert list(AuditEntry.objects.get(event="api_key_changed", actor="root").new_values) == ["description"]


@pytest.mark.parametrize("was_restricted", [False, True])
def test_old_page_of_a_user_key_keeps_its_new_organization(root, load, post, was_restricted):
    old, new = OrganizationFactory.create(), OrganizationFactory.create()
    api_key, _ = make_key("csu", restricted_to=old if was_restricted else None)
    data = load(root, api_key)
    ApiKey.objects.get(pk=api_key.pk).change(restricted_to=new)

    assert post(root, api_key, {**data, "name": "Renamed"}).status_code == HTTPStatus.FOUND

    assert (stored(api_key)["name"], stored(api_key)["restricted_to_id"]) == ("Renamed", new.pk)


def test_old_page_with_a_permission_that_is_unknown_now(root, load, post, settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"owner": ["catalogue.publish"]}}
    api_key, _ = make_key(permissions=[VIEW, "catalogue.publish"])
    data = load(root, api_key)
    ApiKey.objects.get(pk=api_key.pk).change(permissions=[VIEW])
    settings.CLOSIENT_AUTH = {}

    assert post(root, api_key, {**data, "name": "Renamed"}).status_code == HTTPStatus.FOUND

    assert (stored(api_key)["name"], stored(api_key)["permissions"]) == ("Renamed", [VIEW])


def test_what_the_page_changed_is_written(root, load, post, organization):
    api_key, _ = make_key("cpk", **WIDE)
    typed = {"permissions": [BILLING], "allowed_networks": "10.0.0.0/8\r\n203.0.113.0/24", "allowed_origins": ""}
    neighbour, _ = make_key("cpk", **WIDE)
    beside = stored(neighbour)

    assert post(root, api_key, {**load(root, api_key), **typed}).status_code == HTTPStatus.FOUND

    row = stored(api_key)
    assert (row["permissions"], row["allowed_origins"]) == ([BILLING], [])
    assert row["allowed_networks"] == ["10.0.0.0/8", "203.0.113.0/24"]
    assert stored(neighbour) == beside


def test_page_takes_restrictions_away(root, load, post, organization):
    api_key, _ = make_key("cpk", **WIDE)
    data = load(root, api_key)
    del data["permissions"]
    post(root, api_key, {**data, "allowed_networks": "", "allowed_origins": ""})
    assert {name: stored(api_key)[name] for name in NONE} == NONE

    user_key, _ = make_key("csu", restricted_to=organization)
    data = load(root, user_key)
    assert data["initial-restricted_to"] == [str(organization.pk)]
    post(root, user_key, {**data, "restricted_to": ""})
    assert stored(user_key)["restricted_to_id"] is None


@pytest.mark.parametrize("checked", [[VIEW], [NOTHING]])
def test_page_with_an_error_still_writes_the_new_restriction(root, load, post, checked):
    """The second page must not take the posted restriction for that of the first page."""
    api_key, _ = make_key("cpk")
    typed = {"permissions": checked, "allowed_networks": "10.0.0.0/8", "allowed_origins": "https://a.example"}
    refused = post(root, api_key, {**load(root, api_key), **typed, "rate_limit_per_day": "-1"})
    assert list(refused.context["adminform"].form.errors) == ["rate_limit_per_day"]

    again = {**read_form(refused, "apikey_form"), "rate_limit_per_day": "1"}
    assert post(root, api_key, again).status_code == HTTPStatus.FOUND

    row = stored(api_key)
    assert row["permissions"] == ([] if checked == [NOTHING] else checked)
    assert (row["allowed_networks"], row["allowed_origins"]) == (["10.0.0.0/8"], ["https://a.example"])


def test_script_without_the_fields_takes_no_restriction_away(root, post, organization):
    data = {"name": "Renamed", "rate_limit_per_minute": "5", "rate_limit_per_day": "0"}
    keys = [make_key("cpk", **WIDE)[0], make_key(permissions=[])[0], make_key("csu", restricted_to=organization)[0]]

    for api_key in keys:
        before = stored(api_key)
        assert post(root, api_key, data).status_code == HTTPStatus.FOUND
        assert stored(api_key) == {**before, "name": "Renamed", "rate_limit_per_minute": 5}


def test_new_key_has_no_hidden_values(root, page):
    assert "initial-permissions" not in root.get(page("apikey_add")).content.decode()


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("new", [True, False])
def test_old_page_of_an_organization(root, load, post, organization, old, new):
    join(organization, "owner")
    neighbour = OrganizationFactory.create(user_keys_allowed=old)
    organization.allow_user_keys(old)
    data = load(root, organization)
    organization.allow_user_keys(new)

    assert post(root, organization, {**data, "name": "Renamed"}).status_code == HTTPStatus.FOUND

    assert (stored(organization)["name"], stored(organization)["user_keys_allowed"]) == ("Renamed", new)
    assert stored(neighbour)["user_keys_allowed"] == old


@pytest.mark.parametrize("old", [True, False])
def test_page_of_an_organization_changes_user_keys(root, load, post, organization, old):
    join(organization, "owner")
    organization.allow_user_keys(old)
    data = load(root, organization)
    data.pop("user_keys_allowed", None)

    post(root, organization, data if old else {**data, "user_keys_allowed": "on"})

    assert stored(organization)["user_keys_allowed"] == (not old)


@pytest.mark.parametrize("allowed", [True, False])
def test_script_without_the_field_does_not_flip_user_keys(root, post, organization, allowed):
    join(organization, "owner")
    organization.allow_user_keys(allowed)
    data = {name: value for name, value in form_data(organization).items() if "user_keys_allowed" not in name}

    assert post(root, organization, {**data, "name": "Renamed"}).status_code == HTTPStatus.FOUND

    assert Organization.objects.values_list("name", "user_keys_allowed").get() == ("Renamed", allowed)
