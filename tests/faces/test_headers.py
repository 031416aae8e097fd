"""The headers that keep private responses out of shared caches, on every response."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from tests.factories import MembershipFactory, OrganizationFactory, make_key

pytestmark = pytest.mark.django_db


def get_vary(response):
    return {name.strip().lower() for name in response.get("Vary", "").split(",")}


def is_private(response):
    return response.get("Cache-Control") == "private, no-store"


def test_every_response_to_a_key(send, acme, editor, globex):
    _, raw_key = make_key("csb", organization=acme)
    _, user_key = make_key("csu", user=editor)
    _, publishable = make_key("cpk", organization=acme)
    _, limited = make_key("csb", organization=acme, rate_limit_per_minute=1)
    _, ambiguous = make_key("csu", user=editor)
    send("/view/", limited)

    expected = [
        (200, {"path": "/view/", "raw_key": raw_key}),
        (200, {"path": "/view/", "raw_key": user_key, "method": "post"}),
        (200, {"path": "/open/", "raw_key": publishable}),
        (400, {"path": "/errors/400/", "raw_key": raw_key}),
        (401, {"path": "/view/", "raw_key": "junk"}),
        (403, {"path": "/billing/", "raw_key": user_key}),
        (403, {"path": "/errors/403/", "raw_key": raw_key}),
        (403, {"path": "/view/", "raw_key": publishable}),
        (404, {"path": "/errors/404/", "raw_key": raw_key}),
        (404, {"path": "/organizations/globex/", "raw_key": raw_key}),
        (404, {"path": "/view/", "raw_key": user_key, "x_organization": "unknown"}),
        (429, {"path": "/view/", "raw_key": limited}),
    ]
    for status, request in expected:
        response = send(**request)
        assert (response.status_code, is_private(response)) == (status, True), request
        assert "x-api-key" in get_vary(response), request

    MembershipFactory.create(user=editor, organization=globex)
    response = send("/view/", ambiguous)
    assert (response.status_code, is_private(response)) == (HTTPStatus.BAD_REQUEST, True)
    assert {"x-api-key", "x-organization"} <= get_vary(response)


def test_every_response_to_a_session(send, editor, globex):
    expected = [
        (200, {"path": "/view/"}),
        (200, {"path": "/view/", "method": "post"}),
        (400, {"path": "/errors/400/"}),
        (403, {"path": "/billing/"}),
        (403, {"path": "/errors/403/"}),
        (404, {"path": "/errors/404/"}),
        (404, {"path": "/organizations/globex/"}),
    ]
    for status, request in expected:
        response = send(**request, user=editor)
        assert (response.status_code, is_private(response)) == (status, True), request
        assert {"x-api-key", "x-organization", "cookie"} <= get_vary(response), request

    MembershipFactory.create(user=editor, organization=globex)
    # The body names the organizations of the user.
    response = send("/view/", user=editor)
    assert (response.status_code, is_private(response)) == (HTTPStatus.BAD_REQUEST, True)
    assert {"x-api-key", "x-organization", "cookie"} <= get_vary(response)


def test_response_without_a_credential(send):
    """A shared cache may keep it, and must not serve it to a key."""
    OrganizationFactory.create(slug="acme")

    for request in ({"path": "/view/"}, {"path": "/open/"}, {"path": "/organizations/acme/"}):
        response = send(**request)
        assert (response.status_code, "x-api-key" in get_vary(response)) == (HTTPStatus.UNAUTHORIZED, True)


def test_header_of_the_project(send, acme, settings):
    settings.CLOSIENT_AUTH = {"HEADER": "X-Shop-Key"}
    _, raw_key = make_key("csb", organization=acme)

    response = send("/view/", x_shop_key=raw_key)

    assert (response.status_code, is_private(response)) == (HTTPStatus.OK, True)
    assert "x-shop-key" in get_vary(response)
    assert send("/view/", raw_key).status_code == HTTPStatus.UNAUTHORIZED
