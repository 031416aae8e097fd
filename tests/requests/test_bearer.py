"""Keys in ``Authorization: Bearer``, with the setting ``ACCEPT_BEARER``."""

from __future__ import annotations

import sys
from http import HTTPStatus

import pytest
from django.contrib.auth import get_user_model
from django.http import JsonResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIClient

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.contrib.django import organization_permission_required
from closient_auth.core import credentials
from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey
from tests.factories import UserFactory, make_key
from tests.views import OpenWhoView, WhoView

pytestmark = pytest.mark.django_db


class JWTAuthentication(BaseAuthentication):
    """Stand in for the bearer tokens of another package."""

    def authenticate(self, request):
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if token != "eyJhbGciOiJI.e30.c2ln":
            raise AuthenticationFailed("This is not a JWT.")
        return get_user_model().objects.get(username="jwt"), token


@pytest.fixture
def accept(settings):
    settings.CLOSIENT_AUTH = {"ACCEPT_BEARER": True}


@pytest.fixture
def jwt(mount):
    """Serve a view that also takes the bearer tokens of another class, and return their user."""
    mount(WhoView.as_view(authentication_classes=[ApiKeyAuthentication, JWTAuthentication]))
    return UserFactory.create(username="jwt")


@pytest.mark.usefixtures("accept")
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer   "])
@pytest.mark.parametrize("prefix", ["csb", "csu", "cpk"])
def test_key_in_the_bearer_token(call, mount, scheme, prefix):
    mount(OpenWhoView.as_view())
    api_key, raw_key = make_key(prefix)

    response = call("/", authorization=scheme + raw_key)

    assert (response.status_code, response.json()["key"]) == (HTTPStatus.OK, str(api_key.pk))
    assert response["Cache-Control"] == "private, no-store"
    assert {"X-API-Key", "Authorization"} <= set(response["Vary"].split(", "))
    assert response["RateLimit-Limit"]


@pytest.mark.usefixtures("accept")
def test_key_in_the_bearer_token_of_a_django_view(call, mount):
    mount(organization_permission_required()(lambda request: JsonResponse({"user": str(request.user.pk)})))
    api_key, raw_key = make_key("csb")

    response = call("/", authorization=f"Bearer {raw_key}")

    assert response.status_code == HTTPStatus.OK
    assert response["Cache-Control"] == "private, no-store"
    assert {"X-API-Key", "Authorization", "X-Organization"} <= set(response["Vary"].split(", "))
    assert ApiKey.objects.get(pk=api_key.pk).last_used is not None


@pytest.mark.usefixtures("accept")
def test_other_bearer_token_is_left_to_the_next_class(call, jwt):
    response = call("/", authorization="Bearer eyJhbGciOiJI.e30.c2ln")

    assert (response.status_code, response.json()) == (HTTPStatus.OK, {"user": str(jwt.pk), "key": None})
    # A cache must not serve the response of one token to another.
    assert {"X-API-Key", "Authorization"} <= set(response["Vary"].split(", "))


@pytest.mark.usefixtures("accept")
@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer csb",
        "Bearer CSB_{0}",
        "Bearer xcsb_{0}",
        "Bearer",
        "Basic {0}",
        "Token {0}",
        "{0}",
        "XBearer {0}",
    ],
)
def test_other_credential_is_not_read(call, mount, authorization):
    mount(WhoView.as_view(authentication_classes=[ApiKeyAuthentication]))
    _, raw_key = make_key("csb")

    response = call("/", authorization=authorization.format(raw_key))

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.json() == {"detail": "Authentication credentials were not provided."}


@pytest.mark.usefixtures("accept")
@pytest.mark.parametrize(
    "token",
    [
        "csb_",
        "csu_junk",
        "{0} ",
        "{0}x",
        "{0},{0}",
        "{0} {0}",
        "{0}, Bearer {0}",
        "cpk_AbCdEfGhIjKlMnOpQrStUvWxYz_1a2b3c4d",
    ],
)
def test_token_that_begins_like_a_key_is_never_left_to_another_class(call, jwt, token):
    _, raw_key = make_key("csb")
    client = APIClient()
    client.force_login(jwt)

    response = call("/", authorization=f"Bearer {token.format(raw_key)}", client=client)

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.json() == {"detail": "Invalid API key.", "code": "invalid_api_key"}
    assert response["WWW-Authenticate"] == "ApiKey"
    assert response["Cache-Control"] == "private, no-store"


def unknown():
    return generate_api_key("csb")


def revoked():
    api_key, raw_key = make_key("csb")
    api_key.revoke()
    return raw_key


@pytest.mark.usefixtures("accept")
@pytest.mark.parametrize("make", [unknown, revoked])
def test_invalid_key_never_falls_back_to_a_session(call, make):
    client = APIClient()
    client.force_login(UserFactory.create())

    response = call("/who/", authorization=f"Bearer {make()}", client=client)

    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.json()["code"] == "invalid_api_key"


@pytest.mark.usefixtures("accept")
def test_one_key_in_both_headers(call):
    api_key, raw_key = make_key("csb")

    response = call("/who/", raw_key, authorization=f"bearer {raw_key}")

    assert (response.status_code, response.json()["key"]) == (HTTPStatus.OK, str(api_key.pk))


@pytest.mark.usefixtures("accept")
def test_two_keys_are_refused(call):
    (first, first_key), (second, second_key) = make_key("csb"), make_key("csb")

    for pair in [(first_key, second_key), (second_key, first_key), (first_key, "csb_junk"), ("", first_key)]:
        response = call("/who/", pair[0], authorization=f"Bearer {pair[1]}")
        assert response.status_code == HTTPStatus.UNAUTHORIZED
        assert response.json()["code"] == "invalid_api_key"
    assert not ApiKey.objects.filter(pk__in=[first.pk, second.pk], last_used__isnull=False).exists()


@pytest.mark.usefixtures("accept")
def test_key_header_decides_beside_another_bearer_token(call, jwt):
    api_key, raw_key = make_key("csb")

    response = call("/", raw_key, authorization="Bearer eyJhbGciOiJI.e30.c2ln")

    assert response.json()["key"] == str(api_key.pk)


@pytest.mark.parametrize("value", [None, False])
def test_setting_is_off_by_default(call, jwt, settings, value):
    settings.CLOSIENT_AUTH = {} if value is None else {"ACCEPT_BEARER": value}
    api_key, raw_key = make_key("csb")

    response = call("/", authorization=f"Bearer {raw_key}")

    # The next class decides.
    assert (response.status_code, response.json()) == (HTTPStatus.UNAUTHORIZED, {"detail": "This is not a JWT."})
    assert "Authorization" not in response["Vary"]
    response = call("/", raw_key, authorization="Bearer csb_junk")
    assert response.json()["key"] == str(api_key.pk)
    assert "Authorization" not in response["Vary"]


@pytest.mark.usefixtures("accept")
@pytest.mark.parametrize(
    "name", ["hash_api_key", "verify_api_key", "find_and_record_use", "_has_bearer_key", "_get_presented"]
)
def test_error_report_has_no_key(call, error_reports, monkeypatch, name):
    _, raw_key = make_key("csb")
    original = getattr(credentials, name)

    def fail(*args):
        original(*args)
        raise MemoryError("injected")

    monkeypatch.setattr(credentials, name, fail)
    response = call("/who/", authorization=f"Bearer {raw_key}", client=APIClient(raise_request_exception=False))

    assert response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    (report,) = error_reports
    assert "MemoryError: injected" in report
    assert raw_key[4:36] not in report


@pytest.mark.usefixtures("accept")
def test_no_line_of_the_credentials_shows_the_key(call, error_reports):
    """Raise an error in place of each line that runs in the module."""
    _, raw_key = make_key("csb")
    client = APIClient(raise_request_exception=False)
    places: dict[tuple[str, int], None] = {}

    def run(fault):
        def trace_line(frame, event, argument):
            if event == "line":
                place = (frame.f_code.co_name, frame.f_lineno)
                if fault is None:
                    places[place] = None
                elif place == fault:
                    raise MemoryError("injected")
            return trace_line

        def trace(frame, event, argument):
            return trace_line if frame.f_code.co_filename == credentials.__file__ else None

        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            return call("/who/", authorization=f"Bearer {raw_key}", client=client)
        finally:
            sys.settrace(previous)

    # The first request of a process fills caches and runs more lines.
    call("/who/", authorization=f"Bearer {raw_key}", client=client)
    assert run(None).status_code == HTTPStatus.OK
    assert {"has_key", "_has_bearer_key", "hash_presented_key", "_get_presented"} <= {
        function for function, _ in places
    }
    for place in list(places):
        assert run(place).status_code == HTTPStatus.INTERNAL_SERVER_ERROR
        assert "MemoryError: injected" in error_reports[-1]
        assert raw_key[4:36] not in error_reports[-1], place
    assert len(error_reports) == len(places)
