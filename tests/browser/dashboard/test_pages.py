"""Every page of the dashboard in Chromium, with hostile names. The URLconf says which there are."""

from __future__ import annotations

import os

import pytest
from django.test import override_settings

from tests.browser.dashboard.conftest import save_picture
from tests.browser.dashboard.inspection import (
    find_overflow,
    find_small_targets,
    inspect,
    inspect_briefly,
    run_axe,
    walk_by_tab,
)
from tests.dashboard.routes import ACTIONS, FILES, PAGES
from tests.factories import UserFactory
from tests.test_translations import LANGUAGES

pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")

# The pages with tables, long labels and long buttons.
LONG_PAGES = ("key", "key-new", "members", "invitations", "audit", "settings", "transfer", "usage", "user-keys")


@pytest.mark.parametrize("name", sorted({*PAGES} - FILES))
def test_page(quiet_site, name):
    world = quiet_site.world
    tab = quiet_site.open(world.people["owner"])
    response = tab.goto(world.get_address(name))
    assert response.status == 200
    if folder := os.environ.get("SCREENSHOTS"):
        save_picture(tab, folder, name)

    assert walk_by_tab(tab) == []
    assert inspect(tab) == []


def test_other_states_of_pages(quiet_site):
    """Rows in each state, filters, a page with no rows: they scroll nowhere sideways."""
    world = quiet_site.world
    tab = quiet_site.open(world.people["owner"])
    faults = {}
    for address in world.list_variants():
        assert tab.goto(address).status == 200
        faults[address] = find_overflow(tab) if "?" in address else inspect_briefly(tab)
    assert {address: found for address, found in faults.items() if found} == {}


@pytest.mark.parametrize("person", ["editor", "outsider", "root"])
def test_pages_of_other_people(quiet_site, person):
    """An Editor sees refusals and shorter tabs, and the outsider another organization."""
    world = quiet_site.world
    tab = quiet_site.open(world.people[person])
    names = {"editor": ("home", "keys", "members", "settings", "own-keys"), "outsider": ("home",)}.get(
        person, ("keys",)
    )
    for name in names:
        status = tab.goto(world.get_address(name, person)).status
        assert status == (403 if (person, name) == ("editor", "keys") else 200)
        assert inspect(tab) == []


def test_somebody_without_organizations(quiet_site):
    tab = quiet_site.open(UserFactory.create(username="nobody"))
    tab.goto("/settings/")

    assert tab.locator("h1").count() == 1
    assert walk_by_tab(tab) == []
    assert inspect(tab) == []


@pytest.mark.parametrize("name", [name for name in ACTIONS if name in PAGES])
def test_forms_with_errors(quiet_site, name):
    """Each form, sent with nothing in it: the first error has the focus, and the page is as accessible as before."""
    world = quiet_site.world
    tab = quiet_site.open(world.people["owner"])
    tab.goto(world.get_address(name))
    texts = tab.locator("main form[method=post] :is(input[type=text], input[type=email], textarea):not([readonly])")
    if not texts.count():
        pytest.skip("The form has no texts, so sending it would change something.")
    for text in texts.all():
        if text.is_visible():
            text.fill("")
    form = texts.first.locator("xpath=ancestor::form")
    with tab.expect_navigation() as navigation:
        form.evaluate("(form) => form.requestSubmit()")
    if navigation.value.request.redirected_from is not None:
        pytest.skip("Every text of this form may be empty.")
    assert tab.evaluate("document.activeElement.id") == "ca-errors"
    assert inspect_briefly(tab) == []


def test_the_skip_link(quiet_site):
    world = quiet_site.world
    tab = quiet_site.open(world.people["owner"])
    tab.goto(world.get_address("keys"))
    tab.keyboard.press("Tab")
    link = tab.get_by_role("link", name="Skip to the content")
    assert link.bounding_box()["y"] >= 0
    tab.keyboard.press("Enter")

    assert tab.evaluate("document.activeElement.id") == "ca-main"


@pytest.mark.parametrize("language", [*LANGUAGES, "ar"])
def test_the_language_of_the_page(quiet_site, language):
    """Many languages need longer words than English. Django translates its own texts, and Arabic runs from right to left."""
    world = quiet_site.world
    with override_settings(LANGUAGE_CODE=language):
        tab = quiet_site.open(world.people["owner"])
        tab.goto(world.get_address("keys"))

        html = tab.locator("html")
        assert (html.get_attribute("lang"), html.get_attribute("dir")) == (
            language,
            "rtl" if language == "ar" else "ltr",
        )
        assert inspect(tab) == []
        for name in LONG_PAGES:
            tab.goto(world.get_address(name))
            assert find_overflow(tab) == [], name


def test_the_inspection_finds_faults(quiet_site):
    """The checks above would find a script in the page, a wide or small element, low contrast and a hidden focus."""
    tab = quiet_site.open(quiet_site.world.people["owner"])
    tab.goto(quiet_site.world.get_address("home"))
    main = tab.locator("main")
    main.evaluate(
        "(main) => main.insertAdjacentHTML('beforeend', '<p id=low>text</p><button id=small></button><p id=wide>wide</p>')"
    )
    # A policy does not apply to what CSSOM sets.
    tab.evaluate("Object.assign(low.style, {color: '#888', background: '#777'})")
    tab.evaluate("Object.assign(small.style, {width: '9px', height: '9px', padding: 0, outline: 'none'})")
    tab.evaluate("Object.assign(wide.style, {width: '2000px'})")
    rules = {fault.split()[2] for fault in run_axe(tab, 1280, "light")}
    assert {"button-name:", "color-contrast:"} <= rules
    assert [fault.partition(": ")[0] for fault in find_overflow(tab)] == ["320", "390", "640", "768", "1280", "1600"]
    assert any('id="small"' in fault for fault in find_small_targets(tab))
    tab.goto(quiet_site.world.get_address("home"))
    main.evaluate("(main) => main.insertAdjacentHTML('beforeend', '<button id=bare>Bare</button>')")
    tab.evaluate("Object.assign(bare.style, {outline: 'none'})")
    assert ['id="bare"' in fault for fault in walk_by_tab(tab)] == [True]
    assert quiet_site.errors == []
    main.evaluate("(main) => main.append(Object.assign(document.createElement('script'), {textContent: 'alert(1)'}))")
    # The browser reports a violation in a task of its own.
    tab.wait_for_timeout(100)
    quiet_site.close()
    assert any("script-src-elem: inline" in error for error in quiet_site.errors)
    assert any("Content Security Policy" in error for error in quiet_site.errors)
    quiet_site.errors.clear()
