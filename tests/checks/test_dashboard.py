"""What the dashboard needs of the project."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import WARNING
from django.http import HttpResponse
from django.urls import include, path, set_script_prefix
from django.utils.translation import override

from closient_auth.dashboard.keys import KeysPage
from tests import settings as tests_settings

LOGIN = path("login/", LoginView.as_view(), name="login")
DASHBOARD = path("settings/", include("closient_auth.dashboard.urls"))
PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]


class OurSessions(SessionMiddleware):
    pass


class OurPage(KeysPage):
    pass


def function_middleware(get_response):
    return get_response


@pytest.fixture
def mounted(mount, settings):
    """Mount the dashboard and a log-in page."""
    settings.LOGIN_URL = "login"
    mount(LOGIN, DASHBOARD)


@pytest.fixture
def use_templates(settings):
    def use_templates(**kwargs: Any):
        settings.TEMPLATES = [{**tests_settings.TEMPLATES[0], **kwargs}]

    return use_templates


def need(messages):
    """Return what the messages of the check say."""
    assert {(message.id, message.level) for message in messages} <= {("closient_auth.W038", WARNING)}
    return [message.msg for message in messages]


def test_all_is_there(run, mounted):
    assert run() == []


def test_a_project_without_the_dashboard(run, mount, settings):
    """It may have no sessions and no log-in page at all."""
    settings.LOGIN_URL = "nowhere"
    settings.MIDDLEWARE = []
    mount(path("", lambda request: HttpResponse(), name="home"), path("odd/", login_required(LoginView.as_view())))

    assert [message for message in run() if message.id == "closient_auth.W038"] == []


@pytest.mark.parametrize(
    "name",
    [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
)
def test_middleware(run, mounted, settings, name):
    settings.MIDDLEWARE = [other for other in settings.MIDDLEWARE if other != name]
    messages = run()

    assert need(messages) == [f"The dashboard needs {name!r} in MIDDLEWARE."]
    assert messages[0].hint == f"Add {name!r} to MIDDLEWARE. Until then, the pages get a 500 response."


def test_other_middleware(run, mounted, settings):
    """A subclass will do. Functions, and paths that cannot be imported, are none of them."""
    settings.MIDDLEWARE = [
        f"{__name__}.OurSessions",
        f"{__name__}.function_middleware",
        *settings.MIDDLEWARE[1:],
        "nowhere.Middleware",
    ]

    assert need(run()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("django.contrib.messages", "The pages say with it what a button has done."),
        ("django.contrib.staticfiles", "The style and the script of the pages are static files."),
    ],
)
def test_apps(run, mounted, monkeypatch, name, reason):
    is_installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda app: app != name and is_installed(app))

    messages = run()

    assert need(messages) == [f"The dashboard needs {name!r} in INSTALLED_APPS."]
    assert messages[0].hint == f"Add {name!r} to INSTALLED_APPS. {reason}"


@pytest.mark.parametrize("name", PROCESSORS)
def test_context_processors(run, mounted, use_templates, name):
    use_templates(OPTIONS={"context_processors": [other for other in PROCESSORS if other != name]})

    assert need(run()) == [f"The dashboard needs {name!r} among the context processors."]


def test_templates_that_are_not_found(run, mounted, use_templates):
    use_templates(APP_DIRS=False)
    messages = run()

    assert need(messages) == ["The dashboard needs its templates."]
    assert "Set APP_DIRS" in messages[0].hint
    assert "closient_auth/dashboard/page.html" in messages[0].hint


def test_a_template_of_the_project_that_cannot_be_read(run, mounted, use_templates, tmp_path):
    folder = tmp_path / "closient_auth" / "dashboard"
    folder.mkdir(parents=True)
    (folder / "page.html").write_text("{% nothing %}")
    use_templates(DIRS=[tmp_path])
    messages = run()

    assert need(messages) == ["The dashboard needs its templates."]
    assert "nothing" in messages[0].hint


@pytest.mark.parametrize("address", ["sign-in", "/accounts/login/", "/", "/log", "/log/in/?next=x"])
def test_a_login_page_that_does_not_exist(run, mounted, settings, address):
    settings.LOGIN_URL = address
    messages = run()

    assert need(messages) == ["The dashboard needs a LOGIN_URL that leads to a page."]
    assert repr(address) in messages[0].hint


@pytest.mark.parametrize(
    "address",
    ["login", "/login/", "/login", "/login/?next=x", "/login/#top", "https://sso.example/login", "//sso.example/login"],
)
def test_a_login_page_that_exists(run, mounted, settings, address):
    settings.LOGIN_URL = address

    assert need(run()) == []


def test_a_login_page_with_the_language_in_its_path(run, mount, settings):
    """``LocaleMiddleware`` redirects to it."""
    mount(DASHBOARD, path("de/", include([LOGIN])))
    for address in ("/login/", "/login"):
        settings.LOGIN_URL = address
        with override("de"):
            assert need(run()) == []
        with override("fr"):
            assert len(need(run())) == 1


def test_a_project_below_a_path(run, mounted, settings):
    settings.LOGIN_URL = "/app/login/"
    assert len(need(run())) == 1
    set_script_prefix("/app/")
    try:
        assert need(run()) == []
    finally:
        set_script_prefix("/")


def test_one_page_alone(run, mount, settings):
    """A project may mount pages one by one, also a subclass and in a decorator."""
    for view in (KeysPage.as_view(), OurPage.as_view(), login_required(OurPage.as_view())):
        mount(path("keys/<str:organization>/", view))
        assert len(need(run())) == 1


def test_the_pages_fail_as_the_check_says(client, mounted, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "sessions" not in name]
    client.raise_request_exception = False

    assert client.get("/settings/").status_code == 500
