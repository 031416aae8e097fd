from __future__ import annotations

from functools import partial

import pytest
from django.core.checks import ERROR, WARNING
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import (
    AllowAny,
    DjangoObjectPermissions,
    IsAdminUser,
    IsAuthenticated,
)
from rest_framework.views import APIView

from closient_auth.permissions import HasOrganizationPermission, SessionOnly
from tests.checks.views import HERE, ChoosingView, PermissionView, PlainView, SilentView, silent_view


def test_views_without_permission_classes(find, mount):
    mount(
        SilentView.as_view(),
        silent_view,
        PlainView.as_view(permission_classes=()),
        ChoosingView.as_view(),
        PlainView.as_view(permission_classes=[AllowAny]),
        PlainView.as_view(),
    )

    message = find("W003")
    assert message.level == WARNING
    assert message.msg.endswith(f" in: {HERE}.PlainView, {HERE}.SilentView, {HERE}.silent_view.")


def test_views_without_permission_classes_where_no_keys_are(run, mount, rest_framework):
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=["rest_framework.authentication.SessionAuthentication"])
    mount(SilentView.as_view(authentication_classes=[SessionAuthentication]))

    assert [message.id for message in run()] == ["closient_auth.W012"]


@pytest.mark.parametrize(
    "permission",
    [
        IsAdminUser,
        DjangoObjectPermissions,
        HasOrganizationPermission & IsAdminUser,
        IsAdminUser | HasOrganizationPermission,
        IsAuthenticated & (IsAdminUser | HasOrganizationPermission),
        ~IsAdminUser,
    ],
    ids=["IsAdminUser", "DjangoObjectPermissions", "and", "or", "nested", "not"],
)
def test_staff_permission_beside_keys(find, mount, permission):
    mount(
        PlainView.as_view(permission_classes=[IsAuthenticated, permission]),
        PermissionView.as_view(authentication_classes=[SessionAuthentication], permission_classes=[permission]),
    )

    message = find("W004")
    assert (message.level, message.msg.partition(": ")[2]) == (WARNING, f"{HERE}.PlainView.")


@pytest.mark.parametrize(
    "permission",
    [
        ~HasOrganizationPermission,
        IsAuthenticated & ~HasOrganizationPermission,
        ~(IsAuthenticated & HasOrganizationPermission),
        IsAuthenticated | ~HasOrganizationPermission,
    ],
    ids=["alone", "and", "around and", "or"],
)
def test_organization_permission_inverted(find, mount, permission):
    mount(PlainView.as_view(permission_classes=[permission]), PermissionView.as_view())

    message = find("E010")
    assert (message.level, message.msg.partition(": ")[2]) == (ERROR, f"{HERE}.PlainView.")


@pytest.mark.parametrize(
    ("permission", "ids"),
    [
        (IsAuthenticated | HasOrganizationPermission, []),
        (HasOrganizationPermission & IsAuthenticated, []),
        (~IsAuthenticated | HasOrganizationPermission, []),
        (HasOrganizationPermission | IsAuthenticated, ["W010"]),
        ((IsAuthenticated & HasOrganizationPermission) | AllowAny, ["W010"]),
        (IsAuthenticated & (HasOrganizationPermission | AllowAny), ["W010"]),
    ],
)
def test_organization_permission_before_another(run, mount, permission, ids):
    mount(PlainView.as_view(permission_classes=[permission]), PermissionView.as_view())

    assert [(message.level, message.id) for message in run()] == [(WARNING, f"closient_auth.{id}") for id in ids]


def test_permission_that_is_no_class(run, mount):
    """REST framework calls each item of the list, so it need not be a class."""
    mount(PlainView.as_view(permission_classes=[partial(IsAuthenticated)]))

    assert run() == []


def test_staff_permission_by_default(find, mount, rest_framework):
    rest_framework(DEFAULT_PERMISSION_CLASSES=["rest_framework.permissions.IsAdminUser"])
    mount()

    assert find("W004").msg.endswith(" in: REST_FRAMEWORK['DEFAULT_PERMISSION_CLASSES'].")


def test_staff_permission_by_default_where_no_keys_are(run, mount, rest_framework):
    rest_framework(
        DEFAULT_AUTHENTICATION_CLASSES=["rest_framework.authentication.SessionAuthentication"],
        DEFAULT_PERMISSION_CLASSES=["rest_framework.permissions.IsAdminUser"],
    )
    mount(PermissionView.as_view())

    assert run() == []


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        ([SessionOnly], True),
        ([IsAuthenticated | SessionOnly], True),
        ([SessionOnly, HasOrganizationPermission], False),
        ([IsAuthenticated & SessionOnly], False),
        ([AllowAny, SessionOnly], False),
    ],
    ids=["alone", "or", "list", "and", "public"],
)
def test_session_only_admits_everybody_without_a_key(run, mount, classes, found):
    class View(APIView):
        permission_classes = classes

    mount(View.as_view())

    assert [message.id for message in run()] == ["closient_auth.W026"] * found
