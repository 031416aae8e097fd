"""``SESSION_ONLY_VIEWS`` names views by the modules of their classes."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from rest_framework.authtoken.views import ObtainAuthToken, obtain_auth_token
from rest_framework.decorators import api_view
from rest_framework.views import APIView

from closient_auth.core.session_only import is_session_only


def in_module(name: str, *bases: type) -> Any:
    return type("SomeView", bases or (APIView,), {"__module__": name})


def function(request):
    return HttpResponse()


class CallableView:
    def __call__(self, request):
        return HttpResponse()


change_password: Any = PasswordChangeView
token: Any = obtain_auth_token
KNOWN = [
    ObtainAuthToken,
    obtain_auth_token,
    csrf_exempt(token),
    functools.partial(token, flavour="sweet"),
    change_password,
    change_password.as_view(),
    type("HostView", (ObtainAuthToken,), {}),
    in_module("dj_rest_auth.views"),
    in_module("dj_rest_auth"),
    in_module("allauth.headless.account.views", View).as_view(),
]


@pytest.mark.parametrize("view", KNOWN, ids=map(str, range(len(KNOWN))))
def test_known_packages(view):
    assert is_session_only(view)


OTHERS = [
    APIView,
    APIView.as_view(),
    View.as_view(),
    function,
    functools.partial(function),
    CallableView(),
    api_view(["GET"])(function),
    type("HostView", (LoginRequiredMixin, View), {}),
    # These names only begin like those of a package.
    in_module("knoxville.views"),
    in_module("host.knox.views"),
    in_module("rest_framework.authtokens"),
    None,
]


@pytest.mark.parametrize("view", OTHERS, ids=map(str, range(len(OTHERS))))
def test_other_views(view):
    assert not is_session_only(view)


OWN = [function, functools.partial(function), csrf_exempt(function), CallableView(), CallableView, api_view()(function)]


@pytest.mark.parametrize("view", OWN, ids=map(str, range(len(OWN))))
@pytest.mark.parametrize("name", ["tests.test_session_only", "tests"])
def test_modules_of_the_project(settings, view, name):
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": [name]}

    assert is_session_only(view)
    # The setting replaces the default.
    assert not is_session_only(ObtainAuthToken)


@pytest.mark.parametrize("value", ["dj_rest_auth", ""])
def test_string_is_refused(settings, value):
    """Each letter would be a module, so no view would refuse keys."""
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": value}

    with pytest.raises(ImproperlyConfigured, match="should be a list of modules"):
        is_session_only(APIView)
