"""The views of a host that inherit from a package, or call it, refuse keys as well."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.apps import apps
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from tests.account_packages.tables import list_changes, read_tables
from tests.factories import make_key

if not apps.is_installed("djoser"):
    pytest.skip("needs --ds=tests.account_packages.settings", allow_module_level=True)

pytestmark = pytest.mark.django_db

PASSWORDS = {"new_password1": "mTk-7821-pq", "new_password2": "mTk-7821-pq"}
USER, TOKEN = {"auth_user"}, {"knox_authtoken"}


@pytest.fixture
def host(mount):
    from tests.account_packages import views

    router = SimpleRouter()
    router.register("people", views.OwnUserViewSet)
    mount(
        path("password/", views.OwnPasswordView.as_view()),
        path("keys/", views.OwnKnoxView.as_view()),
        path("v2/<slug:tenant>/", include(router.urls)),
        path("outer/", views.OuterView.as_view()),
        path("function/", views.outer),
        path(
            "schema/",
            SpectacularAPIView.as_view(urlconf=(path("password/", views.OwnPasswordView.as_view()),)),
            name="schema",
        ),
        path("connect/", views.ConnectView.as_view()),
    )


CALLS = [
    pytest.param("/password/", PASSWORDS, USER, id="subclass"),
    pytest.param("/keys/", {}, TOKEN, id="mixin"),
    pytest.param("/v2/acme/people/rename/", {}, USER, id="action"),
    pytest.param("/outer/", PASSWORDS, USER, id="called by a view"),
    pytest.param("/function/", {}, TOKEN, id="called by a function"),
]


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(("path", "body", "tables"), CALLS)
def test_key_would_pass_without_the_rule(path, body, tables, call, person, settings):
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": []}
    before = read_tables()

    assert call(path, make_key("csu", user=person)[1], method="post", data=body).status_code == HTTPStatus.OK
    assert list_changes(before) >= tables


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("prefix", ["csb", "csu"])
@pytest.mark.parametrize(("path", "body", "tables"), [*CALLS, pytest.param("/connect/", {}, set(), id="base class")])
def test_key_is_refused(path, body, tables, prefix, call, person):
    organization = person.closient_auth_memberships.get().organization
    _, raw_key = make_key(prefix, **({"user": person} if prefix == "csu" else {"organization": organization}))
    before = read_tables()

    response = call(path, raw_key, method="post", data=body)

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "session_required")
    assert list_changes(before) == set()


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(("path", "body", "tables"), CALLS)
def test_session_passes(path, body, tables, call, person):
    before = read_tables()

    assert call(path, user=person, method="post", data=body).status_code == HTTPStatus.OK
    assert list_changes(before) >= tables


@pytest.mark.usefixtures("host")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_schema_describes_the_views_to_a_key(call, person):
    """The schema view calls no view, so a key reads it."""
    response = call("/schema/", make_key("csu", user=person)[1])

    assert response.status_code == HTTPStatus.OK
    assert b"/password/" in response.content
