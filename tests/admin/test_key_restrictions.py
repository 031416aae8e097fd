from __future__ import annotations

import json
import re
from http import HTTPStatus

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from closient_auth.forms import NOTHING
from closient_auth.models import ApiKey, AuditEntry
from tests.factories import OrganizationFactory, make_key

VIEW = "organization.view_organization"
BILLING = "organization.manage_billing"
NAMES = ("permissions", "restricted_to_id", "allowed_networks", "allowed_origins")


def stored(api_key):
    return ApiKey.objects.values().get(pk=api_key.pk)


def get_form(response):
    assert response.status_code == HTTPStatus.OK
    return response.context["adminform"].form


def write(api_key, **values):
    """Write values as another program may, without validation."""
    with connection.cursor() as cursor:
        for name, value in values.items():
            sql = f"UPDATE closient_auth_apikey SET {name} = %s WHERE hashed_key = %s"
            cursor.execute(sql, [json.dumps(value), api_key.hashed_key])


@pytest.fixture
def fill_in(page):
    """Return a function for the data that a browser would send from the form of a key, or from the empty form."""

    def fill_in(client, api_key=None, **values):
        address = page("apikey_change", api_key.pk) if api_key else page("apikey_add")
        form = get_form(client.get(address))
        data = {name: form[name].value() for name in form.fields}
        # The page also tells what it showed.
        hidden = [form[name] for name in form.fields if form[name].field.show_hidden_initial]
        texts = {field.name: field.field.hidden_widget().format_value(field.value()) for field in hidden}
        data |= {f"initial-{name}": text for name, text in texts.items()}
        data["name"] = data["name"] if api_key else "Server"
        return {name: value for name, value in {**data, **values}.items() if value is not None}

    return fill_in


@pytest.fixture
def change(page, fill_in):
    def change(client, api_key, **values):
        return client.post(page("apikey_change", api_key.pk), fill_in(client, api_key, **values))

    return change


def test_new_key_without_restrictions(root, page, fill_in, organization):
    root.post(page("apikey_add"), fill_in(root, prefix="csb", organization=organization.pk))

    api_key = ApiKey.objects.values(*NAMES).get()
    assert api_key == {
        "permissions": None,
        "restricted_to_id": None,
        "allowed_networks": [],
        "allowed_origins": [],
    }


def test_new_key_with_restrictions(root, page, fill_in, organization):
    data = fill_in(
        root,
        prefix="cpk",
        organization=organization.pk,
        permissions=[VIEW],
        allowed_networks=" 203.0.113.0/24 \r\n\r\n2001:DB8::/32\r\n",
        allowed_origins="https://www.example.com:443\r\n  \r\n",
    )

    response = root.post(page("apikey_add"), data)

    assert "raw-key" in response.content.decode()
    assert ApiKey.objects.values(*NAMES).get() == {
        "permissions": [VIEW],
        "restricted_to_id": None,
        "allowed_networks": ["203.0.113.0/24", "2001:db8::/32"],
        "allowed_origins": ["https://www.example.com"],
    }


def test_address_fills_in_the_form_of_a_new_key(root, page):
    query = {"permissions": VIEW, "allowed_networks": "203.0.113.0/24"}

    response = root.get(page("apikey_add"), query)

    content = response.content.decode()
    assert f'value="{VIEW}" id="id_permissions_0" checked' in content
    assert get_form(response)["allowed_networks"].value() == "203.0.113.0/24"


def test_user_key_of_one_organization(root, page, change, organization):
    api_key, _ = make_key("csu")
    neighbour, _ = make_key("csu")
    beside = stored(neighbour)

    assert change(root, api_key, restricted_to=organization.pk).status_code == HTTPStatus.FOUND
    assert stored(api_key)["restricted_to_id"] == organization.pk
    assert "Acme Foods" in root.get(page("apikey_change", api_key.pk)).content.decode()
    assert change(root, api_key, restricted_to="").status_code == HTTPStatus.FOUND
    assert stored(api_key)["restricted_to_id"] is None
    assert stored(neighbour) == beside


def test_organization_is_found_by_name(root, organization):
    query = {"app_label": "closient_auth", "model_name": "apikey", "field_name": "restricted_to", "term": "acme"}

    assert [row["text"] for row in root.get("/admin/autocomplete/", query).json()["results"]] == ["Acme Foods"]


@pytest.mark.parametrize(
    ("prefix", "fields"),
    [
        ("csb", ["permissions", "allowed_networks"]),
        ("csu", ["permissions", "restricted_to", "allowed_networks"]),
        ("cpk", ["permissions", "allowed_networks", "allowed_origins"]),
    ],
)
def test_page_shows_what_fits_the_type(root, page, prefix, fields):
    api_key, _ = make_key(prefix)

    form = get_form(root.get(page("apikey_change", api_key.pk)))

    assert [name for name in form.fields if name in ("restricted_to", *NAMES)] == fields


def test_fields_of_another_type_cannot_be_forged(root, change, organization):
    api_key, _ = make_key()
    before = stored(api_key)

    response = change(
        root, api_key, name="Renamed", restricted_to=organization.pk, allowed_origins="https://www.example.com"
    )

    assert response.status_code == HTTPStatus.FOUND
    assert stored(api_key) == {**before, "name": "Renamed"}


@pytest.mark.parametrize(
    ("prefix", "field", "message"),
    [
        ("csb", "restricted_to", "A key of an organization works in this organization only."),
        ("cpk", "restricted_to", "A key of an organization works in this organization only."),
        ("csb", "allowed_origins", "Only publishable keys can have allowed origins."),
        ("csu", "allowed_origins", "Only publishable keys can have allowed origins."),
    ],
)
def test_restriction_must_fit_the_type(root, root_user, page, fill_in, organization, prefix, field, message):
    holder = {"user": root_user.pk} if prefix == "csu" else {"organization": organization.pk}
    value = organization.pk if field == "restricted_to" else "https://www.example.com"

    response = root.post(page("apikey_add"), fill_in(root, prefix=prefix, name="Typed", **holder, **{field: value}))

    assert get_form(response).errors == {field: [message]}
    assert 'value="Typed"' in response.content.decode()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("allowed_networks", "203.0.113.7/24", "Did you mean 203.0.113.0/24?"),
        ("allowed_networks", "10.0.0.0/8\n\x00", "Null characters are not allowed."),
        ("allowed_networks", "\n".join(f"10.0.0.{n}" for n in range(101)), "more than 100 entries"),
        ("allowed_origins", "https://*.example.com", "is not an origin"),
        ("permissions", ["organization.fly"], "organization.fly is not one of the available choices"),
        ("permissions", [VIEW, NOTHING], "Choose either permissions or nothing."),
    ],
)
def test_error_is_at_its_field(root, change, field, value, message):
    api_key, _ = make_key("cpk", permissions=[VIEW])
    before = stored(api_key)

    response = change(root, api_key, **{"name": "Typed", "description": "also", field: value})

    form = get_form(response)
    (error,) = form.errors.pop(field)
    assert message in error
    assert not form.errors
    assert form[field].value() == value
    assert form["name"].value() == "Typed"
    assert stored(api_key) == before
    assert not LogEntry.objects.exists()


def test_only_what_changed_is_written(root, change):
    api_key, _ = make_key(permissions=[VIEW], allowed_networks=["203.0.113.0/24"])
    before = stored(api_key)

    change(root, api_key, permissions=[BILLING, VIEW])

    assert stored(api_key) == {**before, "permissions": [BILLING, VIEW]}
    entry = AuditEntry.objects.get(event="api_key_changed")
    assert list(entry.new_values) == ["permissions"]


@pytest.mark.parametrize("permissions", [None, [], [VIEW], [BILLING, VIEW]])
def test_saving_an_unchanged_form_changes_nothing(root, change, permissions):
    api_key, _ = make_key(permissions=permissions, allowed_networks=["203.0.113.0/24"])
    before = stored(api_key)

    assert change(root, api_key).status_code == HTTPStatus.FOUND
    assert stored(api_key) == before
    assert change(root, api_key, name="Renamed").status_code == HTTPStatus.FOUND
    assert stored(api_key) == {**before, "name": "Renamed"}


@pytest.mark.parametrize(("checked", "permissions"), [([], None), ([NOTHING], []), ([VIEW], [VIEW])])
@pytest.mark.parametrize("before", [None, [], [BILLING]])
def test_all_and_nothing_are_not_the_same(root, change, before, checked, permissions):
    api_key, _ = make_key(permissions=before)

    assert change(root, api_key, permissions=checked).status_code == HTTPStatus.FOUND
    assert stored(api_key)["permissions"] == permissions


def test_permissions_of_the_project(root, page, change, settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"owner": ["catalogue.publish"], "editor": ["catalogue.read"]}}
    api_key, _ = make_key()

    change(root, api_key, permissions=["catalogue.read"])

    assert stored(api_key)["permissions"] == ["catalogue.read"]
    labels = [
        str(label) for _, label in get_form(root.get(page("apikey_change", api_key.pk)))["permissions"].field.choices
    ]
    assert labels == [
        "View the organization",
        "Contribute content",
        "Manage billing",
        "Manage API keys",
        "Manage members",
        "Edit and delete the organization",
        "catalogue.publish",
        "catalogue.read",
        "Nothing: the key has no permission at all",
    ]


REFUSED = "Requests with this key are refused until you correct the unknown or malformed entry."
MALFORMED = [
    {"permissions": [VIEW, "catalogue.<read>"]},
    {"permissions": "everything"},
    {"permissions": {"all": True}},
    {"permissions": [1]},
    {"allowed_networks": "203.0.113.0/24"},
    {"allowed_networks": [None]},
    {"allowed_networks": ["anywhere"]},
    {"allowed_origins": {}},
]


@pytest.mark.parametrize("values", MALFORMED)
def test_key_with_a_malformed_restriction_can_be_renamed(root, page, change, values):
    api_key, _ = make_key("cpk")
    write(api_key, **values)
    before = stored(api_key)
    content = root.get(page("apikey_change", api_key.pk)).content.decode()

    assert content.count(REFUSED) == 1
    assert "<read>" not in content
    assert change(root, api_key, name="Renamed").status_code == HTTPStatus.FOUND
    assert stored(api_key) == {**before, "name": "Renamed"}


@pytest.mark.parametrize("values", MALFORMED)
def test_malformed_restriction_can_be_corrected(root, page, change, values):
    api_key, _ = make_key("cpk")
    write(api_key, **values)
    (name,) = values
    right = {"permissions": [VIEW], "allowed_networks": ["203.0.113.0/24"], "allowed_origins": ["https://example.com"]}

    typed = right[name] if name == "permissions" else right[name][0]
    assert change(root, api_key, **{name: typed}).status_code == HTTPStatus.FOUND
    assert stored(api_key)[name] == right[name]
    assert REFUSED not in root.get(page("apikey_change", api_key.pk)).content.decode()


def test_unknown_permission_cannot_be_kept_beside_another(root, change):
    api_key, _ = make_key()
    write(api_key, permissions=[VIEW, "catalogue.read"])
    before = stored(api_key)

    response = change(root, api_key, permissions=[BILLING, "catalogue.read"])

    (error,) = get_form(response).errors["permissions"]
    assert "“catalogue.read” is not a known permission." in error
    assert stored(api_key) == before


def test_origins_of_a_secret_key_are_shown_to_be_removed(root, page, change):
    api_key, _ = make_key()
    write(api_key, allowed_origins=["https://www.example.com"])

    response = change(root, api_key, name="Renamed")

    assert get_form(response).errors == {"allowed_origins": ["Only publishable keys can have allowed origins."]}
    assert change(root, api_key, allowed_origins="").status_code == HTTPStatus.FOUND
    assert stored(api_key)["allowed_origins"] == []
    assert "id_allowed_origins" not in root.get(page("apikey_change", api_key.pk)).content.decode()


def test_staff_are_not_limited(make_staff, change, settings):
    settings.CLOSIENT_AUTH = {"MAX_RATE_LIMIT_PER_DAY": 10}
    api_key, _ = make_key(permissions=[VIEW])

    client = make_staff("change_apikey", "add_apikey")
    permission = "organization.delete_organization"

    assert change(client, api_key, permissions=[permission], rate_limit_per_day=100).status_code == HTTPStatus.FOUND
    assert stored(api_key)["permissions"] == [permission]


def test_viewers_see_what_restricts_a_key(page, make_staff):
    client = make_staff("view_apikey")
    here = OrganizationFactory.create(name="Acme <Foods>")
    free, _ = make_key("cpk")
    none, _ = make_key(permissions=[])
    user_key, _ = make_key("csu", restricted_to=here, permissions=[VIEW], allowed_networks=["203.0.113.0/24"])
    write(none, allowed_networks=["<b>"])

    def shown(api_key):
        content = client.get(page("apikey_change", api_key.pk)).content.decode()
        restrictions = content.partition("Restrictions</h2>")[2].partition("</fieldset>")[0]
        parts = restrictions.split('<div class="readonly">')[1:]
        return [re.sub(r"</?a\b[^>]*>", "", part.partition("</div>")[0]) for part in parts]

    assert shown(free) == ["All", "All", "All"]
    assert shown(none) == ["None", "&lt;b&gt;"]
    assert shown(user_key) == ["View the organization", "Acme &lt;Foods&gt;", "203.0.113.0/24"]
    assert client.post(page("apikey_change", none.pk), {"permissions": [VIEW]}).status_code == HTTPStatus.FORBIDDEN
    assert stored(none)["permissions"] == []


def test_change_beside_a_replica(root, page, change, organization, replica):
    """A form without the organization would remove the restriction."""
    api_key, _ = make_key("csu", restricted_to=organization)
    replica("closient_auth")

    response = change(root, api_key, permissions=[VIEW], allowed_networks="203.0.113.0/24")

    assert response.status_code == HTTPStatus.FOUND
    api_key = ApiKey.objects.using("default").get()
    assert (api_key.permissions, api_key.restricted_to_id) == ([VIEW], organization.pk)
    assert "Acme Foods" in root.get(page("apikey_change", api_key.pk)).content.decode()
    assert root.get(page("apikey_changelist")).status_code == HTTPStatus.OK


@pytest.mark.parametrize("permission", ["view_apikey", "change_apikey"])
def test_page_names_who_has_shut_out_a_key(page, make_staff, organization, count_queries, permission):
    client = make_staff(permission)
    other = OrganizationFactory.create(name="Other <Foods>")
    api_key, _ = make_key("csu")
    neighbour, _ = make_key("csu")
    address = page("apikey_change", api_key.pk)
    free = count_queries(client, address)
    for row in (other, organization):
        api_key.shut_out(row)
    write(neighbour, shut_out_of=["of nobody", str(organization.pk).replace("-", "0")])

    content = client.get(address).content.decode()

    assert '<div class="readonly">Acme Foods<br>Other &lt;Foods&gt;</div>' in content
    assert count_queries(client, address) == free + 1
    content = client.get(page("apikey_change", neighbour.pk)).content.decode()
    assert "of nobody" in content
    assert "Acme Foods" not in content
    write(neighbour, shut_out_of={"all": True})
    assert "{&quot;all&quot;: true}" in client.get(page("apikey_change", neighbour.pk)).content.decode()
    write(neighbour, shut_out_of=[])
    assert "Shut out of" not in client.get(page("apikey_change", neighbour.pk)).content.decode()


def test_page_does_not_let_a_key_in(root, change, organization):
    api_key, _ = make_key("csu")
    api_key.shut_out(organization)
    before = stored(api_key)

    assert change(root, api_key, name="Renamed", shut_out_of="[]", shut_out="").status_code == HTTPStatus.FOUND
    assert stored(api_key) == {**before, "name": "Renamed"}
