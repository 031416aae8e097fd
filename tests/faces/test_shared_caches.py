"""No cache in front of a view serves the response of one caller to another."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.urls import path

from tests.faces.test_headers import get_vary
from tests.factories import MembershipFactory, make_key

pytestmark = pytest.mark.django_db

# A cache may store these without an explicit lifetime (RFC 9110, section 15.1).
CACHEABLE = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}


class SharedCache:
    """Store as much as RFC 9111 lets a shared cache store, and more: also responses to ``Authorization``.

    ``send`` sends a request with these headers and with the session of this user.
    """

    def __init__(self, send):
        self.send = send
        self.stored = []

    def __call__(self, path, raw_key=None, user=None, **headers):
        request: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
        request |= {"x-api-key": raw_key, "cookie": user}
        for stored_path, stored_request, response in self.stored:
            vary = get_vary(response)
            if stored_path == path and all(request.get(name) == stored_request.get(name) for name in vary):
                return response
        response = self.send(path, raw_key, user=user, **headers)
        directives = {part.strip() for part in response.get("Cache-Control", "").split(",")}
        if response.status_code in CACHEABLE and not directives & {"private", "no-store"}:
            self.stored.append((path, request, response))
        return response


def public(request):
    return HttpResponse(uuid4().hex)


@pytest.fixture
def in_front(face, settings):
    """Put Django's site-wide cache in front of the face, and a public view behind it."""
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    settings.ROOT_URLCONF = (*settings.ROOT_URLCONF, path("public/", public))


@pytest.fixture(params=["site-wide", "proxy"])
def get(request, send, settings):
    """Send requests through one kind of shared cache."""
    if request.param == "site-wide":
        request.getfixturevalue("in_front")
        return send
    settings.ROOT_URLCONF = (*settings.ROOT_URLCONF, path("public/", public))
    return SharedCache(send)


def test_no_response_reaches_another_caller(get, acme, editor, globex, settings):
    settings.CLOSIENT_AUTH = {"ACCEPT_BEARER": True}
    other = MembershipFactory.create(organization=globex).user
    keys = {
        "acme": [make_key("csb", organization=acme)[1], make_key("cpk", organization=acme)[1]],
        "globex": [make_key("csb", organization=globex)[1], make_key("csu", user=other)[1]],
    }
    callers: list[tuple[str, dict[str, Any]]] = [
        (slug, {"raw_key": raw_key}) for slug, raw_keys in keys.items() for raw_key in raw_keys
    ]
    callers += [("acme", {"user": editor}), ("globex", {"user": other})]
    callers += [(slug, {"authorization": f"Bearer {raw_keys[0]}"}) for slug, raw_keys in keys.items()]

    # This shows that the cache is active.
    assert get("/public/").content == get("/public/").content

    seen = set()
    for _ in range(2):
        assert get("/open/").status_code == HTTPStatus.UNAUTHORIZED
        assert get("/open/", "junk").json()["code"] == "invalid_api_key"
        for slug, caller in callers:
            body = get("/open/", **caller).json()
            assert body["organizations"] == [slug]
            assert body["fresh"] not in seen
            seen.add(body["fresh"])


def test_errors_are_not_stored(get, acme, globex):
    """The 404 for a foreign organization must not reach its own key, nor a page to a caller without a key."""
    api_key, raw_key = make_key("csb", organization=acme)
    _, other_key = make_key("csb", organization=globex)

    assert get("/organizations/globex/", raw_key).status_code == HTTPStatus.NOT_FOUND
    assert get("/organizations/globex/", other_key).json()["organizations"] == ["globex"]
    assert get("/organizations/globex/", raw_key).status_code == HTTPStatus.NOT_FOUND
    assert get("/errors/404/", raw_key).status_code == HTTPStatus.NOT_FOUND
    assert get("/errors/404/").status_code == HTTPStatus.UNAUTHORIZED

    assert get("/view/", raw_key).status_code == HTTPStatus.OK
    api_key.revoke()
    assert get("/view/", raw_key).json()["code"] == "invalid_api_key"
