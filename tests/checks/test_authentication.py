from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import ERROR, WARNING
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.throttling import ApiKeyRateThrottle

API_KEY = "closient_auth.authentication.ApiKeyAuthentication"
SESSION = "rest_framework.authentication.SessionAuthentication"
ALLOW_ANY = "rest_framework.permissions.AllowAny"
HERE = "tests.checks.test_authentication"
IS_AUTHENTICATED = "rest_framework.permissions.IsAuthenticated"


class CustomKeyAuthentication(ApiKeyAuthentication):
    pass


class CustomThrottle(ApiKeyRateThrottle):
    pass


class JudgesObjects(BasePermission):
    def has_object_permission(self, request, view, obj):
        return False


ANYBODY_OR_USERS = IsAuthenticated | AllowAny
ANYBODY_WHO_IS_A_USER = AllowAny & IsAuthenticated
NOBODY = ~AllowAny


class KeyView(APIView):
    authentication_classes = [ApiKeyAuthentication]


class SessionView(APIView):
    authentication_classes = [SessionAuthentication]
    throttle_classes = []


class LateKeyView(APIView):
    authentication_classes = [SessionAuthentication, ApiKeyAuthentication]


class CustomKeyView(APIView):
    authentication_classes = [CustomKeyAuthentication, ApiKeyAuthentication, SessionAuthentication]
    throttle_classes = [AnonRateThrottle, CustomThrottle]


class UnlimitedView(APIView):
    throttle_classes = [AnonRateThrottle]


class UnlimitedPublicView(UnlimitedView):
    permission_classes = [AllowAny]


class ChoosingView(APIView):
    """Choose the throttles on each request, so no check can know them."""

    throttle_classes = []

    def get_throttles(self):
        return [ApiKeyRateThrottle()]


@pytest.mark.parametrize(
    ("classes", "ids"),
    [([API_KEY, SESSION], []), ([SESSION, API_KEY], ["W001"]), ([f"{HERE}.CustomKeyAuthentication"], [])],
)
def test_default_order(run, mount, rest_framework, classes, ids):
    mount()
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=classes)

    messages = run()
    assert [(message.level, message.id) for message in messages] == [(WARNING, f"closient_auth.{id}") for id in ids]
    for message in messages:
        assert message.msg.endswith(": REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES'].")


def test_order_on_views(find, mount, rest_framework):
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=[SESSION])
    mount(LateKeyView.as_view(), KeyView.as_view(), SessionView.as_view(), CustomKeyView.as_view())

    message = find("W001")
    assert message.msg == f"ApiKeyAuthentication should be the first authentication class in: {HERE}.LateKeyView."
    assert "WWW-Authenticate" in message.hint


def test_keys_that_nothing_takes(run, find, mount, rest_framework):
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=[SESSION])
    mount(SessionView.as_view())
    message = find("W012")
    assert (message.level, message.msg) == (
        WARNING,
        "ApiKeyAuthentication is not used by any view, so API keys are not accepted anywhere.",
    )
    assert f"'{API_KEY}'" in message.hint

    mount(SessionView.as_view(), KeyView.as_view())
    assert run() == []


def test_keys_that_a_view_may_take(run, mount, rest_framework):
    """A view that chooses its authenticators on each request may include keys."""
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=[SESSION])
    cls: Any = type("Choosing", (SessionView,), {"get_authenticators": lambda view: [ApiKeyAuthentication()]})
    mount(cls.as_view())

    assert run() == []


def test_keys_that_nothing_takes_in_a_host_without_views(find, settings):
    """A project that has just installed the app has REST framework's own defaults."""
    settings.ROOT_URLCONF = None
    settings.REST_FRAMEWORK = {}

    find("W012")


def test_view_that_authenticates_by_nothing(run, mount):
    mount(KeyView.as_view(authentication_classes=[]))

    assert run() == []


@pytest.mark.parametrize(
    ("classes", "ids"),
    [
        ([], ["E006"]),
        ([ALLOW_ANY], ["E006"]),
        ([ALLOW_ANY, IS_AUTHENTICATED], []),
        ([IS_AUTHENTICATED], []),
        ([f"{HERE}.JudgesObjects"], ["E006"]),
        ([f"{HERE}.ANYBODY_OR_USERS"], ["E006"]),
        ([f"{HERE}.ANYBODY_WHO_IS_A_USER"], []),
        ([f"{HERE}.NOBODY"], []),
    ],
)
def test_default_permission(run, mount, rest_framework, classes, ids):
    mount()
    rest_framework(DEFAULT_PERMISSION_CLASSES=classes)

    messages = run()
    assert [(message.level, message.id) for message in messages] == [(ERROR, f"closient_auth.{id}") for id in ids]


def test_default_permission_of_rest_framework_itself(find, mount, settings):
    """The default is ``AllowAny``, so a project without the setting is reported too."""
    mount()
    settings.REST_FRAMEWORK = {
        name: value for name, value in settings.REST_FRAMEWORK.items() if name != "DEFAULT_PERMISSION_CLASSES"
    }

    assert "IsAuthenticated" in find("E006").hint


def test_open_default_matters_where_keys_are_taken(run, find, mount, rest_framework):
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=[SESSION], DEFAULT_PERMISSION_CLASSES=[ALLOW_ANY])
    mount(SessionView.as_view())
    assert [message.id for message in run()] == ["closient_auth.W012"]

    mount(SessionView.as_view(), KeyView.as_view())
    find("E006")


def test_default_throttle(find, mount, rest_framework):
    rest_framework(DEFAULT_THROTTLE_CLASSES=["rest_framework.throttling.AnonRateThrottle"])
    # The message should name the setting, not this view.
    mount(UnlimitedView.as_view())

    message = find("W002")
    assert message.level == WARNING
    assert message.hint.startswith("Add 'closient_auth.throttling.ApiKeyRateThrottle'.")
    assert message.msg == (
        "ApiKeyRateThrottle should be one of the throttle classes in: REST_FRAMEWORK['DEFAULT_THROTTLE_CLASSES']."
    )


def test_default_throttle_without_keys(run, mount, rest_framework):
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=[SESSION], DEFAULT_THROTTLE_CLASSES=[])
    mount(SessionView.as_view())

    assert [message.id for message in run()] == ["closient_auth.W012"]


def test_throttle_on_views(find, mount):
    mount(
        UnlimitedView.as_view(),
        KeyView.as_view(throttle_classes=()),
        KeyView.as_view(),
        UnlimitedPublicView.as_view(),
        CustomKeyView.as_view(),
        SessionView.as_view(),
        ChoosingView.as_view(),
    )

    assert find("W002").msg.endswith(f" in: {HERE}.KeyView, {HERE}.UnlimitedView.")


def test_class_that_cannot_be_imported_is_left_to_rest_framework(run, mount, rest_framework):
    mount()
    rest_framework(
        DEFAULT_AUTHENTICATION_CLASSES=["nowhere.Authentication"], DEFAULT_PERMISSION_CLASSES=["nowhere.Permission"]
    )

    assert run() == []


def test_class_in_place_of_a_list_is_left_to_rest_framework(run, mount, rest_framework):
    mount()
    rest_framework(DEFAULT_AUTHENTICATION_CLASSES=API_KEY, DEFAULT_PERMISSION_CLASSES=IS_AUTHENTICATED)

    assert run() == []
