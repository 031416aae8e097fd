"""Views that share one request: a key stays a key, and each view is judged by the organization that it names."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.views import PasswordChangeView
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.contrib.django import organization_permission_required
from closient_auth.organizations import aget_organization, get_organization
from closient_auth.permissions import HasOrganizationPermission, SessionOnly
from tests.factories import MembershipFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db


class SessionView(APIView):
    """A view that accepts sessions only, and that another view calls."""

    authentication_classes = [SessionAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response({"user": str(request.user)})


class SessionOnlyView(SessionView):
    permission_classes = [IsAuthenticated, SessionOnly]


class OrganizationView(SessionView):
    permission_classes = [HasOrganizationPermission]


class Scoped(ApiKeyAuthentication):
    """A host that replaces the key in ``request.auth``."""

    def authenticate(self, request):
        found = super().authenticate(request)
        return found and (found[0], {"scopes": ["read"]})


def call_from_rest_framework(inner):
    class Outer(APIView):
        permission_classes = [IsAuthenticated]

        def get(self, request):
            return inner.as_view()(request._request)

    return Outer.as_view()


def call_from_django(inner):
    return organization_permission_required()(lambda request: inner.as_view()(request))


def decorate(inner):
    return organization_permission_required()(inner.as_view())


def replace_auth(inner):
    return inner.as_view(authentication_classes=[Scoped])


@pytest.mark.parametrize("compose", [call_from_rest_framework, call_from_django, decorate, replace_auth])
def test_key_is_no_session(call, mount, acme, globex, compose):
    """Django's request has the user of the key, which another authentication class takes for that of a session."""
    user = UserFactory.create(is_superuser=True)
    MembershipFactory.create(organization=acme, user=user, role="editor")
    csu, csb = make_key("csu", user=user)[1], make_key("csb", organization=acme)[1]

    mount(compose(SessionOnlyView))
    for raw_key in (csu, csb):
        response = call("/", raw_key)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "session_required")
    if compose is not replace_auth:
        assert call("/", user=user).status_code == HTTPStatus.OK

    mount(compose(OrganizationView))
    assert call("/", csu, x_organization="globex").status_code == HTTPStatus.NOT_FOUND
    assert call("/", csu, x_organization="acme").status_code == HTTPStatus.OK


@pytest.fixture
def member(acme, globex):
    """Return an Owner of ``acme`` who is an Editor of ``globex``."""
    user = MembershipFactory.create(organization=acme, role="owner").user
    MembershipFactory.create(organization=globex, user=user, role="editor")
    return user


def test_middleware_that_asks_before_the_url_is_resolved(call, mount, settings, acme, globex):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.ask_early"]
    mount(path("<organization_id>/", lambda request, organization_id: HttpResponse(get_organization(request).slug)))
    user = MembershipFactory.create(organization=acme).user

    assert call("/acme/", user=user).content == b"acme"
    assert call("/globex/", user=user).status_code == HTTPStatus.NOT_FOUND


def ask_early(get_response):
    def middleware(request):
        get_organization(request)
        return get_response(request)

    return middleware


def test_outer_view_keeps_its_organization(call, mount, member):
    @organization_permission_required()
    def inner(request, organization_id):
        return JsonResponse({"inner": get_organization(request).slug})

    @organization_permission_required("organization.manage_api_keys")
    def outer(request, organization_id):
        response = inner(request, organization_id="globex")
        assert response.status_code == HTTPStatus.OK
        return JsonResponse({"outer": get_organization(request).slug})

    mount(path("<organization_id>/", outer))

    assert call("/acme/", make_key("csu", user=member)[1]).json() == {"outer": "acme"}
    assert call("/globex/", make_key("csu", user=member)[1]).status_code == HTTPStatus.FORBIDDEN


def test_same_organization_is_read_once(call, mount, member):
    @organization_permission_required()
    def inner(request, organization_id):
        return JsonResponse({"inner": get_organization(request).slug})

    @organization_permission_required()
    def outer(request, organization_id):
        return inner(request, organization_id=organization_id)

    mount(path("<organization_id>/", outer))

    with CaptureQueriesContext(connection) as queries:
        assert call("/acme/", user=member).json() == {"inner": "acme"}
    assert sum("closient_auth_membership" in query["sql"] for query in queries) == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_views(mount, member):
    @organization_permission_required()
    async def one(request, organization_id):
        await asyncio.sleep(0.01)
        return JsonResponse({organization_id: (await aget_organization(request)).slug})

    @organization_permission_required()
    async def both(request, organization_id):
        answers = await asyncio.gather(*(one(request, organization_id=name) for name in ("acme", "globex")))
        return HttpResponse(b" ".join(answer.content for answer in answers))

    mount(path("<organization_id>/", both))

    response = async_to_sync(AsyncClient().get)("/acme/", headers={"X-API-Key": make_key("csu", user=member)[1]})

    assert response.content == b'{"acme": "acme"} {"globex": "globex"}'


def test_decorated_account_view_refuses_keys(call, mount, member):
    """``SESSION_ONLY_VIEWS`` names the views of ``django.contrib.auth``."""
    mount(organization_permission_required()(PasswordChangeView.as_view(success_url="/")))
    before = member.password

    response = call("/", make_key("csu", user=member)[1], method="post", x_organization="acme")

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "session_required")
    member.refresh_from_db()
    assert member.password == before
