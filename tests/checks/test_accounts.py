"""Views that look like account views and accept API keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.checks import WARNING
from django.urls import include, path
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import RetrieveAPIView, UpdateAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.viewsets import GenericViewSet

from closient_auth.permissions import SessionOnly
from tests.checks.views import PlainView, extend

HERE = "tests.checks.test_accounts"
User = get_user_model()


class PasswordSerializer(serializers.Serializer[Any]):
    new_password = serializers.CharField(write_only=True)


class ProfileSerializer(serializers.ModelSerializer[Any]):
    class Meta:
        model = User
        fields = ["id", "email"]


class NameSerializer(serializers.ModelSerializer[Any]):
    class Meta:
        model = User
        fields = ["id", "first_name", "last_name"]


class ReadOnlySerializer(ProfileSerializer):
    class Meta(ProfileSerializer.Meta):
        read_only_fields = ["email"]


class ContactSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField()


class UpdateView(UpdateAPIView[Any]):
    queryset = User.objects.all()
    serializer_class: Any = PasswordSerializer


class AccountViewSet(GenericViewSet[Any]):
    queryset = User.objects.all()
    serializer_class = NameSerializer

    def set_password(self, request):
        raise NotImplementedError

    def me(self, request):
        raise NotImplementedError


def view(name, **attributes):
    return extend(PlainView, name, **attributes).as_view()


CLASSES = ["ChangePassword", "PasswordChangeView", "TOTPDeviceView", "TwoFactorView", "MFASetup", "PasskeyRegistration"]
CLASSES += [
    "ChangeEmailView",
    "EmailChangeView",
    "EmailVerification",
    "RecoveryCodes",
    "DeleteAccount",
    "AuthTokenView",
]
ROUTES = ["me/password/", "me/2fa/", "api/auth-token/", "me/change-email/", "token/refresh/", "<int:pk>/set_password/"]


@pytest.mark.parametrize("name", CLASSES)
def test_class_of_an_account(find, mount, name):
    mount(view(name))

    message = find("W024")

    assert message.level == WARNING
    assert message.msg == f"API keys should not be accepted by views that change an account: tests.checks.views.{name}."
    assert "SessionOnly" in message.hint
    assert "SESSION_ONLY_VIEWS" in message.hint


@pytest.mark.parametrize("route", ROUTES)
def test_route_of_an_account(find, mount, route):
    mount(path("users/", include([path(route, view("View"))])))

    find("W024")


@pytest.mark.parametrize("cls", [PasswordSerializer, ProfileSerializer])
def test_serializer_of_an_account(find, mount, cls):
    mount(extend(UpdateView, "View", serializer_class=cls).as_view())

    assert find("W024").msg.endswith(": tests.checks.views.View.")


def test_action_of_an_account(find, mount):
    mount(AccountViewSet.as_view({"post": "set_password"}), AccountViewSet.as_view({"post": "me"}))

    find("W024")


def test_views_of_something_else(run, mount):
    mount(
        *(view(name) for name in ("TokenList", "EmailList", "Accounts", "OptionsView", "LoginView", "PassView")),
        path("device-tokens/", view("View")),
        path("emails/", view("View")),
        path("desktop/options/", view("View")),
        UpdateView.as_view(serializer_class=NameSerializer),
        UpdateView.as_view(serializer_class=ReadOnlySerializer),
        UpdateView.as_view(serializer_class=ContactSerializer),
        AccountViewSet.as_view({"post": "me"}),
    )

    assert run() == []


def test_views_that_a_key_cannot_use(run, mount, settings):
    mount(
        view("PasswordReset", permission_classes=[AllowAny]),
        view("PasswordSession", authentication_classes=[SessionAuthentication]),
        view("PasswordOnly", permission_classes=[IsAuthenticated, SessionOnly]),
        view("PasswordOnlyToo", permission_classes=[IsAuthenticated & SessionOnly]),
        # These only read.
        extend(RetrieveAPIView, "PasswordPolicy").as_view(queryset=User.objects.all()),
        path("passwords/", AccountViewSet.as_view({"get": "me"})),
    )

    assert run() == []


def test_views_that_refuse_keys_by_their_module(find, run, mount, settings):
    mount(view("ChangePassword"))
    find("W024")

    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": ["tests.checks"]}
    assert run() == []
