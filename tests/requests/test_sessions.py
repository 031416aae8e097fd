"""Session login together with keys: CSRF protection applies, and an invalid key does not fall back to the session."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.middleware.csrf import get_token
from django.urls import path
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.test import APIClient

from tests.factories import UserFactory, make_key
from tests.views import WhoView

pytestmark = pytest.mark.django_db


@api_view(["GET"])
@permission_classes([AllowAny])
def token_view(request):
    return Response(get_token(request._request))


@pytest.fixture
def browser(mount):
    """Return a client with a session and with CSRF protection, as in production."""
    mount(path("who/", WhoView.as_view()), path("token/", token_view))
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(UserFactory.create())
    return client


def test_session_may_read_without_a_token(browser, call):
    assert call("/who/", client=browser).status_code == HTTPStatus.OK


def test_session_may_not_write_without_a_token(browser, call):
    response = call("/who/", client=browser, method="post")

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert response.json()["detail"].startswith("CSRF Failed")


def test_session_writes_with_a_token(browser, call):
    token = call("/token/", client=browser).json()

    assert call("/who/", client=browser, method="post", x_csrftoken=token).status_code == HTTPStatus.OK


def test_good_key_writes_without_a_token(browser, call):
    api_key, raw_key = make_key("csb")

    response = call("/who/", raw_key, client=browser, method="post")

    assert response.json()["key"] == str(api_key.pk)


@pytest.mark.parametrize("raw_key", ["", "junk", "csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_1a2b3c4d"])
def test_bad_key_switches_no_check_off(browser, call, raw_key):
    response = call("/who/", raw_key, client=browser, method="post")

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.json()["code"] == "invalid_api_key"


def test_refused_publishable_key_does_not_fall_through(browser, call):
    _, raw_key = make_key("cpk")

    assert call("/who/", raw_key, client=browser).json()["code"] == "publishable_key_refused"
