"""Declarations of required permissions."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import include, path
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from closient_auth.decorators import required_permissions
from closient_auth.permissions import HasOrganizationPermission
from tests.factories import MembershipFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

BILLING, CONTRIBUTE = "organization.manage_billing", "organization.contribute_organization"


class View(APIView):
    permission_classes = [HasOrganizationPermission]

    def get(self, request):
        return Response()

    def post(self, request):
        return Response()

    def delete(self, request):
        return Response()


ALL, NOT_BILLING, NOT_EDITOR = (
    {"owner", "manager", "billing", "editor"},
    {"owner", "manager", "editor"},
    {"owner", "manager", "billing"},
)


def test_nothing_declared(mount, who_may):
    mount(View.as_view())

    assert who_may("get") == who_may("head") == who_may("options") == ALL
    assert who_may("post") == who_may("delete") == NOT_BILLING


def test_one_permission_for_all_methods(mount, who_may):
    class BillingView(View):
        required_permissions = BILLING

    mount(BillingView.as_view())
    assert who_may("get") == who_may("head") == who_may("post") == NOT_EDITOR
    assert who_may("options") == ALL


@pytest.mark.parametrize("names", [("GET", "POST", "DELETE"), ("get", "post", "delete")])
def test_mapping_from_methods(mount, who_may, names):
    class MappedView(View):
        required_permissions = dict(zip(names, [BILLING, CONTRIBUTE, "organization.delete_organization"], strict=True))

    mount(MappedView.as_view())
    assert who_may("get") == who_may("head") == NOT_EDITOR
    assert who_may("post") == NOT_BILLING
    assert who_may("delete") == {"owner"}
    assert who_may("options") == ALL


class Actions(ViewSet):
    permission_classes = [HasOrganizationPermission]
    required_permissions = {
        "list": BILLING,
        "archive": "organization.delete_organization",
        "unarchive": CONTRIBUTE,
        "POST": "organization.manage_members",
    }

    def list(self, request):
        return Response()

    def create(self, request):
        return Response()

    @action(detail=False, methods=["post"])
    def archive(self, request):
        return Response()

    @archive.mapping.delete
    def unarchive(self, request):
        return Response()


ACTIONS_ROUTER = SimpleRouter()
ACTIONS_ROUTER.register("actions", Actions, basename="actions")


def test_mapping_from_actions(mount, who_may):
    mount(*ACTIONS_ROUTER.urls)

    assert who_may("get", "/actions/") == who_may("head", "/actions/") == NOT_EDITOR
    assert who_may("post", "/actions/") == {"owner", "manager"}
    assert who_may("post", "/actions/archive/") == {"owner"}
    assert who_may("delete", "/actions/archive/") == NOT_BILLING


def test_method_that_the_view_has_not_is_a_405_for_members(mount, call, keys):
    class MappedView(View):
        required_permissions = {"GET": BILLING, "POST": BILLING, "DELETE": BILLING}

    mount(MappedView.as_view())
    outsider = make_key("csu")[1]

    for method in ("put", "patch", "trace", "brew", "__class__"):
        assert call("/", keys["editor"], method=method).status_code == HTTPStatus.METHOD_NOT_ALLOWED
        assert call("/", outsider, method=method).status_code == HTTPStatus.BAD_REQUEST
        assert call("/", method=method).status_code == HTTPStatus.UNAUTHORIZED


MISSING = [
    ({"GET": BILLING}, "POST"),
    ({}, "POST"),
    ({"POST": ""}, "POST"),
    ({"POST": None}, "POST"),
    ({"POST": [BILLING]}, "POST"),
    ("", "POST"),
    ([BILLING], "POST"),
]


@pytest.mark.parametrize(("declared", "named"), MISSING)
@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_missing_entry_is_an_error_that_names_the_view(mount, call, prefix, declared, named):
    class Incomplete(View):
        required_permissions = declared

    mount(Incomplete.as_view())
    holder = MembershipFactory.create(role="owner")
    kwargs = {"user": holder.user} if prefix == "csu" else {"organization": holder.organization}
    _, raw_key = make_key(prefix, **kwargs)

    with pytest.raises(ImproperlyConfigured, match=rf"^tests\..*Incomplete\.required_permissions .* for {named}\."):
        call("/", raw_key, method="post")


def test_missing_entry_passes_not_even_a_superuser(mount, call):
    class Incomplete(View):
        required_permissions = {"GET": BILLING}

    mount(Incomplete.as_view())
    organization = MembershipFactory.create().organization
    superuser = UserFactory.create(is_superuser=True)

    assert call("/", user=superuser, x_organization=organization.slug).status_code == HTTPStatus.OK
    with pytest.raises(ImproperlyConfigured, match="Incomplete"):
        call("/", user=superuser, x_organization=organization.slug, method="delete")


def test_missing_action_is_named(mount, call, keys):
    class Incomplete(Actions):
        required_permissions = {"list": BILLING}

    router = SimpleRouter()
    router.register("actions", Incomplete, basename="actions")
    mount(*router.urls)

    with pytest.raises(ImproperlyConfigured, match=r"Incomplete\.required_permissions .* for archive\."):
        call("/actions/archive/", keys["owner"], method="post")


def test_functions_say_it_with_a_decorator(mount, who_may):
    @required_permissions({"GET": BILLING, "POST": CONTRIBUTE})
    @api_view(["GET", "POST"])
    @permission_classes([HasOrganizationPermission])
    def function(request):
        return Response()

    mount(function)
    assert who_may("get") == NOT_EDITOR
    assert who_may("post") == NOT_BILLING


def test_decorator_below_the_one_that_makes_the_view_is_an_error():
    """The permissions would be ignored, and every member would have access."""
    with pytest.raises(TypeError, match=r"^Put @required_permissions above @api_view: .*function is not a view yet\. "):

        @api_view(["GET"])
        @required_permissions(BILLING)
        def function(request):
            return Response()


def test_decorator_without_a_permission_is_an_error():
    with pytest.raises(TypeError, match="takes a permission"):

        @required_permissions  # type: ignore[arg-type]
        @api_view(["GET"])
        def function(request):
            return Response()


def test_decorator_on_a_class(mount, who_may):
    mount(required_permissions(BILLING)(type("Decorated", (View,), {})).as_view())  # type: ignore[attr-defined]

    assert who_may("get") == NOT_EDITOR


def test_functions_without_a_word_have_the_defaults(mount, who_may):
    @api_view(["GET", "POST"])
    @permission_classes([HasOrganizationPermission])
    def function(request):
        return Response()

    mount(function)
    assert who_may("get") == ALL
    assert who_may("post") == NOT_BILLING


def test_routes_under_a_prefix(mount, who_may):
    mount(path("api/", include(ACTIONS_ROUTER.urls)))

    assert who_may("get", "/api/actions/") == NOT_EDITOR
