"""No view of an account package accepts a key, whatever the method."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admindocs.views import simplify_regex
from django.core.cache import cache
from django.urls import URLResolver, get_resolver
from rest_framework.test import APIClient

from closient_auth.authentication import ApiKeyAuthentication
from tests.account_packages.tables import list_changes, read_tables
from tests.factories import make_key

if not apps.is_installed("djoser"):
    pytest.skip("needs --ds=tests.account_packages.settings", allow_module_level=True)

pytestmark = pytest.mark.django_db

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
# The router's list of links.
ROOT = "rest_framework.routers"


def walk(resolver: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return the path and the view of each URL pattern, with 1 for its arguments."""
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern, route)
        elif "format" not in route:
            yield re.sub(r"<[^>]*>", "1", simplify_regex(route)), pattern.callback


VIEWS = dict(walk(get_resolver()))
API_VIEWS = {path: view.cls for path, view in VIEWS.items() if hasattr(view, "cls") and view.cls.__module__ != ROOT}
KEYED = [path for path, view in API_VIEWS.items() if ApiKeyAuthentication in view.authentication_classes]
KEYLESS = [path for path in API_VIEWS if path not in KEYED]
PLAIN = [path for path in VIEWS if not hasattr(VIEWS[path], "cls")]


@pytest.fixture
def raw_keys(person):
    person.is_superuser = True
    person.save()
    organization = person.closient_auth_memberships.get().organization
    return {
        "csb": make_key("csb", organization=organization)[1],
        "csu": make_key("csu", user=person)[1],
        "cpk": make_key("cpk", organization=organization)[1],
    }


def send(methods: list[str], path: str, headers: dict[str, str]) -> list[Any]:
    client = APIClient(raise_request_exception=False)
    return [client.generic(method, path, "{}", content_type="application/json", headers=headers) for method in methods]


def test_all_packages_are_visited():
    """The packages serve views that take keys by the project's defaults, and others that take none."""
    assert len(KEYED) > 60
    assert len(KEYLESS) > 10
    assert len(PLAIN) > 100


@pytest.mark.parametrize("path", KEYED)
def test_key_is_refused(path, raw_keys):
    before = read_tables()

    responses = send(METHODS, path, {"X-API-Key": raw_keys["csu"]})
    for prefix in ("csb", "cpk"):
        responses += send(["GET", "POST"], path, {"X-API-Key": raw_keys[prefix]})

    assert {response.status_code for response in responses} == {HTTPStatus.FORBIDDEN}
    assert {response.data["code"] for response in responses} == {"session_required"}
    assert list_changes(before) == set()


@pytest.mark.parametrize("path", KEYLESS + PLAIN)
def test_key_is_ignored(path, raw_keys):
    """These views have a login of their own, or are not of REST framework. A key changes neither response nor rows."""
    before = read_tables()
    methods = ["GET", "POST", "DELETE"]
    anonymous = [response.status_code for response in send(methods, path, {})]
    changes = list_changes(before)
    # The packages count requests as well.
    cache.clear()

    keyed = send(methods, path, {"X-API-Key": raw_keys["csu"]})

    assert [response.status_code for response in keyed] == anonymous
    assert list_changes(before) == changes


@pytest.mark.parametrize(
    "path",
    [
        "/allauth/password/change/",
        "/headless/browser/v1/account/email",
        "/headless/browser/v1/auth/session",
        "/oauth2/applications/",
    ],
)
def test_session_is_not_ignored(path, call, person, raw_keys):
    anonymous = call(path).status_code

    assert {call(path, raw_key).status_code for raw_key in raw_keys.values()} == {anonymous}
    assert call(path, user=person).status_code == HTTPStatus.OK != anonymous
