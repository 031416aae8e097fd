"""The rate limits of keys."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from closient_auth.core import rates
from closient_auth.core.refusals import Refused
from tests.factories import make_key
from tests.limit_headers import LIMIT_HEADERS, get_limit_headers

pytestmark = pytest.mark.django_db


def test_over_the_limit(send, acme):
    _, raw_key = make_key("csb", organization=acme, rate_limit_per_minute=2)
    _, other_key = make_key("csb", organization=acme)

    remaining = [send("/view/", raw_key)["RateLimit-Remaining"] for _ in range(2)]
    response = send("/view/", raw_key)

    assert remaining == ["1", "0"]
    assert (response.status_code, response.json()["code"]) == (HTTPStatus.TOO_MANY_REQUESTS, "throttled")
    assert 0 < int(response["Retry-After"]) <= 60
    assert response["RateLimit-Limit"] == "2"
    assert get_limit_headers(response) == LIMIT_HEADERS
    assert get_limit_headers(send("/view/", other_key)) == LIMIT_HEADERS


def test_refused_requests_count(send, acme, editor, globex):
    for prefix, refused, status in [
        ("csu", {"path": "/billing/"}, HTTPStatus.FORBIDDEN),
        ("cpk", {"path": "/view/"}, HTTPStatus.FORBIDDEN),
        ("cpk", {"path": "/open/", "method": "post"}, HTTPStatus.FORBIDDEN),
        ("csb", {"x_organization": "globex"}, HTTPStatus.NOT_FOUND),
        ("csu", {"path": "/organizations/globex/"}, HTTPStatus.NOT_FOUND),
    ]:
        holder = {"user": editor} if prefix == "csu" else {"organization": acme}
        _, raw_key = make_key(prefix, rate_limit_per_minute=2, **holder)
        for _ in range(2):
            response = send(raw_key=raw_key, **refused)
            # A 404 must not tell a foreign organization from an unknown one.
            assert (response.status_code, get_limit_headers(response)) == (status, set())
        for request in ({"path": "/open/"}, refused):
            response = send(raw_key=raw_key, **request)
            assert (response.status_code, response.json()["code"]) == (HTTPStatus.TOO_MANY_REQUESTS, "throttled")


def test_sessions_are_not_limited(send, editor, settings):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 1}

    for _ in range(3):
        response = send("/view/", user=editor)
        assert (response.status_code, get_limit_headers(response)) == (HTTPStatus.OK, set())


def test_unlimited_key(send, acme, settings):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0}
    _, raw_key = make_key("csb", organization=acme)

    response = send("/view/", raw_key)

    assert (response.status_code, get_limit_headers(response)) == (HTTPStatus.OK, set())


def test_limits_cannot_be_counted(send, acme, editor, monkeypatch):
    """A request that is not allowed is told so, also during the outage."""

    def fail(*args):
        raise Refused("limits_unavailable", wait=1)

    monkeypatch.setattr(rates, "count_key", fail)
    _, raw_key = make_key("csb", organization=acme)
    _, user_key = make_key("csu", user=editor)

    response = send("/view/", raw_key)

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "limits_unavailable")
    assert response["Retry-After"] == "1"
    assert send("/billing/", user_key).json()["code"] == "permission_denied"
    assert send("/view/", raw_key, x_organization="unknown").status_code == HTTPStatus.NOT_FOUND
