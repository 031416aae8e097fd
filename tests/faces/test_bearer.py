"""Keys in ``Authorization: Bearer`` (RFC 6750), with ``ACCEPT_BEARER``."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from closient_auth.keys import generate_api_key
from tests.faces.test_headers import get_vary, is_private
from tests.factories import make_key

pytestmark = pytest.mark.django_db

OTHER_TOKEN = "Bearer eyJhbGciOiJIUzI1NiJ9.e30.signature"


@pytest.fixture
def bearer(settings):
    settings.CLOSIENT_AUTH = {"ACCEPT_BEARER": True}


@pytest.mark.usefixtures("bearer")
def test_key_as_bearer_token(send, acme, editor):
    for prefix in ("csb", "csu", "cpk"):
        api_key, raw_key = make_key(prefix, **({"user": editor} if prefix == "csu" else {"organization": acme}))
        for scheme in ("Bearer", "bearer"):
            response = send("/open/", authorization=f"{scheme} {raw_key}")
            assert (response.status_code, response.json()["keys"]) == (HTTPStatus.OK, [str(api_key.pk)])
            assert {"x-api-key", "authorization"} <= get_vary(response)
            assert is_private(response)


@pytest.mark.usefixtures("bearer")
def test_bad_key_as_bearer_token(send, editor):
    api_key, revoked = make_key("csb")
    api_key.revoke()

    for token in (revoked, "csb_", "cpk_junk", generate_api_key("csu")):
        response = send("/view/", user=editor, authorization=f"Bearer {token}")
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "invalid_api_key")
        assert "authorization" in get_vary(response)
        assert is_private(response)


@pytest.mark.usefixtures("bearer")
def test_other_tokens_are_left_to_other_classes(send, editor):
    for authorization in (OTHER_TOKEN, "Bearer", "Bearer ", "Basic Y3NiOg==", "Token csb_junk"):
        response = send("/view/", authorization=authorization)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "not_authenticated")
        assert "authorization" in get_vary(response)
        assert send("/view/", authorization=authorization, user=editor).json()["users"] == [str(editor.pk)]


@pytest.mark.usefixtures("bearer")
def test_two_credentials(send, acme):
    api_key, raw_key = make_key("csb", organization=acme)
    _, second = make_key("csb", organization=acme)

    for one, other in [(raw_key, second), ("junk", raw_key), (raw_key, "csb_junk")]:
        response = send("/view/", one, authorization=f"Bearer {other}")
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "invalid_api_key")
    for authorization in (f"Bearer {raw_key}", OTHER_TOKEN):
        assert send("/view/", raw_key, authorization=authorization).json()["keys"] == [str(api_key.pk)]


def test_setting_is_off_by_default(send, acme, editor):
    _, raw_key = make_key("csb", organization=acme)

    response = send("/view/", authorization=f"Bearer {raw_key}")

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "not_authenticated")
    assert "authorization" not in get_vary(response)
    assert send("/view/", authorization=f"Bearer {raw_key}", user=editor).json()["users"] == [str(editor.pk)]
