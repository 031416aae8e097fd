"""``IsPerson`` admits users, by session or user key, and no key of an organization."""

from __future__ import annotations

import logging
from http import HTTPStatus

import pytest
from adrf.views import APIView as AsyncAPIView
from django.contrib.auth import get_user_model
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import IsAdminUser
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.decorators import publishable
from closient_auth.permissions import HasOrganizationPermission, IsPerson, SessionOnly
from closient_auth.signals import api_key_refused
from tests.factories import MembershipFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

REFUSED = {
    "detail": "Keys of an organization cannot make this request. Use a user key, or sign in.",
    "code": "person_required",
}


@publishable
class View(APIView):
    permission_classes = [IsPerson]

    def get(self, request):
        return Response(get_user_model().objects.get(pk=request.user.pk).username)

    def post(self, request):
        return self.get(request)


class AndView(View):
    permission_classes = [HasOrganizationPermission & IsPerson]


class OrView(View):
    permission_classes = [IsPerson | IsAdminUser]


@publishable
class AsyncView(AsyncAPIView):  # type: ignore[misc]
    permission_classes = [IsPerson]

    async def get(self, request):
        user = await get_user_model().objects.aget(pk=request.user.pk)
        return Response(user.username)

    async def post(self, request):
        return await self.get(request)


@publishable
@api_view(["GET", "POST"])
@permission_classes([IsPerson])
def function(request):
    return Response(request.user.username)


VIEWS = {
    "alone": View.as_view(),
    "and": AndView.as_view(),
    "or": OrView.as_view(),
    "async": AsyncView.as_view(),
    "function": function,
}


@pytest.fixture(params=VIEWS)
def view(request, mount):
    mount(VIEWS[request.param])
    return request.param


@pytest.mark.usefixtures("view")
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("is_superuser", [False, True])
def test_person_passes(method, is_superuser, call):
    user = MembershipFactory.create(user__is_superuser=is_superuser).user

    assert call("/", user=user, method=method).data == user.username
    assert call("/", make_key("csu", user=user)[1], method=method).data == user.username


@pytest.mark.usefixtures("view")
@pytest.mark.parametrize(("prefix", "method"), [("csb", "get"), ("csb", "post"), ("cpk", "get")])
def test_key_of_an_organization_is_refused(prefix, method, call):
    response = call("/", make_key(prefix)[1], method=method)

    assert (response.status_code, response.data) == (HTTPStatus.FORBIDDEN, REFUSED)


@pytest.mark.usefixtures("view")
def test_key_of_an_organization_is_refused_beside_a_session(call):
    assert call("/", make_key("csb")[1], user=UserFactory.create(is_staff=True)).data == REFUSED


@pytest.mark.usefixtures("view")
def test_request_without_a_credential(call):
    response = call("/")

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.headers["WWW-Authenticate"] == "ApiKey"


def test_deactivated_user(view, call):
    user = UserFactory.create(is_active=False)

    assert call("/", user=user).status_code == HTTPStatus.UNAUTHORIZED
    assert call("/", make_key("csu", user=user)[1]).data["code"] == "invalid_api_key"


def test_not_admits_no_key_of_an_organization(mount, call):
    """``~IsPerson`` is a mistake, and still refuses these keys."""

    class Opposite(View):
        permission_classes = [~IsPerson]

    mount(Opposite.as_view())

    assert call("/", make_key("csb")[1]).data == REFUSED
    assert call("/", make_key("csu")[1]).status_code == HTTPStatus.FORBIDDEN


def test_with_session_only(mount, call):
    class Account(View):
        permission_classes = [IsPerson, SessionOnly]

    mount(Account.as_view())
    user = UserFactory.create()

    assert call("/", user=user).status_code == HTTPStatus.OK
    assert call("/", make_key("csu", user=user)[1]).data["code"] == "session_required"
    assert call("/", make_key("csb")[1]).data == REFUSED


@pytest.mark.usefixtures("view")
def test_refusal_is_reported(call, caplog):
    refusals = []

    def receive(api_key, cause, **kwargs):
        refusals.append((api_key.pk, cause))

    api_key, raw_key = make_key("csb")
    api_key_refused.connect(receive)
    try:
        with caplog.at_level(logging.INFO, logger="closient_auth"):
            call("/", raw_key)
    finally:
        api_key_refused.disconnect(receive)

    assert refusals == [(api_key.pk, "person_only")]
    assert [record.getMessage() for record in caplog.records if record.name == "closient_auth"] == [
        f"api_key=refused cause=person_only id={api_key.pk} organization={api_key.organization_id} "
        "method=GET route=/ request_id=-"
    ]


@pytest.mark.usefixtures("view")
def test_refusal_is_counted(call):
    _, raw_key = make_key("csb", rate_limit_per_minute=2)

    assert [call("/", raw_key).status_code for _ in range(3)] == [403, 403, 429]
    assert call("/", make_key("csb")[1]).status_code == HTTPStatus.FORBIDDEN
