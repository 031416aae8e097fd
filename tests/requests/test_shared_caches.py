"""Shared caches must not store responses to requests with a key."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control, cache_page
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from closient_auth.decorators import publishable
from closient_auth.organizations import get_organization
from closient_auth.permissions import HasOrganizationPermission
from tests.factories import MembershipFactory, make_key

pytestmark = pytest.mark.django_db


@publishable
class FreshView(APIView):
    """Return a new body each time, to recognize a cached response."""

    permission_classes = [AllowAny]

    def get(self, request):
        return Response({"user": str(request.user.pk), "fresh": uuid4().hex})


class ProtectedView(FreshView):
    permission_classes = [IsAuthenticated]


class MembersView(FreshView):
    permission_classes = [HasOrganizationPermission]


def on_dispatch(view):
    cached: Any = type("Cached", (view,), {})
    return method_decorator(cache_page(60), name="dispatch")(cached).as_view()


def around_the_view(view):
    return cache_page(60)(view.as_view())


def made_public_inside(view):
    return cache_page(60)(cache_control(public=True, max_age=60)(view.as_view()))


def made_public_outside(view):
    return cache_control(public=True, max_age=60)(cache_page(60)(view.as_view()))


def overwritten_inside(view):
    def overwrite(request):
        response = view.as_view()(request)
        response["Cache-Control"] = "public, max-age=60"
        return response

    return cache_page(60)(overwrite)


def twice(view):
    return cache_page(60)(cache_page(60)(view.as_view()))


def site_wide(view):
    return view.as_view()


WAYS = [on_dispatch, around_the_view, made_public_inside, made_public_outside, overwritten_inside, twice, site_wide]


@pytest.fixture(params=WAYS)
def serve(request, mount, settings):
    """Serve protected and public views behind one kind of cache."""
    if request.param is site_wide:
        settings.MIDDLEWARE = [
            "django.middleware.cache.UpdateCacheMiddleware",
            *settings.MIDDLEWARE,
            "django.middleware.http.ConditionalGetMiddleware",
            "django.middleware.cache.FetchFromCacheMiddleware",
        ]
    views = {"protected/": ProtectedView, "members/": MembersView, "public/": FreshView}
    mount(*(path(route, request.param(view)) for route, view in views.items()))


@pytest.mark.usefixtures("serve")
def test_the_cache_works_for_what_is_public(call):
    """This shows the cache to be active in the tests below."""
    assert call("/public/").json() == call("/public/").json()


@pytest.mark.usefixtures("serve")
@pytest.mark.parametrize("prefix", ["csb", "csu", "cpk"])
@pytest.mark.parametrize("address", ["/protected/", "/public/"])
def test_answer_to_a_key_is_never_stored(call, prefix, address):
    api_key, raw_key = make_key(prefix)
    _, other_key = make_key(prefix)
    seen = [call(address, raw_key).json() for _ in range(2)]
    assert seen[0]["user"] == seen[1]["user"]
    assert seen[0]["fresh"] != seen[1]["fresh"]

    other = call(address, other_key).json()
    without = call(address)
    api_key.revoke()
    revoked = call(address, raw_key)

    assert other["user"] != seen[0]["user"]
    assert revoked.status_code == HTTPStatus.UNAUTHORIZED
    if address == "/protected/":
        assert without.status_code == HTTPStatus.UNAUTHORIZED
    else:
        assert without.json()["user"] == "None"
    fresh = {body["fresh"] for body in [*seen, other]}
    assert not any(mark in response.content.decode() for mark in fresh for response in (without, revoked))


@pytest.mark.usefixtures("serve")
def test_answer_to_a_member_is_never_stored(call):
    member, other = MembershipFactory.create(), MembershipFactory.create()
    client = APIClient()
    client.force_login(member.user)
    seen = [call("/members/", client=client) for _ in range(2)]
    assert [response.json()["user"] for response in seen] == [str(member.user.pk)] * 2
    assert seen[0].json()["fresh"] != seen[1].json()["fresh"]

    member.delete()

    assert call("/members/", client=client).json()["code"] == "organization_required"
    assert call("/members/", user=other.user).json()["user"] == str(other.user.pk)


def test_answer_to_a_member_outside_rest_framework_is_never_stored(call, mount):
    def view(request):
        return HttpResponse(f"{get_organization(request)} {uuid4().hex}")

    mount(cache_page(60)(view))
    client = APIClient()
    client.force_login(MembershipFactory.create().user)

    assert call("/", client=client).content != call("/", client=client).content


@pytest.mark.usefixtures("serve")
def test_stored_public_answer_is_not_what_a_key_gets(call):
    _, raw_key = make_key("csb")
    stored = call("/public/").json()

    assert call("/public/", raw_key).json()["user"].startswith("organization:")
    assert call("/public/", "junk").status_code == HTTPStatus.UNAUTHORIZED
    assert call("/public/").json() == stored


@pytest.mark.usefixtures("serve")
def test_refusal_is_not_what_a_good_key_gets(call):
    api_key, raw_key = make_key("csb")
    type(api_key).objects.update(is_active=False)
    assert call("/protected/", raw_key).status_code == HTTPStatus.UNAUTHORIZED
    type(api_key).objects.update(is_active=True)

    assert call("/protected/", raw_key).status_code == HTTPStatus.OK


def test_conditional_request_tells_nobody_else_that_nothing_changed(call, mount, settings):
    settings.MIDDLEWARE = ["django.middleware.http.ConditionalGetMiddleware", *settings.MIDDLEWARE]

    class View(APIView):
        def get(self, request):
            return Response("private", headers={"ETag": '"private"'})

    mount(View.as_view())
    _, raw_key = make_key("csb")

    assert call("/", raw_key, if_none_match='"private"').status_code == HTTPStatus.NOT_MODIFIED
    assert call("/", if_none_match='"private"').status_code == HTTPStatus.UNAUTHORIZED
    assert call("/", "junk", if_none_match="*").status_code == HTTPStatus.UNAUTHORIZED
