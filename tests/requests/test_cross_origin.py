"""A publishable key in a page of another origin, with the middleware and settings of the README."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import make_key
from tests.readme import get_block, run

pytestmark = pytest.mark.django_db

ORIGIN = "https://shop.example"
PREFLIGHT = {
    "method": "options",
    "origin": ORIGIN,
    "access_control_request_method": "GET",
    "access_control_request_headers": "x-api-key",
}
TOLD = {"RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}


@pytest.fixture
def cross_origin(settings):
    configured = run(
        get_block("CORS_ALLOWED_ORIGINS"),
        INSTALLED_APPS=list(settings.INSTALLED_APPS),
        MIDDLEWARE=list(settings.MIDDLEWARE),
    )
    for name, value in configured.items():
        if name.isupper():
            setattr(settings, name, value)


def get_list(response, name):
    return {value.strip().lower() for value in response.headers.get(name, "").split(",")} - {""}


@pytest.mark.usefixtures("cross_origin")
def test_page_of_another_origin_reads_with_a_publishable_key(call):
    _, raw_key = make_key("cpk", rate_limit_per_minute=1)

    with CaptureQueriesContext(connection) as queries:
        preflight = call("/open-who/", **PREFLIGHT)
    assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (HTTPStatus.OK, ORIGIN)
    assert "x-api-key" in get_list(preflight, "Access-Control-Allow-Headers")
    assert len(queries) == 0

    response, refused = (call("/open-who/", raw_key, origin=ORIGIN) for _ in range(2))
    assert (response.status_code, response["Access-Control-Allow-Origin"]) == (HTTPStatus.OK, ORIGIN)
    assert get_list(response, "Access-Control-Expose-Headers") >= {name.lower() for name in TOLD}
    assert set(response.headers) >= TOLD
    assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert "retry-after" in get_list(refused, "Access-Control-Expose-Headers")
    assert "Retry-After" in refused


@pytest.mark.usefixtures("cross_origin")
def test_other_origins_may_not(call):
    _, raw_key = make_key("cpk")
    stranger = "https://stranger.example"

    for response in (call("/open-who/", **PREFLIGHT | {"origin": stranger}), call("/", raw_key, origin=stranger)):
        assert "Access-Control-Allow-Origin" not in response


def test_view_alone_refuses_the_preflight(call):
    response = call("/open-who/", **PREFLIGHT)

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert "Access-Control-Allow-Origin" not in response
