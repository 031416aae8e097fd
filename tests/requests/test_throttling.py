"""Rate limits in HTTP responses. ``tests/limits`` tests the counts."""

from __future__ import annotations

from http import HTTPStatus

import pytest
import time_machine
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.throttling import ApiKeyRateThrottle
from tests.factories import MembershipFactory, make_key
from tests.limit_headers import LIMIT_HEADERS, get_limit_headers

pytestmark = pytest.mark.django_db


def test_each_keyed_answer_tells_the_limits(call):
    with time_machine.travel(1_800_000_000.5, tick=False):
        _, raw_key = make_key("csb", rate_limit_per_minute=3, rate_limit_per_day=100)
        response = call("/who/", raw_key)

    assert response["RateLimit-Policy"] == "3;w=60, 100;w=86400"
    assert (response["RateLimit-Limit"], response["RateLimit-Remaining"]) == ("3", "2")
    assert 1 <= int(response["RateLimit-Reset"]) <= 60
    assert get_limit_headers(response) == LIMIT_HEADERS
    assert "Retry-After" not in response


@pytest.mark.parametrize(("prefix", "per_minute"), [("csb", 300), ("csu", 300), ("cpk", 100)])
def test_defaults_go_by_the_type_of_the_stored_key(call, prefix, per_minute):
    _, raw_key = make_key(prefix)

    assert call("/open-who/", raw_key)["RateLimit-Policy"] == f"{per_minute};w=60, 10000;w=86400"


def test_over_the_limit(call):
    _, raw_key = make_key("csb", rate_limit_per_minute=1)
    _, other_key = make_key("csb", rate_limit_per_minute=1)
    assert call("/who/", raw_key).status_code == HTTPStatus.OK

    response = call("/who/", raw_key)

    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert get_limit_headers(response) == LIMIT_HEADERS
    assert response["RateLimit-Remaining"] == "0"
    assert response["Retry-After"] == response["RateLimit-Reset"]
    assert call("/who/", other_key).status_code == HTTPStatus.OK
    assert call("/public/").status_code == HTTPStatus.OK


def test_headers_go_where_the_throttle_ran_and_nowhere_else(call):
    member = MembershipFactory.create(role="billing")
    _, raw_key = make_key("csu", user=member.user)

    for address, method, status, expected in [
        ("/who/", "get", HTTPStatus.OK, LIMIT_HEADERS),
        ("/failing/", "get", HTTPStatus.BAD_REQUEST, LIMIT_HEADERS),
        ("/projects/1/", "get", HTTPStatus.NOT_FOUND, LIMIT_HEADERS),
        ("/who/", "delete", HTTPStatus.METHOD_NOT_ALLOWED, LIMIT_HEADERS),
        ("/projects/", "post", HTTPStatus.FORBIDDEN, set()),
        ("/organizations/nobody/", "get", HTTPStatus.NOT_FOUND, set()),
    ]:
        response = call(address, raw_key, method=method)
        assert (response.status_code, get_limit_headers(response)) == (status, expected)
    for response in (call("/who/", "junk"), call("/who/"), call("/public/"), call("/who/", user=member.user)):
        assert get_limit_headers(response) == set()


# Test both stores: the script in Redis, and django-ratelimit.
@pytest.fixture(params=["redis", "cache"])
def cache_away(request, settings):
    """Use a cache at a closed port."""
    options = {} if request.param == "redis" else {"pool_class": "tests.limits.pools.OddPool"}
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1",
            "OPTIONS": options,
        }
    }


@pytest.mark.usefixtures("cache_away")
def test_cache_away_and_open(call):
    api_key, raw_key = make_key("csb", rate_limit_per_minute=2, rate_limit_per_day=2)

    responses = [call("/who/", raw_key) for _ in range(4)]

    assert [response.status_code for response in responses] == [200, 200, 429, 429]
    assert responses[0].json()["key"] == str(api_key.pk)
    assert [response["RateLimit-Remaining"] for response in responses] == ["1", "0", "0", "0"]


@pytest.mark.usefixtures("cache_away")
def test_cache_away_and_closed(call, settings, monkeypatch):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": False}
    _, raw_key = make_key("csb", rate_limit_per_minute=2, rate_limit_per_day=2)
    # An outage of less than a second refuses nobody who is within the limits.
    monkeypatch.setattr("closient_auth.limits.counter.PATIENCE", 3_600)
    assert [call("/who/", raw_key).status_code for _ in range(3)] == [200, 200, 429]
    monkeypatch.setattr("closient_auth.limits.counter.PATIENCE", 0)

    response = call("/who/", raw_key)

    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response["Retry-After"] == "1"
    assert response.json() == {
        "detail": "The service is temporarily unavailable. Try again.",
        "code": "limits_unavailable",
    }
    assert response["Cache-Control"] == "private, no-store"
    assert "X-API-Key" in response["Vary"].split(", ")


@pytest.mark.usefixtures("cache_away")
@pytest.mark.parametrize("fail_open", [True, False])
def test_cache_away_opens_no_other_door(call, settings, fail_open):
    """Other checks still refuse the request, and requests without a key do not wait for the cache."""
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": fail_open}

    assert call("/who/", "junk").status_code == HTTPStatus.UNAUTHORIZED
    assert call("/who/").status_code == HTTPStatus.UNAUTHORIZED
    assert call("/projects/", make_key("csu")[1]).status_code == HTTPStatus.BAD_REQUEST
    assert call("/public/").status_code == HTTPStatus.OK


class ThrottledByUser(APIView):
    """A view whose throttles depend on the caller."""

    @property
    def throttle_classes(self):  # type: ignore[override]
        return [ApiKeyRateThrottle] if self.request.auth and str(self.request.user).startswith("organization:") else []

    def get(self, request):
        return Response()


def test_throttles_of_the_caller(call, mount):
    mount(ThrottledByUser.as_view())
    _, business = make_key("csb", rate_limit_per_minute=1)
    _, user_key = make_key("csu", rate_limit_per_minute=1)

    assert [call("/", business).status_code for _ in range(2)] == [HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS]
    assert [call("/", user_key).status_code for _ in range(2)] == [HTTPStatus.OK, HTTPStatus.OK]
