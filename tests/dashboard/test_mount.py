"""What docs/dashboard.md promises about all pages."""

from __future__ import annotations

import re

import pytest
from django.urls import include, path, reverse
from django.utils import translation

from closient_auth.conf import CONTENT_SECURITY_POLICY
from tests.checkout import ROOT
from tests.dashboard.conftest import ROLES
from tests.dashboard.urls import urlpatterns
from tests.factories import MembershipFactory, make_key

pytestmark = pytest.mark.django_db

DOCUMENTATION = (ROOT / "docs" / "dashboard.md").read_text()
# The pages that need no row, by their paths below ``settings/``.
OWN = ["", "keys/"]
OF_ORGANIZATION = ["keys/", "members/", "invitations/", "audit/", "settings/", "settings/user-keys/"]
OF_ORGANIZATION += ["settings/leave/", "settings/transfer/", "settings/delete/"]
PAGES = [*OWN, *(f"o/acme/{name}" for name in OF_ORGANIZATION)]


def get_tabs(page):
    _, _, tabs = page.partition('class="ca-tabs"')
    return re.findall(r"<li><a [^>]*>([^<]*)</a></li>", tabs.partition("</nav>")[0])


@pytest.mark.parametrize("role", ROLES)
def test_table_of_roles(sign_in, people, role):
    """The navigation of each role has the pages of the table."""
    section = DOCUMENTATION.partition("\n## Who sees what\n")[2]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", section, re.M)[:8]
    ]
    assert [name.lower() for name in head[1:]] == list(ROLES)
    column = head.index(role.capitalize())
    page = sign_in(people[role]).get("/settings/o/acme/members/").text

    assert get_tabs(page) == [row[0] for row in rows if row[column] == "yes"]
    assert {cell for row in rows for cell in row[1:]} == {"yes", "no"}


@pytest.mark.parametrize("namespace", [None, "customers"])
def test_any_path_and_namespace(owner, settings, namespace):
    dashboard = include("closient_auth.dashboard.urls", namespace=namespace)
    settings.ROOT_URLCONF = (urlpatterns[0], path("a/b/", dashboard))

    assert reverse("closient_dashboard:home") == "/a/b/"
    page = owner.get("/a/b/o/acme/settings/")
    assert page.status_code == 200
    assert 'href="/a/b/o/acme/settings/leave/"' in page.text
    assert owner.post("/a/b/o/acme/settings/", {"name": "Acme", "slug": "acme"})["Location"] == "/a/b/o/acme/settings/"


@pytest.mark.parametrize("name", PAGES)
def test_keys_are_refused(client, people, name):
    """A key is no session: neither alone, nor with one."""
    _, raw_key = make_key("csu", user=people["owner"])
    alone = client.get(f"/settings/{name}", headers={"X-API-Key": raw_key})

    assert (alone.status_code, alone["Location"]) == (302, f"/login/?next=/settings/{name}")


def test_no_organization_is_active(owner, people):
    MembershipFactory.create(user=people["owner"], role="owner", organization__name="Beta", organization__slug="beta")
    before = dict(owner.session)
    for slug in ("acme", "beta", "acme"):
        for name in ("", "audit/", "settings/", "members/"):
            owner.get(f"/settings/o/{slug}/{name}")
    page = owner.get("/settings/o/beta/settings/").text

    assert dict(owner.session) == before
    assert set(owner.cookies) == {"sessionid", "csrftoken"}
    assert 'value="Beta"' in page


def test_the_policy_is_that_of_the_page(owner):
    assert f"\n{CONTENT_SECURITY_POLICY}\n" in DOCUMENTATION
    assert owner.get("/settings/")["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("name", PAGES)
def test_pages_have_links_and_forms_alone(owner, name):
    response = owner.get(f"/settings/{name}")
    page = response.text

    assert response.status_code == 200
    # Neither scripts nor styles, nor addresses that run a script.
    assert re.findall(r"<script(?! src=\"/static/)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
    # A button does nothing without a script, unless it is in a form. These are hidden until the script has run.
    for button in re.findall(r'<button[^>]* type="button"[^>]*>', page):
        assert button.endswith(" hidden>")
    for form in re.findall(r"<form[^>]*>.*?</form>", page, re.S):
        # A dialog is open with a script only.
        assert re.search(r'<form[^>]* method="(get|post|dialog)"', form)
        assert re.search(r'<button(?![^>]* type="button")[^>]*>', form)


def test_language(owner):
    with translation.override("de"):
        page = owner.get("/settings/o/acme/audit/").text
    assert '<html lang="de" dir="ltr"' in page
    with translation.override("ar"):
        assert '<html lang="ar" dir="rtl"' in owner.get("/settings/").text
