"""Views that are composed wrongly fail, and never answer with a response that a cache could store."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.generic import View
from ninja import NinjaAPI
from ninja.security import HttpBearer

from closient_auth.contrib.django import organization_permission_required
from closient_auth.contrib.ninja import OrganizationAuth, protect
from tests.faces import ninja
from tests.factories import MembershipFactory, UserFactory, make_key

MIDDLEWARE = "closient_auth.middleware.ResponseHeadersMiddleware"


def send(raw_key=None, path="/view/", *, user=None, raises=True, **headers):
    client = Client(raise_request_exception=raises)
    if user is not None:
        client.force_login(user)
    if raw_key is not None:
        headers["X-API-Key"] = raw_key
    return client.get(path, headers=headers)


@pytest.mark.django_db
@pytest.mark.parametrize("api", [ninja.api, ninja.async_api], ids=["sync", "async"])
def test_ninja_without_the_middleware(mount, api):
    mount(path("", api.urls))
    member = MembershipFactory.create()
    raw_key = make_key("csb", organization=member.organization)[1]

    for credential in ({}, {"raw_key": raw_key}, {"raw_key": "junk"}, {"user": member.user}):
        with pytest.raises(ImproperlyConfigured, match=re.escape(f"Add '{MIDDLEWARE}' to MIDDLEWARE.")):
            send(**credential)
        response = send(**credential, raises=False)
        assert response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
        assert b"organization" not in response.content


@pytest.mark.django_db
def test_ninja_without_protect(mount, settings):
    """Refusals have no ``code``. They stay refusals, with their headers."""
    settings.MIDDLEWARE = [MIDDLEWARE, *settings.MIDDLEWARE]
    api = NinjaAPI(auth=OrganizationAuth(), urls_namespace="unprotected")
    api.get("view/")(lambda request: {})
    mount(path("", api.urls))
    user = MembershipFactory.create().user
    _, publishable = make_key("cpk")
    _, user_key = make_key("csu", user=user)

    for status, credential in [
        (401, {"raw_key": "junk"}),
        (403, {"raw_key": publishable}),
        (404, {"raw_key": user_key, "X-Organization": "unknown"}),
    ]:
        response = send(**credential)
        assert (response.status_code, list(response.json())) == (status, ["detail"])
        assert response["Cache-Control"] == "private, no-store"
    assert send("junk")["WWW-Authenticate"] == "ApiKey"
    assert send().status_code == HTTPStatus.UNAUTHORIZED
    assert send(user_key).json() == {}


class Token(HttpBearer):
    """A class for other tokens, such as JWT."""

    def authenticate(self, request, token):
        return "token" if token == "good" else None


@pytest.fixture
def two_classes(mount, settings):
    settings.MIDDLEWARE = [MIDDLEWARE, *settings.MIDDLEWARE]
    # Ninja refuses a second API with the same namespace.
    api = NinjaAPI(auth=[OrganizationAuth(), Token()], urls_namespace=uuid4().hex)
    api.get("view/")(lambda request: {"auth": str(request.auth)})
    api.get("billing/", auth=[OrganizationAuth("organization.manage_billing"), Token()])(lambda request: {})
    mount(path("", protect(api).urls))


@pytest.mark.django_db
@pytest.mark.usefixtures("two_classes")
def test_next_class_sees_requests_without_a_key():
    response = send(Authorization="Bearer good")

    assert (response.status_code, response.json()) == (HTTPStatus.OK, {"auth": "token"})
    assert "WWW-Authenticate" not in response
    assert "X-API-Key" in response["Vary"]
    for headers in ({}, {"Authorization": "Bearer bad"}):
        response = send(**headers)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "not_authenticated")
        assert response["WWW-Authenticate"] == "ApiKey"


@pytest.mark.django_db
@pytest.mark.usefixtures("two_classes")
def test_next_class_never_sees_a_request_with_a_key():
    user = MembershipFactory.create().user
    api_key, raw_key = make_key("csu", user=user)

    assert send(raw_key, Authorization="Bearer good").json() == {"auth": str(api_key)}
    refused: list[tuple[int, str, dict[str, Any]]] = [
        (401, "invalid_api_key", {"raw_key": "junk"}),
        (403, "publishable_key_refused", {"raw_key": make_key("cpk")[1]}),
        (403, "permission_denied", {"raw_key": raw_key, "path": "/billing/"}),
        (403, "permission_denied", {"user": user, "path": "/billing/"}),
        (400, "organization_required", {"user": UserFactory.create()}),
    ]
    for status, code, credential in refused:
        response = send(**credential, Authorization="Bearer good")
        assert (response.status_code, response.json()["code"]) == (status, code)


def test_decorator_without_parentheses():
    def view(request):
        return HttpResponse()

    with pytest.raises(TypeError, match=re.escape("write @organization_permission_required().")):
        organization_permission_required(view)  # type: ignore[arg-type]


@pytest.mark.parametrize("permission", ["", 7, ["organization.manage_billing"]])
def test_permission_that_is_no_text(permission):
    for guard in (organization_permission_required, OrganizationAuth):
        with pytest.raises(TypeError, match="A permission is text such as 'organization.manage_billing'"):
            guard(permission)


def test_decorator_on_a_class():
    class Report(View):
        pass

    message = 'Report with method_decorator(organization_permission_required(...), name="dispatch").'
    with pytest.raises(TypeError, match=re.escape(message)):
        organization_permission_required()(Report)
    # A class without parentheses gets the first message.
    with pytest.raises(TypeError, match=re.escape("write @organization_permission_required().")):
        organization_permission_required(Report)  # type: ignore[arg-type]


@pytest.mark.django_db
def test_decorator_around_a_view_that_returns_nothing(mount):
    """Django's own error names the view."""

    def view(request: Any) -> Any:
        return None

    mount(path("view/", organization_permission_required()(view)))
    _, raw_key = make_key("csb")

    with pytest.raises(ValueError, match="It returned None instead"):
        send(raw_key)


@pytest.mark.django_db
@pytest.mark.parametrize("is_async", [False, True])
def test_decorator_on_get_of_a_class(mount, is_async):
    """Other methods stay open, as with any decorator of Django on one method. This one is protected."""

    class Sync(View):
        @method_decorator(organization_permission_required())
        def get(self, request):
            return HttpResponse("private")

    class Async(View):
        @method_decorator(organization_permission_required())
        async def get(self, request):
            return HttpResponse("private")

    mount(path("view/", (Async if is_async else Sync).as_view()))
    _, raw_key = make_key("csb")

    response = send(raw_key)
    assert (response.content, response["Cache-Control"]) == (b"private", "private, no-store")
    assert send().status_code == HTTPStatus.UNAUTHORIZED
