from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils.crypto import get_random_string

# Some tests run without coverage, and the first one of them would import it.
import closient_auth.middleware  # noqa: F401
from tests.faces.faces import FACES
from tests.factories import MembershipFactory

CLIENTS: dict[str, Any] = {"wsgi": Client, "asgi": AsyncClient}


@pytest.fixture(params=FACES, ids=lambda face: face.name.replace(" ", "_"))
def face(request, settings, mount):
    """Serve one face."""
    if request.param.apps:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, *request.param.apps]
    mount(*request.param.patterns)
    settings.MIDDLEWARE = [*request.param.middleware, *settings.MIDDLEWARE]
    return request.param


@pytest.fixture(params=["wsgi", pytest.param("asgi", marks=pytest.mark.unmeasured)])
def server(request):
    return request.param


@pytest.fixture
def send(face, server):
    """
    Return a function to send a request to the face, with a raw key, with the session of a user, or with both.

    A session sends its CSRF token, except with ``token=False``. ``send("/view/", raw_key, x_organization="acme")``
    """

    def sign_in(user):
        client = CLIENTS[server](enforce_csrf_checks=True)
        if user is not None:
            client.force_login(user)
            client.cookies["csrftoken"] = get_random_string(32)
        return client

    clients: dict[Any, Any] = {}

    def send(path="/view/", raw_key=None, *, user=None, method="get", token=True, **headers):
        client = clients[user] = clients.get(user) or sign_in(user)
        if user is not None and token:
            headers["x_csrftoken"] = client.cookies["csrftoken"].value
        if raw_key is not None:
            headers["x_api_key"] = raw_key
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data, content_type = json.dumps({}) if method == "post" else "", "application/json"

        async def go():
            return await client.generic(method.upper(), path, data, content_type, headers=headers)

        if server == "asgi":
            return async_to_sync(go)()
        return client.generic(method.upper(), path, data, content_type, headers=headers)

    return send


@pytest.fixture
def editor(acme):
    """Return a user who is an Editor of Acme."""
    return MembershipFactory.create(organization=acme).user
