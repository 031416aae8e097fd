"""Views that refuse every key: those with ``SessionOnly``, and those of account packages."""

from __future__ import annotations

import logging
from http import HTTPStatus

import pytest
from adrf.views import APIView as AsyncAPIView
from django.contrib.auth import get_user_model
from django.urls import path
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import AllowAny, IsAdminUser, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from closient_auth.decorators import publishable
from closient_auth.permissions import SessionOnly
from closient_auth.signals import api_key_refused
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.readme import get_block, run

pytestmark = pytest.mark.django_db

REFUSED = {"detail": "API keys cannot make this request. Sign in as a user.", "code": "session_required"}


class View(APIView):
    permission_classes = [IsAuthenticated, SessionOnly]

    def get(self, request):
        return Response()

    def post(self, request):
        return Response()


class AloneView(View):
    permission_classes = [SessionOnly]


class BeforeView(View):
    permission_classes = [SessionOnly, IsAuthenticated]


class AndView(View):
    permission_classes = [IsAuthenticated & SessionOnly]


class OrView(View):
    permission_classes = [SessionOnly | IsAdminUser]


class NotView(View):
    permission_classes = [~SessionOnly]


class AsyncView(AsyncAPIView):  # type: ignore[misc]
    permission_classes = [IsAuthenticated, SessionOnly]

    async def get(self, request):
        return Response()

    async def post(self, request):
        return Response()


class Viewset(ViewSet):
    permission_classes = [IsAuthenticated]

    @action(["get", "post"], detail=False, permission_classes=[IsAuthenticated, SessionOnly])
    def password(self, request):
        return Response()


@api_view(["GET", "POST"])
@permission_classes([IsAuthenticated, SessionOnly])
def function(request):
    return Response()


class OwnTokenView(ObtainAuthToken):
    """A view that inherits from an account package. Its own permissions would admit every key."""

    permission_classes = [AllowAny]

    def get(self, request):
        return Response()

    def post(self, request):
        return Response()


def package_function(request):
    return Response()


# REST framework gives the view the module of the function.
package_function.__module__ = "rest_framework.authtoken.views"

VIEWS = {
    "after": View.as_view(),
    "alone": AloneView.as_view(),
    "before": BeforeView.as_view(),
    "and": AndView.as_view(),
    "or": OrView.as_view(),
    "async": AsyncView.as_view(),
    "action": Viewset.as_view({"get": "password", "post": "password"}, **Viewset.password.kwargs),
    "function": function,
    "package": OwnTokenView.as_view(),
    "package function": api_view(["GET", "POST"])(package_function),
}


@pytest.fixture(params=VIEWS)
def view(request, mount):
    mount(VIEWS[request.param])
    return request.param


@pytest.fixture(params=["csb", "csu", "csu of a superuser"])
def raw_key(request):
    if request.param == "csu of a superuser":
        return make_key("csu", user=UserFactory.create(is_superuser=True, is_staff=True))[1]
    return make_key(request.param)[1]


@pytest.mark.parametrize("method", ["get", "options", "post"])
@pytest.mark.usefixtures("view")
def test_key_is_refused(method, raw_key, call):
    response = call("/", raw_key, method=method)

    assert (response.status_code, response.data) == (HTTPStatus.FORBIDDEN, REFUSED)


def test_publishable_key_is_refused(mount, call):
    @publishable
    class Open(View):
        """The marker does not open a view that needs a session."""

    @publishable
    class OpenTokenView(OwnTokenView):
        """Neither does it open a view of an account package."""

    mount(path("open/", Open.as_view()), path("token/", OpenTokenView.as_view()))
    _, raw_key = make_key("cpk")

    assert call("/open/", raw_key).data == REFUSED
    assert call("/token/", raw_key).data == REFUSED
    assert call("/open/", raw_key, method="post").data["code"] == "publishable_key_refused"
    assert call("/token/", raw_key, method="post").data == REFUSED


@pytest.mark.usefixtures("view")
def test_key_is_refused_beside_a_session(call):
    user = UserFactory.create(is_staff=True)

    assert call("/", make_key("csu", user=user)[1], user=user, method="post").data == REFUSED


@pytest.mark.usefixtures("view")
def test_bearer_key_is_refused(call, settings):
    settings.CLOSIENT_AUTH = {"ACCEPT_BEARER": True}

    assert call("/", method="post", authorization=f"Bearer {make_key('csu')[1]}").data == REFUSED


@pytest.mark.usefixtures("view")
@pytest.mark.parametrize("method", ["get", "options", "post"])
@pytest.mark.parametrize("is_superuser", [False, True])
def test_session_passes(method, is_superuser, call):
    user = MembershipFactory.create(user__is_superuser=is_superuser).user

    assert call("/", user=user, method=method).status_code == HTTPStatus.OK


def test_request_without_a_key(view, call):
    """``SessionOnly`` refuses keys alone: the other classes decide whether a user has to sign in."""
    is_open = view in ("alone", "or", "package")

    assert call("/").status_code == (HTTPStatus.OK if is_open else HTTPStatus.UNAUTHORIZED)


def test_invalid_key_is_not_told_what_the_view_requires(view, call):
    assert call("/", "csu_key").data["code"] == "invalid_api_key"


def test_not_admits_no_key(mount, call, raw_key):
    """``~SessionOnly`` is a mistake, and still refuses keys."""
    mount(NotView.as_view())

    assert call("/", raw_key).data == REFUSED
    assert call("/", user=UserFactory.create()).status_code == HTTPStatus.FORBIDDEN


def test_with_or_the_class_before_it_decides(mount, call):
    class StaffOrSession(View):
        permission_classes = [IsAdminUser | SessionOnly]

    mount(StaffOrSession.as_view())

    assert call("/", make_key("csu", user=UserFactory.create(is_staff=True))[1]).status_code == HTTPStatus.OK
    assert call("/", make_key("csu")[1]).data == REFUSED


def test_other_views_of_the_package_name(mount, call):
    """A module is compared by its whole name."""

    class Lookalike(View):
        __module__ = "rest_framework.authtokens"
        permission_classes = [IsAuthenticated]

    mount(Lookalike.as_view())

    assert call("/", make_key("csu")[1]).status_code == HTTPStatus.OK


@pytest.mark.usefixtures("view")
def test_refusal_is_reported(call, caplog):
    refusals = []

    def receive(api_key, cause, **kwargs):
        refusals.append((api_key.pk, cause))

    api_key, raw_key = make_key("csu")
    api_key_refused.connect(receive)
    try:
        with caplog.at_level(logging.INFO, logger="closient_auth"):
            call("/", raw_key, method="post")
            call("/", raw_key, method="post")
    finally:
        api_key_refused.disconnect(receive)

    # The second request comes within a minute.
    assert refusals == [(api_key.pk, "session_only")]
    messages = [record.getMessage() for record in caplog.records if record.name == "closient_auth"]
    assert messages == [
        f"api_key=refused cause=session_only id={api_key.pk} organization=- method=POST route=/ request_id=-"
    ]
    assert raw_key not in caplog.text


def test_refusal_is_counted(view, call):
    _, raw_key = make_key("csu", rate_limit_per_minute=2)

    statuses = [call("/", raw_key, method="post").status_code for _ in range(4)]

    # ``ObtainAuthToken`` has no throttles.
    assert statuses == ([403, 403, 403, 403] if view == "package" else [403, 403, 429, 429])
    assert call("/", make_key("csu")[1], method="post").status_code == HTTPStatus.FORBIDDEN


def test_another_view_of_the_host_takes_the_key(mount, call):
    class Open(View):
        permission_classes = [IsAuthenticated]

    mount(path("account/", View.as_view()), path("products/", Open.as_view()))
    _, raw_key = make_key("csu")

    assert call("/account/", raw_key).status_code == HTTPStatus.FORBIDDEN
    assert call("/products/", raw_key).status_code == HTTPStatus.OK


def test_views_of_the_readme(mount, call):
    views = run(get_block("# account.py"))
    mount(path("account/", views["AccountView"].as_view()), path("name/", views["UsernameView"].as_view()))
    user, neighbor = UserFactory.create_batch(2)
    keys = {"csu": make_key("csu", user=user)[1], "csb": make_key("csb")[1]}

    assert call("/name/", keys["csu"]).data == {"username": user.username}
    assert call("/name/", keys["csb"]).data["code"] == "person_required"
    assert {call("/account/", raw_key, method="delete").data["code"] for raw_key in keys.values()} == {
        "session_required"
    }
    assert call("/account/", method="delete").status_code == HTTPStatus.UNAUTHORIZED
    assert call("/account/", user=user, method="delete").status_code == HTTPStatus.NO_CONTENT
    assert list(get_user_model().objects.all()) == [neighbor]
