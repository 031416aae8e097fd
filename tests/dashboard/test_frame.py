"""What all pages of the dashboard share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from closient_auth.core.callers import set_api_key
from closient_auth.dashboard.home import HomePage
from closient_auth.keys import generate_api_key
from closient_auth.models.people import get_person_name
from tests.dashboard.routes import get_text
from tests.factories import MembershipFactory, OrganizationFactory, make_key

pytestmark = pytest.mark.django_db

KEY = generate_api_key("csb")


def test_pages_need_a_login(client, acme):
    response = client.get("/settings/o/acme/keys/")

    assert (response.status_code, response["Location"]) == (302, "/login/?next=/settings/o/acme/keys/")
    assert "no-store" in response["Cache-Control"]


def test_a_request_with_a_key_opens_no_page(people, rf):
    """A middleware of the project may accept keys before any view."""
    api_key, _ = make_key("csu", user=people["owner"])
    request = rf.get("/settings/")
    request.user = people["owner"]
    assert HomePage.as_view()(request).status_code == 200
    set_api_key(request, api_key)
    response: Any = HomePage.as_view()(request)

    assert response.status_code == 403
    assert "These pages take no API keys. Sign in." in response.text


def test_the_login_gets_no_key(client, acme):
    addresses = [f"/settings/o/acme/keys/?q={text}" for text in (KEY, KEY.replace("_", "%5F"), "csb_")]

    assert [client.get(address)["Location"] for address in addresses] == [
        "/login/?next=/settings/o/acme/keys/",
        "/login/?next=/settings/o/acme/keys/",
        "/login/?next=/settings/o/acme/keys/%3Fq%3Dcsb_",
    ]


def test_a_foreign_and_an_unknown_organization_are_the_same_404(sign_in, outsider, acme):
    client = sign_in(outsider)
    foreign, unknown = (client.get(f"/settings/o/{name}/members/") for name in ("acme", "umbra"))

    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert get_text(foreign) == get_text(unknown)
    assert "There is no such page, or it is not yours." in foreign.text
    assert foreign["X-Frame-Options"] == "DENY"


def test_headers(owner):
    response = owner.get("/settings/o/acme/keys/")

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]


def test_the_policy_can_be_left_to_the_project(owner, settings):
    settings.CLOSIENT_AUTH = {"DASHBOARD_CONTENT_SECURITY_POLICY": ""}

    assert "Content-Security-Policy" not in owner.get("/settings/o/acme/keys/")


def test_a_suspended_organization_refuses_its_members(owner, acme):
    acme.suspend()
    response = owner.get("/settings/o/acme/keys/")

    assert response.status_code == 403
    assert "This organization is suspended." in response.text


def test_the_switcher_names_the_organizations_of_the_user_alone(owner, people):
    MembershipFactory.create(user=people["owner"], role="editor", organization__name="Beta", organization__slug="beta")
    OrganizationFactory.create(name="Elsewhere")
    page = owner.get("/settings/o/acme/keys/").text

    assert '<a href="/settings/o/beta/">Beta' in page
    assert "Elsewhere" not in page


def test_signing_out(owner):
    assert owner.get("/settings/sign-out/").status_code == 405
    assert owner.post("/settings/sign-out/")["Location"] == "/login/"
    assert owner.get("/settings/").status_code == 302


def test_forms_are_protected_in_a_project_without_the_middleware(people, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])

    assert client.post("/settings/sign-out/").status_code == 403
    assert client.get("/settings/o/acme/keys/").status_code == 200


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"get_full_name": lambda: "Ada Lindqvist"}, "Ada Lindqvist"),
        ({"get_full_name": lambda: ""}, "ada"),
        # A user model of a project need not have names.
        ({}, "ada"),
    ],
)
def test_names_of_people(user, name):
    assert get_person_name(SimpleNamespace(get_username=lambda: "ada", **user)) == name
