"""Cache headers of responses to requests with a key."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.http import HttpResponse
from django.views.decorators.cache import cache_control
from rest_framework.exceptions import APIException, NotFound
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.factories import MembershipFactory, UserFactory, make_key
from tests.views import PublicView

pytestmark = pytest.mark.django_db


def answer(response):
    def get(self, request):
        if isinstance(response, Exception):
            raise response
        return response

    view: Any = type("View", (APIView,), {"get": get, "permission_classes": [AllowAny]})
    return view.as_view()


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (Response(), 200),
        (Response(headers={"Cache-Control": "public, max-age=60"}), 200),
        (Response(status=204), 204),
        (HttpResponse("plain"), 200),
        (Response(status=418), 418),
        (NotFound(), 404),
        (APIException(), 500),
    ],
)
def test_headers_of_what_a_view_answers(call, mount, response, status):
    mount(answer(response))

    keyed = call("/", make_key("csb")[1])

    assert keyed.status_code == status
    assert keyed["Cache-Control"] == "private, no-store"
    assert "X-API-Key" in keyed["Vary"].split(", ")


@pytest.mark.parametrize(
    ("address", "method", "prefix", "status"),
    [
        ("/who/", "get", "junk", 401),
        ("/who/", "get", "cpk", 403),
        ("/organization/", "get", "csu", 400),
        ("/projects/1/", "get", "csb", 404),
        ("/who/", "delete", "csb", 405),
        ("/who/", "options", "csb", 200),
        ("/who/", "get", "slow", 429),
    ],
)
def test_headers_of_refusals(call, address, method, prefix, status):
    raw_key = prefix
    if prefix == "slow":
        _, raw_key = make_key("csb", rate_limit_per_minute=1)
        call("/who/", raw_key)
    elif prefix != "junk":
        _, raw_key = make_key(prefix)

    response = call(address, raw_key, method=method)

    assert response.status_code == status
    assert response["Cache-Control"] == "private, no-store"
    assert "X-API-Key" in response["Vary"].split(", ")


@pytest.mark.parametrize(("address", "status"), [("/public/", 200), ("/who/", 401), ("/failing/", 401)])
def test_response_without_a_key_varies_too_and_may_be_stored(call, address, status):
    response = call(address)

    assert response.status_code == status
    assert "X-API-Key" in response["Vary"].split(", ")
    assert "Cache-Control" not in response


def test_session_varies_and_keeps_its_own_cache_control(call):
    response = call("/who/", user=UserFactory.create())

    assert {"X-API-Key", "Cookie"} <= set(response["Vary"].split(", "))
    assert "Cache-Control" not in response


def test_session_in_an_organization_is_not_to_be_stored(call):
    response = call("/organization/", user=MembershipFactory.create().user)

    assert {"X-API-Key", "Cookie"} <= set(response["Vary"].split(", "))
    assert response["Cache-Control"] == "private, no-store"


def test_error_before_authentication_says_nothing_of_the_key(call):
    """REST framework negotiates first, so this error is the same for everybody."""
    _, raw_key = make_key("csb")
    keyed, without = (call("/who/", key, accept="text/csv") for key in (raw_key, None))

    assert (keyed.status_code, keyed.content) == (HTTPStatus.NOT_ACCEPTABLE, without.content)
    assert keyed.json() == {"detail": "Could not satisfy the request Accept header."}
    assert keyed.headers == without.headers
    assert "Cache-Control" not in keyed
    assert "X-API-Key" not in keyed["Vary"]


def test_vary_of_the_view_is_kept(call, mount):
    mount(answer(Response(headers={"Vary": "Accept-Language"})))

    assert {"Accept-Language", "X-API-Key", "Accept"} <= set(call("/", make_key("csb")[1])["Vary"].split(", "))


def test_vary_of_a_view_that_names_the_header_itself(call, mount):
    class View(PublicView):
        @property
        def default_response_headers(self):
            return {"Vary": "Origin, x-api-key"}

    mount(View.as_view())

    assert call("/", make_key("csb")[1])["Vary"].lower().split(", ").count("x-api-key") == 1


def test_no_store_survives_a_decorator_that_says_public(call, mount):
    mount(cache_control(public=True, max_age=60)(PublicView.as_view()))

    assert "no-store" in call("/", make_key("csb")[1])["Cache-Control"].split(", ")
