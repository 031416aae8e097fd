"""The checks do not complain about views of packages, or they name the setting that the project can change."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView
from rest_framework.authentication import SessionAuthentication
from rest_framework.authtoken.views import ObtainAuthToken, obtain_auth_token
from rest_framework.permissions import IsAdminUser
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView, TokenVerifyView

from closient_auth.authentication import ApiKeyAuthentication
from tests.checks.views import PlainView

API_KEY = "closient_auth.authentication.ApiKeyAuthentication"
SPECTACULAR: list[Any] = [SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView]


class HostTokenView(ObtainAuthToken):
    pass


class HostSchemaView(SpectacularAPIView):
    permission_classes = [IsAdminUser]


@pytest.fixture
def serve(monkeypatch):
    """Change the classes that ``SPECTACULAR_SETTINGS`` gives to the views when they are imported."""

    def serve(**attributes):
        for cls in SPECTACULAR:
            for name, value in attributes.items():
                monkeypatch.setattr(cls, name, value)
        return [cls.as_view() for cls in SPECTACULAR]

    return serve


@pytest.mark.parametrize(
    "authentication", [[API_KEY], [API_KEY, "rest_framework_simplejwt.authentication.JWTAuthentication"]]
)
def test_views_of_packages(run, mount, rest_framework, serve, authentication):
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=authentication)
    mount(
        path("authtoken/", obtain_auth_token),
        path("authtoken/host/", HostTokenView.as_view()),
        path("token/", TokenObtainPairView.as_view()),
        path("token/refresh/", TokenRefreshView.as_view()),
        path("token/verify/", TokenVerifyView.as_view()),
        *serve(),
        PlainView.as_view(),
    )

    assert run() == []


def test_keys_that_only_a_package_would_take(find, mount, rest_framework):
    """The views of ``SESSION_ONLY_VIEWS`` refuse keys, so no view accepts them."""
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=["rest_framework_simplejwt.authentication.JWTAuthentication"])
    mount(HostTokenView.as_view(authentication_classes=[JWTAuthentication, ApiKeyAuthentication]))

    find("W012")


def test_package_that_the_project_lets_accept_keys(run, mount, settings):
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": []}
    mount(obtain_auth_token)

    assert {message.id for message in run()} == {f"closient_auth.{id}" for id in ("W002", "W003", "W024")}


@pytest.mark.parametrize(
    ("attributes", "id", "setting"),
    [
        ({"authentication_classes": [SessionAuthentication, ApiKeyAuthentication]}, "W001", "SERVE_AUTHENTICATION"),
        (
            {"throttle_classes": [], "permission_classes": [IsAdminUser & IsAdminUser]},
            "W002 W004",
            "SERVE_AUTHENTICATION",
        ),
        ({"permission_classes": []}, "W003", "SERVE_PERMISSIONS"),
        ({"permission_classes": [IsAdminUser]}, "W004", "SERVE_AUTHENTICATION"),
    ],
)
def test_spectacular_is_named_by_its_setting(run, mount, serve, attributes, id, setting):
    mount(*serve(**attributes))

    messages = run()

    assert {message.id.removeprefix("closient_auth.") for message in messages} == set(id.split())
    assert {message.msg.rpartition(": ")[2] for message in messages} == {f"SPECTACULAR_SETTINGS['{setting}']."}


def test_view_of_the_project_is_named_itself(find, mount):
    mount(HostSchemaView.as_view())

    assert find("W004").msg.endswith(": tests.checks.test_packages.HostSchemaView.")
