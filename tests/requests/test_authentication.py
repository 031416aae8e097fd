"""Accepted keys. ``test_refusals`` tests the refused ones."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from textwrap import dedent
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.urls import include, path
from django.utils import timezone
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import action, api_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.exceptions import PublishableKeyRefused
from closient_auth.models import ApiKey
from closient_auth.principals import OrganizationPrincipal
from tests.checkout import ROOT
from tests.factories import UserFactory, make_key
from tests.models import Project
from tests.views import ProjectSerializer, WhoView

pytestmark = pytest.mark.django_db

SECURITY = ROOT / "docs" / "security.md"


def who(api_key):
    user = api_key.user_id or f"organization:{api_key.organization_id}"
    return {"user": str(user), "key": str(api_key.pk)}


@pytest.mark.parametrize("prefix", ["csb", "csu", "cpk"])
def test_key_acts_for_its_holder(call, prefix):
    api_key, raw_key = make_key(prefix)

    response = call("/open-who/", raw_key)

    assert response.status_code == HTTPStatus.OK
    assert response.json() == who(api_key)


@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_secret_key_may_write(call, prefix):
    api_key, raw_key = make_key(prefix)

    assert call("/who/", raw_key, method="post").json() == who(api_key)


def test_request_carries_the_principal_and_the_row(call, mount):
    seen = []

    class View(APIView):
        def get(self, request):
            seen.append((request.user, request.auth))
            return Response()

    mount(View.as_view())
    business_key, raw_business_key = make_key("csb")
    holder = UserFactory.create(is_superuser=True, is_staff=True)
    user_key, raw_user_key = make_key("csu", user=holder)
    call("/", raw_business_key)
    call("/", raw_user_key)

    (principal, business_auth), (user, user_auth) = seen
    assert (business_auth, user_auth) == (business_key, user_key)
    assert isinstance(principal, OrganizationPrincipal)
    assert principal.organization == business_key.organization
    assert (principal.is_authenticated, principal.is_active) == (True, True)
    assert (principal.is_staff, principal.is_superuser) == (False, False)
    assert (type(user), user) == (type(holder), holder)
    # The user is unmodified. Permissions ignore the flags, not authentication.
    assert (user.is_staff, user.is_superuser) == (True, True)


def test_without_the_header_it_leaves_the_request_to_the_next_class(rf):
    request = WhoView().initialize_request(rf.get("/"))

    assert ApiKeyAuthentication().authenticate(request) is None
    assert isinstance(request.user, AnonymousUser)


def test_request_that_no_view_handles(rf):
    """A project may do so in its code or tests. There is no response for headers, and no ``@publishable``."""
    api_key, raw_key = make_key("csb")
    _, publishable_key = make_key("cpk")

    accepted = ApiKeyAuthentication().authenticate(Request(rf.get("/", headers={"X-API-Key": raw_key})))
    assert accepted == (OrganizationPrincipal(api_key), api_key)
    with pytest.raises(PublishableKeyRefused):
        ApiKeyAuthentication().authenticate(Request(rf.get("/", headers={"X-API-Key": publishable_key})))


def test_no_credential_is_a_401_on_a_protected_view(call):
    response = call("/who/")

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response["WWW-Authenticate"] == "ApiKey"
    assert response.json() == {"detail": "Authentication credentials were not provided."}


def test_public_view_needs_no_credential(call):
    assert call("/public/").json() == {"public": True}


def test_session_is_the_users(call):
    user = UserFactory.create()

    assert call("/who/", user=user).json() == {"user": str(user.pk), "key": None}


def test_good_key_beside_a_good_session_is_the_keys(call):
    api_key, raw_key = make_key("csu")

    assert call("/who/", raw_key, user=UserFactory.create()).json() == who(api_key)


@api_view(["GET"])
def function_view(request):
    return WhoView().get(request)


class GenericView(ListAPIView[Project]):
    queryset = Project.objects.none()
    serializer_class = ProjectSerializer

    def list(self, request):
        return WhoView().get(request)


class WhoViewSet(ViewSet):
    def list(self, request, **kwargs):
        return WhoView().get(request)

    @action(detail=True, methods=["get"])
    def extra(self, request, **kwargs):
        return WhoView().get(request)


router = DefaultRouter()
router.register("viewset", WhoViewSet, basename="viewset")
URLS = [
    path("class/", WhoView.as_view()),
    path("generic/", GenericView.as_view()),
    path("function/", function_view),
    path("", include(router.urls)),
    path("nested/<parent_pk>/", include(router.urls)),
]


@pytest.mark.parametrize(
    "address",
    [
        "/class/",
        "/generic/",
        "/function/",
        "/viewset/",
        "/viewset/1/extra/",
        "/viewset.json",
        "/nested/1/viewset/",
        "/nested/1/viewset/1/extra/",
    ],
)
def test_every_kind_of_view(call, mount, address):
    mount(*URLS)
    api_key, raw_key = make_key("csb")
    _, publishable_key = make_key("cpk")

    assert call(address, raw_key).json() == who(api_key)
    assert call(address).status_code == HTTPStatus.UNAUTHORIZED
    assert call(address, publishable_key).status_code == HTTPStatus.FORBIDDEN
    assert call(address, "junk").json()["code"] == "invalid_api_key"


def test_view_with_classes_of_its_own(call, mount):
    class OnlyKeys(WhoView):
        authentication_classes = [ApiKeyAuthentication]

    class OnlySessions(WhoView):
        authentication_classes = [SessionAuthentication]

    mount(path("keys/", OnlyKeys.as_view()), path("sessions/", OnlySessions.as_view()))
    api_key, raw_key = make_key("csb")
    user = UserFactory.create()

    assert call("/keys/", raw_key).json() == who(api_key)
    assert call("/keys/", user=user).status_code == HTTPStatus.UNAUTHORIZED
    assert call("/sessions/", user=user).json() == {"user": str(user.pk), "key": None}
    assert call("/sessions/", raw_key).status_code == HTTPStatus.FORBIDDEN


def test_other_header_by_setting(call, settings):
    settings.CLOSIENT_AUTH = {"HEADER": "X-Acme-Key"}
    api_key, raw_key = make_key("csb")

    response = call("/who/", x_acme_key=raw_key)

    assert response.json() == who(api_key)
    assert "X-Acme-Key" in response["Vary"]
    assert call("/who/", raw_key).json() == {"detail": "Authentication credentials were not provided."}


@pytest.mark.parametrize("use_tz", [True, False])
def test_works_with_and_without_time_zones(call, settings, use_tz):
    settings.USE_TZ = use_tz
    with time_machine.travel(datetime(2026, 3, 29, 1, 30, tzinfo=UTC), tick=False):
        now = timezone.now()
        api_key, raw_key = make_key("csb", expires_at=now + timedelta(microseconds=1))
        _, expired_key = make_key("csb", expires_at=now)

        assert call("/who/", raw_key).json() == who(api_key)
        assert call("/who/", expired_key).status_code == HTTPStatus.UNAUTHORIZED

    api_key.refresh_from_db()
    assert api_key.last_used == now
    assert timezone.is_aware(api_key.last_used) is use_tz


def test_row_says_what_a_key_is(call):
    """The type in the prefix of the request is not used."""
    api_key, raw_key = make_key("csb")
    ApiKey.objects.filter(pk=api_key.pk).update(prefix="cpk")

    assert call("/who/", raw_key).json()["code"] == "publishable_key_refused"
    assert call("/open-who/", raw_key).json() == who(api_key)


def test_middleware_of_the_security_page_logs_the_key(caplog):
    api_key, raw_key = make_key()
    (block,) = re.findall(r"^   ```python\n(   # middleware.py\n.*?)^   ```$", SECURITY.read_text(), re.M | re.S)
    names: dict[str, Any] = {}
    exec(dedent(block), names)
    caplog.set_level(logging.INFO)

    for headers in ({"X-API-Key": raw_key}, {"X-API-Key": raw_key[:-1]}, {}):
        names["log_key"](WhoView.as_view())(RequestFactory().get("/who/", headers=headers))

    assert [record.getMessage() for record in caplog.records if record.name == "api"] == [
        f"GET /who/ 200 api_key={api_key.pk}"
    ]
