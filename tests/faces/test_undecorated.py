"""``get_organization()`` in a plain view of Django that requires nothing."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import JsonResponse
from django.test import AsyncClient, Client
from django.urls import path

from closient_auth.organizations import aget_access, aget_organization, get_access, get_organization
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db


def view(request, **kwargs):
    organization = get_organization(request)
    return JsonResponse({"organization": organization.slug, "may": sorted(get_access(request).permissions)})


async def aview(request, **kwargs):
    organization = await aget_organization(request)
    return JsonResponse({"organization": organization.slug, "may": sorted((await aget_access(request)).permissions)})


@pytest.fixture(params=[view, aview])
def served(request, mount):
    mount(path("view/", request.param), path("organizations/<organization_id>/", request.param))


@pytest.fixture(params=["wsgi", "asgi"])
def get(request, served):
    def get(path="/view/", user=None, **headers):
        client: Any = Client() if request.param == "wsgi" else AsyncClient()
        if user is not None:
            client.force_login(user)
        get = client.get if request.param == "wsgi" else async_to_sync(client.get)
        return get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return get


def test_own_organization(get, acme, globex, editor):
    MembershipFactory.create(user=editor, organization=globex, role="owner")

    for request in ({"path": "/organizations/globex/"}, {"x_organization": "globex"}):
        body = get(**request, user=editor).json()
        assert body["organization"] == "globex"
        assert "organization.delete_organization" in body["may"]
    body = get(x_organization="acme", user=editor).json()
    assert "organization.delete_organization" not in body["may"]


@pytest.mark.usefixtures("globex")
def test_foreign_or_unknown_organization(get, editor):
    responses = [
        response
        for name in ("globex", "unknown")
        for response in (get(f"/organizations/{name}/", user=editor), get(user=editor, x_organization=name))
    ]

    assert {response.status_code for response in responses} == {HTTPStatus.NOT_FOUND}
    assert len({response.content for response in responses}) == 1


def test_no_organization_is_named(get, editor, globex):
    MembershipFactory.create(user=editor, organization=globex)

    for user in (editor, UserFactory.create()):
        assert get(user=user).status_code == HTTPStatus.BAD_REQUEST


def test_anonymous(get):
    OrganizationFactory.create(slug="acme")

    for request in ({}, {"path": "/organizations/acme/"}, {"x_organization": "acme"}):
        assert get(**request).status_code == HTTPStatus.FORBIDDEN


def test_key_is_not_taken(get, editor, globex):
    """Keys are taken view by view. The session decides here, and a cache must not store the response."""
    _, raw_key = make_key("csb", organization=globex)

    assert get(x_api_key=raw_key).status_code == HTTPStatus.FORBIDDEN
    assert get(user=editor, x_api_key=raw_key).json()["organization"] == "acme"


def test_middleware_keeps_the_response_private(get, editor, settings):
    settings.MIDDLEWARE = ["closient_auth.middleware.ResponseHeadersMiddleware", *settings.MIDDLEWARE]

    for request, status in [({}, HTTPStatus.OK), ({"x_organization": "unknown"}, HTTPStatus.NOT_FOUND)]:
        response = get(**request, user=editor)
        assert (response.status_code, response["Cache-Control"]) == (status, "private, no-store")
        assert "X-Organization" in response["Vary"]
