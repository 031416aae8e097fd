"""
Test the admin in a real browser: ``pytest tests/browser``. Needs Playwright and Debian's ``chromium``.

Set ``SCREENSHOTS=folder`` to save a picture of each page for a visual review.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from django.utils import timezone

from closient_auth.actors import Actor
from closient_auth.models import ApiKey
from closient_auth.models.actors import acting
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key

sync_api = pytest.importorskip("playwright.sync_api")

User = get_user_model()


@pytest.fixture
def organization(transactional_db):
    organization = OrganizationFactory.create(name="Acme Foods", slug="acme-foods")
    for name, role in (("ada", "owner"), ("grace", "manager"), ("ken", "editor")):
        MembershipFactory.create(organization=organization, role=role, user=UserFactory.create(username=name))
    make_key(organization=organization, name="Production server")
    make_key("cpk", organization=organization, name="Product widget", rate_limit_per_minute=60)
    make_key(organization=organization, name="Old server")[0].revoke()
    return organization


@pytest.fixture
def root_cookie(live_server, organization):
    client = Client()
    client.force_login(UserFactory.create(username="root", is_staff=True, is_superuser=True))
    return {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}


@pytest.fixture(params=["light", "dark"])
def tab(request, live_server, root_cookie, settings, monkeypatch):
    """Return a browser tab logged in as a superuser; fail the test if the pages raised errors."""
    settings.ROOT_URLCONF = "tests.admin.urls"
    # Playwright runs an event loop in this thread, so Django would refuse the database access of the test.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    errors: list[str] = []
    connection = connections["default"]
    with sync_api.sync_playwright() as playwright:
        # In an event loop, Django would open another connection, and nothing would close it.
        connections["default"] = connection
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(
            base_url=f"{live_server.url}/admin/", color_scheme=request.param, viewport={"width": 1440, "height": 900}
        )
        context.add_cookies([root_cookie])
        tab = context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("response", lambda response: errors.extend([response.url] if response.status >= 500 else []))
        yield tab
        browser.close()
    assert errors == []


@pytest.fixture
def picture(request, tab):
    folder = os.environ.get("SCREENSHOTS")

    def picture(name):
        if folder:
            scheme = request.node.callspec.params["tab"]
            tab.screenshot(path=Path(folder) / scheme / f"{name}.png", full_page=True)

    return picture


def save(tab):
    tab.click("input[name=_save]")


def test_key_from_creation_to_revocation(tab, picture, organization):
    tab.goto("closient_auth/apikey/")
    picture("keys")
    tab.get_by_role("link", name="Add API key").click()
    picture("key-add")
    tab.get_by_role("link", name="For a person").click()
    tab.wait_for_selector("#id_user")
    assert tab.input_value("#id_prefix") == "csu"
    picture("key-add-user")
    tab.get_by_role("link", name="For an organization").click()
    tab.select_option("#id_prefix", "csb")
    save(tab)
    assert "Choose an organization." in tab.inner_text(".field-organization .errorlist")
    assert "This field is required." in tab.inner_text(".field-name .errorlist")
    picture("key-add-error")
    tab.click(".field-organization .select2-selection")
    tab.fill(".select2-search__field", "acme")
    tab.click("li.select2-results__option:has-text('Acme Foods')")
    tab.fill("#id_name", "Nightly <b>export</b>")
    save(tab)

    raw_key = tab.input_value(".raw-key")
    picture("key-created")
    tab.reload()
    assert "No second key was created" in tab.inner_text("#content")
    picture("key-created-already")
    assert ApiKey.objects.filter(name="Nightly <b>export</b>").count() == 1

    tab.goto("closient_auth/apikey/")
    tab.get_by_role("link", name="Find a leaked API key").click()
    tab.fill("#id_api_key", raw_key[:-1])
    tab.click("text=Find >> nth=-1")
    assert "This is not an API key" in tab.inner_text(".errorlist")
    picture("key-find")
    tab.fill("#id_api_key", raw_key)
    tab.press("#id_api_key", "Enter")
    box = tab.locator(".leaked-key")
    assert "This is the key you pasted. Last used: Never." in box.inner_text()
    assert box.bounding_box()["y"] < 200
    assert raw_key not in tab.url + tab.content()
    picture("key-change")
    box.get_by_role("button", name="Revoke").click()
    tab.wait_for_selector(".confirmation")
    assert "cannot be activated again" in tab.inner_text("#content")
    picture("key-revoke")
    # The button has the keyboard focus.
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".messagelist")
    assert "Nightly <b>export</b> was revoked." in tab.inner_text(".messagelist")
    assert tab.inner_text(".field-state .readonly") == "Revoked"
    picture("key-revoked")


@pytest.fixture
def create(tab, organization):
    """Return a function to create a key in this tab and return it."""

    def create():
        tab.goto(f"closient_auth/apikey/add/?organization={organization.pk}")
        tab.select_option("#id_prefix", "csb")
        tab.fill("#id_name", "Server")
        save(tab)
        return tab.input_value(".raw-key")

    return create


@pytest.mark.parametrize("is_secure", [True, False])
def test_copy_with_the_keyboard(tab, create, is_secure):
    if is_secure:
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    else:
        # Without HTTPS, browsers have no such object.
        tab.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    raw_key = create()
    assert tab.evaluate("document.activeElement.id") == "raw-key"

    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")

    tab.wait_for_function("document.querySelector('[role=status]').textContent === 'Copied.'")
    tab.locator("#raw-key").evaluate("field => { field.readOnly = false; field.value = ''; field.focus(); }")
    tab.keyboard.press("Control+V")
    assert tab.input_value("#raw-key") == raw_key


def test_new_key_obeys_a_strict_policy(tab, create):
    """The package has no script and no style within its pages."""
    blocked = []

    def add_policy(route):
        response = route.fetch()
        policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"
        route.fulfill(response=response, headers={**response.headers, "content-security-policy": policy})

    create()
    tab.on("console", lambda message: blocked.append(message.text) if "Content Security" in message.text else None)
    tab.route("**/apikey/**", add_policy)
    create()

    tab.get_by_role("button", name="Copy").click()

    tab.wait_for_function("document.querySelector('[role=status]').textContent !== ''")
    assert tab.input_value(".raw-key").startswith("csb_")
    # The pages of Django set styles on the form, before this page.
    assert [text for text in blocked if "script" in text] == []
    tab.evaluate("document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.x = 1'}))")
    assert tab.evaluate("window.x") is None
    assert any("script" in text for text in blocked)


def test_key_can_be_copied_without_scripts(tab, live_server, organization, root_cookie):
    context = tab.context.browser.new_context(java_script_enabled=False, base_url=f"{live_server.url}/admin/")
    context.add_cookies([root_cookie])
    tab = context.new_page()
    # The autocompletion of the organization needs scripts, so the address names it.
    tab.goto(f"closient_auth/apikey/add/?organization={organization.pk}&prefix=csb")
    tab.fill("#id_name", "Server")
    save(tab)

    assert tab.input_value(".raw-key").startswith("csb_")
    assert not tab.locator("[data-copy]").is_visible()
    context.close()


def measure(tab):
    """Return by how many pixels the list is wider than its place."""
    return tab.evaluate("(list => list.scrollWidth - list.clientWidth)(document.querySelector('.results'))")


def test_lists_fit_beside_the_sidebar(tab, picture, organization):
    now = timezone.now()
    ada = User.objects.get(username="ada")
    long = OrganizationFactory.create(name="Harbor Coffee Roasters International")
    make_key(organization=long, name="Widget of all the shops in Innsbruck", expires_at=now - timedelta(days=40))
    make_key(organization=long, name="Rotated")[0].rotate(grace=timedelta(days=1))
    make_key("csu", user=UserFactory.create(is_active=False))
    long.suspend()
    ApiKey.objects.update(last_used=now - timedelta(days=300))
    make_invitation(organization, "somebody.with.a.long.name@mail.example.com", by=ada, role="manager")
    with acting(Actor(ada, address="2001:db8:1234:5678:9abc:def0:1234:5678")):
        make_key(organization=long, name="Widget")
    tab.set_viewport_size({"width": 1280, "height": 900})

    for name in ("apikey", "auditentry", "invitation", "organization"):
        tab.goto(f"closient_auth/{name}/")
        assert tab.locator("#nav-sidebar").is_visible()
        assert (name, measure(tab)) == (name, 0)
        picture(f"{name}-list-1280")


def test_states_are_readable(tab, organization):
    """WCAG 2.2, 1.4.3: the contrast of the text of a badge is at least 4.5."""
    make_key(organization=organization, expires_at=timezone.now() - timedelta(days=1))
    make_key("csu", user=UserFactory.create(is_active=False))
    tab.goto("closient_auth/apikey/")
    badges = tab.evaluate(
        """() => [...document.querySelectorAll('.badge')].map(badge => {
            const style = getComputedStyle(badge);
            return [badge.textContent, style.color, style.backgroundColor];
        })"""
    )

    assert {text for text, *_ in badges} == {"Active", "Revoked", "Expired", "User inactive"}
    for text, *colors in badges:
        light, dark = sorted((luminance(color) for color in colors), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, text


def luminance(color):
    channels = [int(number) / 255 for number in re.findall(r"\d+", color)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_invitation(tab, picture, organization):
    invitation, _ = make_invitation(organization, "ben@example.com", by=User.objects.get(username="ada"))
    tab.goto("closient_auth/invitation/")
    tab.fill("#searchbar", "ben@")
    tab.press("#searchbar", "Enter")
    tab.click("text=ben@example.com")
    picture("invitation")
    tab.get_by_role("button", name="Withdraw").click()
    tab.wait_for_selector(".confirmation")
    picture("invitation-withdraw")
    tab.get_by_role("button", name="Withdraw").click()
    assert "The invitation to ben@example.com is withdrawn." in tab.inner_text(".messagelist")
    assert tab.inner_text(".field-state .readonly") == "Withdrawn"
    assert not tab.get_by_role("button", name="Resend").count()


def test_history_of_a_key(tab, picture, organization):
    api_key = ApiKey.objects.get(name="Old server")
    tab.goto(f"closient_auth/apikey/{api_key.pk}/change/")
    tab.get_by_role("link", name="History").click()
    tab.wait_for_selector("#result_list")
    assert tab.locator("#result_list tbody tr").count() == 2
    picture("key-history")
    tab.select_option("select[name=event__exact]", "api_key_revoked")
    tab.click("form:has(select[name=event__exact]) input[type=submit]")
    tab.wait_for_url("**event__exact=api_key_revoked**")
    assert tab.locator("#result_list tbody tr").count() == 1
    tab.click("#result_list tbody th a")
    assert tab.inner_text(".changes tbody") == "Active\tyes\tno"
    picture("audit-entry")
    tab.get_by_role("link", name="csb_").click()
    tab.wait_for_url(f"**/apikey/{api_key.pk}/change/")


def test_enter_saves_and_does_not_revoke(tab, organization):
    api_key = ApiKey.objects.get(name="Production server")
    tab.goto(f"closient_auth/apikey/{api_key.pk}/change/")
    tab.fill("#id_name", "Renamed")
    tab.press("#id_name", "Enter")
    tab.wait_for_selector(".messagelist")

    api_key.refresh_from_db()
    assert (api_key.name, api_key.is_active) == ("Renamed", True)


def test_keys_of_an_organization(tab, picture, organization):
    make_key(name="Elsewhere")
    tab.goto("closient_auth/apikey/?is_active__exact=1")
    tab.fill("#changelist-filter input[name=organization]", "acme-foods")
    tab.press("#changelist-filter input[name=organization]", "Enter")
    tab.wait_for_url("**organization=acme-foods**")

    assert tab.locator("#result_list tbody tr").count() == 2
    picture("keys-of-organization")


def test_members(tab, picture, organization):
    tab.goto("closient_auth/organization/")
    picture("organizations")
    tab.click("text=Acme Foods")
    # Django's line with the name of the row is hidden.
    assert "ada: Owner" not in tab.inner_text("#memberships-0")
    picture("organization")
    tab.select_option("#id_memberships-0-role", "editor")
    save(tab)
    assert "must have at least one active Owner" in tab.inner_text("#memberships-group .errorlist")
    picture("organization-error")
    tab.select_option("#id_memberships-1-role", "owner")
    tab.click("text=Add another Membership")
    tab.fill("#id_memberships-3-user", str(User.objects.get(username="root").pk))
    tab.select_option("#id_memberships-3-role", "billing")
    save(tab)
    assert "was changed successfully" in tab.inner_text(".messagelist")
    roles = dict(organization.memberships.values_list("user__username", "role"))
    assert roles == {"ada": "editor", "grace": "owner", "ken": "editor", "root": "billing"}

    tab.goto("closient_auth/organization/add/")
    tab.locator("#id_name").press_sequentially("New & Co")
    save(tab)
    assert tab.input_value("#id_slug") == "new-co"
    picture("organization-add-error")
    tab.goto(f"auth/user/{User.objects.get(username='grace').pk}/delete/")
    assert "protected related objects" in tab.inner_text("#content")
    picture("user-delete")


def test_restrictions(tab, picture, organization):
    api_key = ApiKey.objects.get(name="Product widget")
    tab.goto(f"closient_auth/apikey/{api_key.pk}/change/")
    tab.get_by_label("View the organization").check()
    tab.fill("#id_allowed_networks", "203.0.113.0/24\n\n 203.0.113.7/24 ")
    tab.fill("#id_allowed_origins", "https://www.example.com")
    save(tab)
    assert "Did you mean 203.0.113.0/24?" in tab.inner_text(".field-allowed_networks .errorlist")
    assert tab.input_value("#id_allowed_origins") == "https://www.example.com"
    picture("key-restrictions-error")
    tab.fill("#id_allowed_networks", "203.0.113.0/24\n2001:db8::/32")
    save(tab)
    tab.wait_for_selector(".messagelist")
    ApiKey.objects.filter(pk=api_key.pk).update(permissions=["organization.view_organization", "catalogue.read"])
    tab.goto(f"closient_auth/apikey/{api_key.pk}/change/")

    assert tab.input_value("#id_allowed_networks") == "203.0.113.0/24\n2001:db8::/32"
    assert tab.get_by_label("catalogue.read (unknown)").is_checked()
    picture("key-restrictions")


def test_rotation(tab, picture, organization):
    api_key = ApiKey.objects.get(name="Production server")
    tab.goto(f"closient_auth/apikey/{api_key.pk}/change/")
    tab.get_by_role("button", name="Rotate").click()
    tab.get_by_role("button", name="Rotate").click()
    assert "This field is required." in tab.inner_text(".errorlist")
    picture("key-rotate-error")
    tab.get_by_label("In 1 day").check()
    tab.fill("#id_expires_at_0", "2999-12-31")
    tab.fill("#id_expires_at_1", "23:59:59")
    picture("key-rotate")
    tab.get_by_role("button", name="Rotate").click()
    assert tab.input_value(".raw-key").startswith("csb_")
    picture("key-rotated")
    tab.reload()
    assert "This key has already been rotated." in tab.inner_text("#content")
    picture("key-rotated-already")
    assert ApiKey.objects.filter(name="Production server").count() == 2
    tab.goto(f"closient_auth/apikey/{api_key.pk}/change/")
    assert tab.inner_text(".field-state .readonly") == "Active (rotated)"
    assert not tab.get_by_role("button", name="Rotate").count()
    picture("key-old")


def test_suspension(tab, picture, organization):
    tab.goto(f"closient_auth/organization/{organization.pk}/change/")
    tab.get_by_role("button", name="Suspend").click()
    assert "3 members" in tab.inner_text("#content")
    picture("organization-suspend")
    tab.get_by_role("button", name="Suspend").click()
    assert "is suspended" in tab.inner_text(".messagelist")
    picture("organization-suspended")
    tab.goto("closient_auth/organization/?suspended=yes")
    assert tab.locator("#result_list tbody tr").count() == 1
    picture("organizations-suspended")
    tab.goto(f"closient_auth/organization/{organization.pk}/change/")
    tab.get_by_role("button", name="Lift suspension").click()
    picture("organization-lift-suspension")
    tab.get_by_role("button", name="Lift suspension").click()
    assert "is lifted" in tab.inner_text(".messagelist")


def test_demotion_names_live_keys(tab, picture, organization):
    grace = User.objects.get(username="grace")
    for name in ("Shop", "Export <b>1</b>"):
        make_key(organization=organization, name=name, created_by=grace)
    tab.goto(f"closient_auth/organization/{organization.pk}/change/")
    tab.select_option("#id_memberships-1-role", "editor")
    save(tab)
    assert "Export <b>1</b> (last used: never)" in tab.inner_text(".messagelist .warning")
    picture("organization-live-keys")
    tab.get_by_role("link", name="Review all of them").click()
    tab.wait_for_selector("#result_list")

    assert tab.locator("#result_list tbody tr").count() == 2
    picture("keys-of-creator")


def test_old_page_keeps_new_restrictions(tab, organization):
    api_key = ApiKey.objects.get(name="Product widget")
    api_key.change(allowed_networks=["203.0.113.0/24", "2001:db8::/32"], allowed_origins=["https://www.example.com"])
    tab.goto(f"closient_auth/apikey/{api_key.pk}/change/")
    narrow: dict[str, Any] = {
        "permissions": [],
        "allowed_networks": ["203.0.113.7/32"],
        "allowed_origins": ["https://example.com"],
    }
    api_key.change(**narrow)
    tab.fill("#id_name", "Renamed")
    save(tab)
    tab.wait_for_selector(".messagelist")

    api_key.refresh_from_db()
    assert {name: getattr(api_key, name) for name in ("name", *narrow)} == {"name": "Renamed", **narrow}
    tab.goto(f"closient_auth/apikey/{api_key.pk}/change/")
    tab.get_by_label("Nothing: the key has no permission at all").uncheck()
    tab.fill("#id_allowed_networks", "")
    save(tab)
    tab.wait_for_selector(".messagelist")
    api_key.refresh_from_db()
    assert (api_key.permissions, api_key.allowed_networks) == (None, [])
