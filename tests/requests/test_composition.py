"""``HasOrganizationPermission`` together with other permissions and permission classes."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.permissions import HasOrganizationPermission
from tests.factories import UserFactory, make_key

pytestmark = pytest.mark.django_db

BILLING = "organization.manage_billing"


class View(APIView):
    permission_classes = [HasOrganizationPermission]

    def get(self, request):
        return Response()

    def post(self, request):
        return Response()


def test_extra_permissions_of_the_host(mount, who_may, call, settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"billing": ["offers.publish"]}}

    class OffersView(View):
        required_permissions = "offers.publish"

    mount(OffersView.as_view())
    assert who_may("post") == {"billing"}
    assert call("/", make_key("csb")[1], method="post").status_code == HTTPStatus.OK

    settings.CLOSIENT_AUTH = {}
    assert who_may("post") == set()
    assert call("/", make_key("csb")[1], method="post").status_code == HTTPStatus.FORBIDDEN


def test_extra_permissions_cannot_widen_a_role(mount, who_may, settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"editor": [BILLING], "guest": [BILLING]}}

    class BillingView(View):
        required_permissions = BILLING

    mount(BillingView.as_view())
    assert who_may("get") == {"owner", "manager", "billing"}


class IsStaff(BasePermission):
    def has_permission(self, request, view):
        return bool(getattr(request.user, "is_staff", False))


def test_composed_with_and(mount, call, keys):
    class Both(View):
        permission_classes = [IsAuthenticated & HasOrganizationPermission]
        required_permissions = BILLING

    mount(Both.as_view())
    assert call("/", keys["billing"]).status_code == HTTPStatus.OK
    assert call("/", keys["editor"]).status_code == HTTPStatus.FORBIDDEN
    assert call("/").status_code == HTTPStatus.UNAUTHORIZED


def test_composed_with_or_it_comes_last(mount, call, keys):
    class Either(View):
        permission_classes = [IsStaff | HasOrganizationPermission]
        required_permissions = BILLING

    mount(Either.as_view())
    staff = UserFactory.create(is_staff=True)

    assert call("/", user=staff).status_code == HTTPStatus.OK
    assert call("/", keys["billing"]).status_code == HTTPStatus.OK
    assert call("/", keys["editor"]).status_code == HTTPStatus.FORBIDDEN
    assert call("/", user=UserFactory.create()).status_code == HTTPStatus.BAD_REQUEST
    assert call("/").status_code == HTTPStatus.UNAUTHORIZED


def test_nobody_is_left_to_the_class_behind_it(mount, call):
    class Either(View):
        permission_classes = [HasOrganizationPermission | AllowAny]

    mount(Either.as_view())

    assert call("/").status_code == HTTPStatus.OK
    assert call("/", make_key("csb")[1], x_organization="nobody").status_code == HTTPStatus.NOT_FOUND


def test_nobody_may_be_none(mount, call, settings):
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "UNAUTHENTICATED_USER": None}

    class Either(View):
        permission_classes = [HasOrganizationPermission | AllowAny]

    mount(Either.as_view())
    assert call("/").status_code == HTTPStatus.OK
    mount(View.as_view())
    assert call("/").status_code == HTTPStatus.UNAUTHORIZED
