"""A live server with one database for all tests of a module, and Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client, override_settings
from pytest_django.live_server_helper import LiveServer

from tests.dashboard.world import SETTINGS, World

CHROMIUM: dict[str, Any] = {"executable_path": "/usr/bin/chromium", "args": ["--no-sandbox"]}
# Report what the page's policy forbids, before any script of the page runs.
NOTE_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""


class Site:
    """The dashboard on a live server, with the rows of ``World``. ``errors`` are those of all pages."""

    def __init__(self, browser: Any, url: str, world: World, connection: Any) -> None:
        self.browser, self.url, self.world, self.connection = browser, url, world, connection
        self.errors: list[str] = []

    def open(self, user: Any = None, *, script: bool = True, width: int = 1280) -> Any:
        """Return a tab in a browser of its own, signed in as the user."""
        context = self.browser.new_context(
            base_url=self.url, java_script_enabled=script, viewport={"width": width, "height": 900}, locale="en-US"
        )
        # A page that does not come is a failure after a few seconds.
        context.set_default_timeout(5000)
        if user is not None:
            client = Client()
            client.force_login(user)
            context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": self.url}])
        if script:
            context.add_init_script(NOTE_VIOLATIONS)
        tab = context.new_page()
        tab.on("pageerror", lambda error: self.errors.append(f"{tab.url}: {error}"))
        tab.on("console", lambda message: self._note(tab, message))
        tab.on("response", lambda response: self._note_failure(response))
        return tab

    def close(self) -> None:
        """Close all tabs, and note what their policy forbade."""
        for context in self.browser.contexts:
            for tab in context.pages:
                self.errors += [f"{tab.url}: {found}" for found in tab.evaluate("window.violations || []")]
            context.close()

    def _note(self, tab: Any, message: Any) -> None:
        # The browser also writes a line for each 403 and 404, which some tests provoke.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.errors.append(f"{tab.url}: {message.text}")

    def _note_failure(self, response: Any) -> None:
        if response.status >= 500 or (response.status == 404 and "/static/" in response.url):
            self.errors.append(f"{response.status} {response.url}")


@pytest.fixture(scope="module")
def db(django_db_setup, django_db_blocker):
    """Replace the fixture of pytest-django: keep the rows until the end of the module, and commit what tests write."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture(scope="module")
def site(db):
    """Return the dashboard on a live server, and Chromium. A new one for each test would take longer than the test."""
    from playwright.sync_api import sync_playwright

    connection = connections["default"]
    server = LiveServer("localhost")
    own = {**SETTINGS, "INVITATION_URL": f"{server.url}/settings/join/{{token}}/"}
    settings = override_settings(
        ROOT_URLCONF="tests.dashboard.urls", LOGIN_URL="login", ALLOWED_HOSTS=["*"], CLOSIENT_AUTH=own
    )
    with settings, pytest.MonkeyPatch.context() as patch:
        world = World()
        # Playwright runs an event loop in this thread, so Django would refuse the database access of the tests.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(**CHROMIUM)
            yield Site(browser, server.url, world, connection)
            browser.close()
        server.stop()


@pytest.fixture(autouse=True)
def same_connection(site):
    # In an event loop, Django would open another connection, and nothing would close it. Each test has a context of its own.
    connections["default"] = site.connection


@pytest.fixture
def quiet_site(site):
    """Return the site, and fail the test if a page raised an error or broke its policy."""
    site.errors.clear()
    yield site
    site.close()
    assert site.errors == []


def save_picture(tab: Any, folder: str, name: str) -> None:
    """Save a picture of the whole page for a visual review."""
    tab.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
