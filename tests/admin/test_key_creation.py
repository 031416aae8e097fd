from __future__ import annotations

import html
import re
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import IntegrityError
from django.utils import timezone
from django.views.debug import ExceptionReporter

from closient_auth.keys import generate_api_key, hash_api_key
from closient_auth.models import ApiKey
from tests.factories import OrganizationFactory, UserFactory, make_key


@pytest.fixture
def canary(monkeypatch):
    """Return the raw key of the next creation."""
    key = generate_api_key("csb")
    monkeypatch.setattr("closient_auth.models.api_keys.generate_api_key", lambda prefix: key)
    return key


@pytest.fixture
def fill_in(page):
    """Return a function for the data of the form as a browser would send it."""

    def fill_in(client, **values):
        form = client.get(page("apikey_add")).context["adminform"].form
        data = {name: form[name].value() for name in form.fields}
        return {**{name: value for name, value in data.items() if value is not None}, "name": "Server", **values}

    return fill_in


def errors(response):
    form = response.context["adminform"].form
    return form.errors.get_json_data()


def test_key_is_shown_in_the_answer_to_the_post(root, root_user, page, fill_in):
    organization = OrganizationFactory.create(name="Acme Foods")
    data = fill_in(root, prefix="csb", organization=organization.pk, name="Server", rate_limit_per_day="7")

    response = root.post(page("apikey_add"), data)

    api_key = ApiKey.objects.get()
    (raw_key,) = re.findall(r"csb_\w{32}_\w{8}", response.content.decode())
    assert response.status_code == HTTPStatus.OK
    assert hash_api_key(raw_key) == api_key.hashed_key
    assert (api_key.organization, api_key.created_by) == (organization, root_user)
    assert (api_key.name, api_key.rate_limit_per_day, api_key.is_active) == ("Server", 7, True)
    assert {"no-store", "private"} <= set(response["Cache-Control"].split(", "))
    assert "Acme Foods" in response.content.decode()
    assert page("apikey_change", api_key.pk) in response.content.decode()


def test_key_is_nowhere_else(root, page, fill_in, canary, caplog):
    caplog.set_level("DEBUG")
    organization = OrganizationFactory.create()
    data = fill_in(root, prefix="csb", organization=organization.pk, name="Server")
    body = canary.split("_")[1]

    created = root.post(page("apikey_add"), data)
    api_key = ApiKey.objects.get()
    others = [
        root.post(page("apikey_add"), data),
        root.get(page("apikey_changelist")),
        root.get(page("apikey_change", api_key.pk)),
        root.get(page("apikey_history", api_key.pk)),
        root.post(page("apikey_find"), {"api_key": canary}),
        root.post(page("apikey_find"), {"api_key": canary[:-1]}),
        root.get("/admin/"),
    ]

    assert created.content.decode().count(body) == 1
    rows = [str(row) for model in apps.get_models() for row in model._default_manager.values()]
    sessions = [session.get_decoded() for session in Session.objects.all()]
    heads = [str(response.headers.items()) + str(response.cookies) for response in (created, *others)]
    told = [*rows, *heads, *(response.content.decode() for response in others), str(sessions), str(root.cookies)]
    assert any("Server" in text for text in told)
    assert [text for text in [*told, caplog.text] if body in text] == []


def test_sending_the_form_again_makes_no_second_key(root, page, fill_in):
    data = fill_in(root, prefix="csb", organization=OrganizationFactory.create().pk, name="Server")
    root.post(page("apikey_add"), data)
    before = ApiKey.objects.values().get()

    response = root.post(page("apikey_add"), {**data, "name": "Another"})

    assert response.status_code == HTTPStatus.CONFLICT
    assert "No second key was created" in response.content.decode()
    assert page("apikey_change", before["id"]) in response.content.decode()
    assert "raw-key" not in response.content.decode()
    assert ApiKey.objects.values().get() == before
    assert LogEntry.objects.count() == 1


def test_each_empty_form_makes_its_own_key(root, page, fill_in):
    for _ in range(2):
        data = fill_in(root, prefix="csb", organization=OrganizationFactory.create().pk)
        assert root.post(page("apikey_add"), data).status_code == HTTPStatus.OK

    assert ApiKey.objects.count() == 2


def test_what_a_script_sends_again_without_a_nonce(root, page, fill_in):
    data = fill_in(root, prefix="csb", organization=OrganizationFactory.create().pk, name="Server")
    del data["nonce"]

    answers = [root.post(page("apikey_add"), data | more) for more in ({}, {}, {"name": "Another"}, {"nonce": ""})]

    assert [answer.status_code for answer in answers] == [
        HTTPStatus.OK,
        HTTPStatus.CONFLICT,
        HTTPStatus.OK,
        HTTPStatus.OK,
    ]
    assert sorted(ApiKey.objects.values_list("name", flat=True)) == ["Another", "Server", "Server"]


def test_form_of_another_user_makes_its_own_key(root, page, fill_in, make_staff):
    data = fill_in(root, prefix="csb", organization=OrganizationFactory.create().pk, name="Theirs")
    root.post(page("apikey_add"), data)
    before = ApiKey.objects.values().get()

    response = make_staff("add_apikey").post(page("apikey_add"), {**data, "name": "Mine"})

    assert response.status_code == HTTPStatus.OK
    assert "raw-key" in response.content.decode()
    assert ApiKey.objects.values().get(pk=before["id"]) == before
    assert ApiKey.objects.count() == 2


def test_nobody_chooses_the_primary_key_or_the_hash(root, page, fill_in):
    neighbour, raw_key = make_key(name="Neighbour")
    before = ApiKey.objects.values().get()
    data = fill_in(root, prefix="csb", organization=neighbour.organization_id, nonce=str(neighbour.pk))
    forged = {"id": str(neighbour.pk), "pk": str(neighbour.pk), "hashed_key": hash_api_key(raw_key), "hint": "zzzz"}

    response = root.post(page("apikey_add"), {**data, **forged})

    assert response.status_code == HTTPStatus.OK
    api_key = ApiKey.objects.exclude(pk=neighbour.pk).get()
    assert api_key.hashed_key != hash_api_key(raw_key)
    assert api_key.hint != "zzzz"
    assert ApiKey.objects.values().get(pk=neighbour.pk) == before


def test_other_integrity_errors_are_not_taken_for_a_second_sending(root, page, fill_in, monkeypatch):
    data = fill_in(root, prefix="csb", organization=OrganizationFactory.create().pk)

    def fail(*args, **kwargs):
        raise IntegrityError("something else")

    monkeypatch.setattr("closient_auth.models.api_keys.ApiKeyQuerySet.create_key", fail)

    with pytest.raises(IntegrityError, match="something else"):
        root.post(page("apikey_add"), data)


@pytest.mark.parametrize("button", ["_save", "_addanother", "_continue", "_popup"])
def test_every_button_shows_the_key(root, page, fill_in, canary, button):
    data = fill_in(root, prefix="csb", organization=OrganizationFactory.create().pk)

    response = root.post(page("apikey_add"), {**data, button: "1"})

    assert response.status_code == HTTPStatus.OK
    assert canary in response.content.decode()


def test_only_save_is_offered(root, page):
    content = root.get(page("apikey_add")).content.decode()

    assert 'name="_save"' in content
    assert "_addanother" not in content
    assert "_continue" not in content


USER_KEY = "A key of this type belongs to a user, not to an organization."
OTHER_KEY = "A key of this type belongs to an organization, not to a user."


@pytest.mark.parametrize(
    ("prefix", "others", "field", "message"),
    [
        ("csb", [], "organization", "Choose an organization."),
        ("cpk", [], "organization", "Choose an organization."),
        ("csb", ["user"], "organization", "Choose an organization."),
        ("csu", [], "user", "Choose a user."),
        ("csu", ["organization"], "user", "Choose a user."),
    ],
)
def test_holder_must_fit_the_type(root, page, fill_in, prefix, others, field, message):
    values = {"organization": OrganizationFactory.create().pk, "user": UserFactory.create().pk}
    data = fill_in(root, prefix=prefix, **{name: values[name] for name in others})

    response = root.post(page("apikey_add"), data)

    assert errors(response) == {field: [{"message": message, "code": "required"}]}
    assert message in response.content.decode()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(("prefix", "message"), [("csb", OTHER_KEY), ("cpk", OTHER_KEY), ("csu", USER_KEY)])
def test_key_has_one_holder(root, page, fill_in, prefix, message):
    data = fill_in(root, prefix=prefix, organization=OrganizationFactory.create().pk, user=UserFactory.create().pk)

    response = root.post(page("apikey_add"), data)

    assert errors(response) == {"__all__": [{"message": message, "code": "holder"}]}
    assert message in response.content.decode()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("values", [{}, {"prefix": "csx"}])
def test_without_a_type_there_is_one_error_for_it(root, page, fill_in, values):
    response = root.post(page("apikey_add"), fill_in(root, organization=OrganizationFactory.create().pk, **values))

    assert list(errors(response)) == ["prefix"]
    assert len(errors(response)["prefix"]) == 1


def test_each_holder_has_a_form_with_what_fits(root, page):
    shown = {}
    for holder in ("organization", "user"):
        response = root.get(page("apikey_add"), {"holder": holder, "name": "Shop", "prefix": "csb", "x": "<1>"})
        form = response.context["adminform"].form
        others = {"organization", "user", "restricted_to", "allowed_origins"} & set(form.fields)
        shown[holder] = others, [value for value, _ in form.fields["prefix"].choices]
        links = re.findall(r'<a( aria-current="page")? href="([^"]*)">(For [^<]*)</a>', response.content.decode())
        assert [(bool(current), label) for current, _, label in links] == [
            (holder == "organization", "For an organization"),
            (holder == "user", "For a person"),
        ]
        assert [html.unescape(address) for _, address, _ in links] == [
            f"?holder={name}&name=Shop&x=%3C1%3E" for name in ("organization", "user")
        ]

    assert shown == {
        "organization": ({"organization", "allowed_origins"}, ["", "csb", "cpk"]),
        "user": ({"user", "restricted_to"}, ["csu"]),
    }
    assert "organization" in root.get(page("apikey_add"), {"holder": "x"}).context["adminform"].form.fields
    assert "user" in root.get(page("apikey_add"), {"prefix": "csu"}).context["adminform"].form.fields


def test_type_must_fit_the_form(root, page, fill_in):
    organization = OrganizationFactory.create().pk
    data = fill_in(root, prefix="csu", user=UserFactory.create().pk)

    response = root.post(page("apikey_add") + "?holder=organization", {**data, "organization": organization})

    assert [error["code"] for error in errors(response)["prefix"]] == ["invalid_choice"]
    assert not ApiKey.objects.exists()
    assert root.post(page("apikey_add") + "?holder=user", data).status_code == HTTPStatus.OK
    assert ApiKey.objects.get().prefix == "csu"


def test_new_key_needs_a_name(root, page, fill_in):
    data = fill_in(root, prefix="csb", organization=OrganizationFactory.create().pk)

    for name in ("", "  "):
        response = root.post(page("apikey_add"), {**data, "name": name})
        assert errors(response) == {"name": [{"message": "This field is required.", "code": "required"}]}
    assert not ApiKey.objects.exists()


def test_holder_that_is_none_is_told_once(root, page, fill_in):
    response = root.post(page("apikey_add"), fill_in(root, prefix="csu", user="0"))

    assert [error["code"] for error in errors(response).pop("user")] == ["invalid_choice"]
    assert list(errors(response)) == ["user"]
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(("prefix", "holder"), [("csb", "organization"), ("cpk", "organization"), ("csu", "user")])
def test_each_type_has_its_holder(root, page, fill_in, prefix, holder):
    value = OrganizationFactory.create() if holder == "organization" else UserFactory.create()

    response = root.post(page("apikey_add"), fill_in(root, **{"prefix": prefix, holder: value.pk}))

    assert response.status_code == HTTPStatus.OK
    assert getattr(ApiKey.objects.get(), holder) == value


def test_expiry_must_lie_ahead(root, page, fill_in):
    now = timezone.localtime()

    def send(moment):
        expiry = {"expires_at_0": moment.strftime("%Y-%m-%d"), "expires_at_1": moment.strftime("%H:%M:%S")}
        return root.post(page("apikey_add"), fill_in(root, prefix="csb", organization=organization.pk, **expiry))

    organization = OrganizationFactory.create()
    response = send(now - timedelta(minutes=1))

    assert errors(response)["expires_at"][0]["code"] == "past"
    assert not ApiKey.objects.exists()
    assert send(now + timedelta(days=1)).status_code == HTTPStatus.OK
    assert ApiKey.objects.filter(expires_at__gt=now).exists()


def test_adding_needs_the_permission(page, make_staff):
    client = make_staff("view_apikey", "change_apikey")

    assert client.get(page("apikey_add")).status_code == HTTPStatus.FORBIDDEN
    assert client.post(page("apikey_add"), {"prefix": "csb"}).status_code == HTTPStatus.FORBIDDEN
    assert "Add API key" not in client.get(page("apikey_changelist")).content.decode()


def test_who_may_only_add_sees_the_key_once_and_the_row_never(page, make_staff, fill_in, canary):
    client = make_staff("add_apikey")
    data = fill_in(client, prefix="csb", organization=OrganizationFactory.create().pk, name="Server")

    created = client.post(page("apikey_add"), data).content.decode()
    again = client.post(page("apikey_add"), data)

    change = page("apikey_change", ApiKey.objects.get().pk)
    assert canary in created
    assert change not in created
    assert again.status_code == HTTPStatus.CONFLICT
    assert change not in again.content.decode()
    assert "Server" not in again.content.decode()


def test_error_report_has_no_key(root, page, fill_in, canary, monkeypatch):
    data = fill_in(root, prefix="csb", organization=OrganizationFactory.create().pk)

    def fail(*args, **kwargs):
        raise RuntimeError("history is away")

    monkeypatch.setattr("django.contrib.admin.ModelAdmin.log_addition", fail)

    with pytest.raises(RuntimeError, match="history is away") as error:
        root.post(page("apikey_add"), data)

    # Skip the first frame: this test itself holds the key in a variable.
    report = ExceptionReporter(None, error.type, error.value, error.tb.tb_next).get_traceback_html()
    assert "new_object" in report
    assert canary not in report
    assert not ApiKey.objects.exists()


def test_page_of_the_new_key_works_without_a_script_of_its_own(root, page, fill_in, canary, settings):
    settings.CLOSIENT_AUTH = {"HEADER": "X-Shop-Key"}
    data = fill_in(root, prefix="csb", organization=OrganizationFactory.create(name="Acme Foods").pk)

    response = root.post(page("apikey_add"), data)

    content = response.content.decode().partition('<div class="secret">')[2].partition('<div class="submit-row">')[0]
    # A browser reads the key from a field with a label. The button is shown by the script.
    assert re.search(rf'<input type="text" id="raw-key" [^>]*value="{canary}" readonly autofocus', content)
    assert '<label for="raw-key">API key</label>' in content
    assert re.search(r'<button [^>]*data-copy="raw-key" data-copied="Copied." hidden>Copy</button>', content)
    assert '<p role="status" data-copy-status></p>' in content
    assert content.count("<label") == 1
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>(?:<code>)?([^<]+)<", content))
    assert facts == {
        "Name": "Server",
        "Type": "Business",
        "Holder": "Acme Foods",
        "Header of requests": "X-Shop-Key",
    }
    # A strict Content-Security-Policy allows no script and no style within the page.
    for tag, attributes, text in re.findall(r"<(script|style)([^>]*)>([^<]*)</", response.content.decode()):
        assert (tag, text.strip()) == ("script", "")
        assert " src=" in attributes
    assert '<script src="/static/closient_auth/copy.js" defer></script>' in response.content.decode()
    assert "copy.js" not in root.post(page("apikey_add"), data).content.decode()
