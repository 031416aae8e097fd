"""Views of other frameworks, or of none, that ``closient_auth.contrib`` lets accept API keys."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from django.core.checks import ERROR
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI

from closient_auth.contrib.django import organization_permission_required as guard
from closient_auth.contrib.ninja import OrganizationAuth

HERE = "tests.checks.test_guards"


def plain_view(request):
    return HttpResponse()


async def async_view(request):
    return HttpResponse()


class MethodView(View):
    @method_decorator(guard())
    def get(self, request):
        return HttpResponse()


@method_decorator(guard(), name="dispatch")
class DispatchView(View):
    get = plain_view


class CachedView(MethodView):
    post = method_decorator(cache_page(60))(plain_view)


class UnguardedView(View):
    get = plain_view


GUARDED: dict[str, Any] = {
    "function": guard()(plain_view),
    "async": guard()(async_view),
    "decorated": csrf_exempt(guard()(plain_view)),
    "partial": functools.partial(guard()(plain_view)),
    "method": MethodView.as_view(),
    "dispatch": DispatchView.as_view(),
    "class": guard()(UnguardedView.as_view()),
}


@pytest.fixture(autouse=True)
def no_keys_in_rest_framework(rest_framework):
    rest_framework(
        DEFAULT_AUTHENTICATION_CLASSES=["rest_framework.authentication.SessionAuthentication"],
        DEFAULT_THROTTLE_CLASSES=[],
    )


def test_views_without_a_guard_take_no_keys(find, mount):
    mount(path("function/", plain_view), path("class/", UnguardedView.as_view()))

    find("W012")


@pytest.mark.parametrize("view", GUARDED.values(), ids=GUARDED)
def test_guarded_view_takes_keys(run, mount, view):
    mount(path("view/", view))

    assert run() == []


@pytest.mark.parametrize("view", GUARDED.values(), ids=GUARDED)
def test_guarded_view_needs_a_cache_that_counts(find, run, mount, settings, view):
    mount(path("view/", view))
    settings.DEBUG = False
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    find("W006")

    settings.RATELIMIT_USE_CACHE = "limits"
    find("E009")


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (guard("orders.refund")(plain_view), "plain_view"),
        (guard("orders.refund")(UnguardedView.as_view()), "UnguardedView"),
        (functools.partial(guard("orders.refund")(plain_view)), "plain_view"),
    ],
    ids=["function", "class", "partial"],
)
def test_unknown_permission(find, run, mount, settings, view, name):
    mount(path("view/", view))

    message = find("E012")

    assert message.level == ERROR
    assert message.msg == f"'orders.refund' is not a known permission, but is required in: {HERE}.{name}."
    assert "EXTRA_ROLE_PERMISSIONS" in message.hint

    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"owner": ["orders.refund"]}}
    assert run() == []


def build_api(permission=None) -> Any:
    api = NinjaAPI(auth=OrganizationAuth(permission), urls_namespace="checked")

    @api.get("/products")
    def products(request):
        return []

    @api.get("/async")
    async def async_products(request):
        return []

    @api.get("/open", auth=None)
    def opened(request):
        return []

    return path("api/", api.urls)


def test_ninja_takes_keys(run, mount, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "closient_auth.middleware.ResponseHeadersMiddleware"]
    mount(build_api())

    assert run() == []


def test_unknown_permission_of_an_operation(find, mount, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "closient_auth.middleware.ResponseHeadersMiddleware"]
    mount(build_api("orders.refund"))

    names = [f"{HERE}.build_api.<locals>.{name}" for name in ("async_products", "products")]
    assert find("E012").msg == f"'orders.refund' is not a known permission, but is required in: {', '.join(names)}."


def test_ninja_without_the_middleware(find, mount):
    mount(build_api())

    message = find("E013")

    assert message.level == ERROR
    assert f"{HERE}.build_api.<locals>.products" in message.msg
    assert "opened" not in message.msg
    assert "MIDDLEWARE" in message.msg


def test_settings_come_first(find, mount, settings):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT": 1}
    mount(path("view/", guard("orders.refund")(plain_view)))

    find("E001")


@pytest.mark.parametrize(
    "view",
    [
        cache_page(60)(guard()(plain_view)),
        guard()(cache_page(60)(plain_view)),
        CachedView.as_view(),
    ],
    ids=["around", "inside", "method"],
)
def test_cached_view(find, mount, view):
    mount(path("view/", view))

    find("W020")


def test_async_view_under_asgi(find, run, mount, settings, monkeypatch):
    monkeypatch.setitem(
        settings.DATABASES, "default", {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None}
    )
    mount(path("view/", GUARDED["function"]))
    assert run() == []

    mount(path("view/", GUARDED["async"]))
    find("W023")
