from __future__ import annotations

import pytest
from django.core.checks import ERROR, WARNING
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response

from closient_auth.decorators import publishable, required_permissions
from closient_auth.permissions import HasOrganizationPermission
from tests.checks.views import BILLING, HERE, VIEW, ChoosingView, PermissionView, PlainView, extend, routes


def found(messages):
    # Django stores the checks in a set, so their order varies.
    return sorted((message.level, message.id.removeprefix("closient_auth."), message.msg) for message in messages)


@pytest.mark.parametrize(
    "permissions", [VIEW, BILLING, {"get": VIEW, "post": BILLING}, {"GET": VIEW, "POST": VIEW}, None]
)
def test_complete_declaration(run, mount, permissions):
    mount(extend(PermissionView, "View", required_permissions=permissions).as_view())

    assert run() == []


def test_method_that_is_missing(find, mount):
    mount(extend(PermissionView, "Half", required_permissions={"get": VIEW}).as_view())

    message = find("E007")
    assert message.level == ERROR
    assert message.msg == f"required_permissions should name a permission for POST in: {HERE}.Half."
    assert "500" in message.hint


def test_actions_that_are_missing(run, mount):
    """Each action is reported once for all routes. Actions with their own permission classes are skipped."""
    mount(*routes())

    assert found(run()) == [
        (WARNING, "W003", f"The permission classes should not be empty in: {HERE}.Reports.forgotten."),
        (ERROR, "E007", f"required_permissions should name a permission for destroy in: {HERE}.Reports."),
        (ERROR, "E007", f"required_permissions should name a permission for publish in: {HERE}.Reports."),
    ]


def test_complete_viewset(run, mount):
    permissions = {"list": VIEW, "destroy": BILLING, "publish": BILLING}
    mount(*routes(required_permissions=permissions, forgotten=None))

    assert run() == []


def test_function_view(run, mount):
    @required_permissions({"GET": VIEW})
    @api_view(["GET", "POST"])
    @permission_classes([IsAuthenticated & HasOrganizationPermission])
    def report(request):
        return Response()

    mount(report)

    msg = f"required_permissions should name a permission for POST in: {__name__}.report."
    assert found(run()) == [(ERROR, "E007", msg)]


def test_permission_that_nobody_can_have(find, run, mount, settings):
    mount(extend(PermissionView, "Typo", required_permissions="organization.manage_biling").as_view())

    message = find("E008")
    own = "Add your own to CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS']."
    assert (message.level, message.hint) == (ERROR, f"Did you mean '{BILLING}'? {own}")
    assert message.msg == (
        f"required_permissions names 'organization.manage_biling', which is not a known permission, in: {HERE}.Typo."
    )

    mount(PermissionView.as_view())
    assert run() == []


def test_permission_of_the_host(find, run, mount, settings):
    mount(extend(PermissionView, "Offers", required_permissions={"get": VIEW, "post": "offers.publish"}).as_view())
    find("E008")

    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"owner": ["offers.publish"]}}
    assert run() == []


def test_settings_come_first(find, mount, settings):
    mount(extend(PermissionView, "Typo", required_permissions="organization.manage_biling").as_view())
    settings.CLOSIENT_AUTH = []

    find("E002")


def test_declaration_as_an_argument(find, mount):
    cls = extend(PermissionView, "Shared", required_permissions=None)
    mount(cls.as_view(), cls.as_view(required_permissions={"get": VIEW}))

    assert find("E007").msg == f"required_permissions should name a permission for POST in: {HERE}.Shared."


def test_declaration_that_nobody_reads(find, mount):
    """The default permission admits every credential."""
    cls = extend(PlainView, "Inert", required_permissions=BILLING)
    mount(
        cls.as_view(),
        PermissionView.as_view(),
        extend(cls, "Public", permission_classes=[AllowAny]).as_view(),
        extend(cls, "Browser", authentication_classes=[SessionAuthentication]).as_view(),
    )

    message = find("W005")
    assert message.level == WARNING
    assert message.msg == f"required_permissions is not read by any permission class in: {HERE}.Inert."


@pytest.mark.parametrize("declared", [property(lambda view: view.request.nothing), None])
def test_what_only_a_request_can_tell(run, mount, declared):
    mount(extend(PermissionView, "Later", required_permissions=declared).as_view())

    assert run() == []


def test_view_that_chooses_its_permission_classes(find, mount):
    """Another permission class may cover a missing action, but a misspelt permission is always wrong."""
    permissions = {"get": "organization.manage_biling"}
    mount(extend(ChoosingView, "Choosing", required_permissions=permissions).as_view())

    find("E008")


@pytest.mark.parametrize("name", ["remove", "Get", 7])
def test_name_that_is_no_action_or_method(find, mount, name):
    permissions = {"list": VIEW, "destroy": BILLING, "publish": BILLING, name: BILLING}
    mount(*routes(required_permissions=permissions, forgotten=None))

    message = find("W013")
    assert (message.level, message.msg) == (
        WARNING,
        f"required_permissions names {name!r}, which is not an action or method of the view, in: {HERE}.Reports.",
    )


@pytest.mark.parametrize("names", [["get", "post"], ["GET", "POST", "DELETE"], ["get", "post", "options", "patch"]])
def test_methods_of_views_that_share_a_mapping(run, mount, names):
    cls = extend(PermissionView, "Shared", required_permissions=dict.fromkeys(names, VIEW))
    mount(cls.as_view())

    assert run() == []


def test_publishable_view_that_needs_more(find, run, mount):
    """Only reading counts, because publishable keys can never write."""
    cls = extend(PermissionView, "Prices", required_permissions={"get": BILLING, "post": BILLING})
    mount(cls.as_view())
    assert run() == []

    mount(publishable(cls).as_view())
    message = find("W014")
    assert (message.level, message.msg) == (WARNING, f"GET is @publishable but needs '{BILLING}' in: {HERE}.Prices.")

    mount(cls.as_view(required_permissions={"get": VIEW, "post": BILLING}))
    assert run() == []


def test_publishable_action_that_needs_more(find, mount):
    permissions = {"list": BILLING, "destroy": BILLING, "publish": BILLING}
    mount(*routes(required_permissions=permissions, forgotten=None, list=publishable(lambda view, request: None)))

    assert find("W014").msg == f"list is @publishable but needs '{BILLING}' in: {HERE}.Reports."


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("required_permission", {"get": BILLING}, "required_permissions"),
        ("required_permission", BILLING, "required_permissions"),
        ("organisation_field", "project__organization", "organization_field"),
    ],
)
def test_attribute_that_is_misspelt(find, mount, name, value, meant):
    """The view also has the correct attribute, and the misspelt one may be meant to override it."""
    view = extend(PermissionView, "Typo", required_permissions=VIEW, **{name: value})
    mount(view.as_view(), view.as_view())

    message = find("W017")
    assert (message.level, message.hint) == (WARNING, f"Did you mean {meant!r}?")
    assert message.msg == f"{name} is not read by HasOrganizationPermission or OrganizationMixin in: {HERE}.Typo."


@pytest.mark.parametrize(
    ("cls", "attributes"),
    [
        (PermissionView, {"required_permissions": VIEW, "organization_field": "organization"}),
        (PermissionView, {"get_required_permissions": lambda view: VIEW, "permissions": VIEW}),
        (PlainView, {"permission_classes": [IsAuthenticated], "required_permission": VIEW}),
    ],
)
def test_attributes_that_are_not(run, mount, cls, attributes):
    mount(extend(cls, "View", **attributes).as_view())

    assert run() == []
