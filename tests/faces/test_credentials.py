"""The caller of a request: nobody, a key, a session, or a key beside a session."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.utils import timezone

from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey
from closient_auth.principals import OrganizationPrincipal
from tests.factories import MembershipFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db


def revoked():
    api_key, raw_key = make_key("csb")
    api_key.revoke()
    return raw_key


BAD_KEYS = {
    "empty": lambda: "",
    "malformed": lambda: "junk",
    "wrong checksum": lambda: "csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_1a2b3c4d",
    "unknown": lambda: generate_api_key("csb"),
    "revoked": revoked,
    "expired": lambda: make_key("csb", expires_at=timezone.now() - timedelta(seconds=1))[1],
    "inactive user": lambda: make_key("csu", user=UserFactory.create(is_active=False))[1],
}


def test_no_credential(send):
    for path in ("/view/", "/open/", "/billing/", "/organizations/acme/"):
        response = send(path)
        assert (response.status_code, response["WWW-Authenticate"]) == (HTTPStatus.UNAUTHORIZED, "ApiKey")
        assert response.json()["code"] == "not_authenticated"


def test_bad_keys_get_one_body(send):
    responses = [*(send("/view/", make()) for make in BAD_KEYS.values()), send("/open/", revoked())]

    assert {response.status_code for response in responses} == {HTTPStatus.UNAUTHORIZED}
    assert {response["WWW-Authenticate"] for response in responses} == {"ApiKey"}
    assert len({response.content for response in responses}) == 1
    assert responses[0].json()["code"] == "invalid_api_key"


def test_bad_key_beside_a_good_session(send, editor):
    for method, causes in [("get", ["empty", "revoked"]), ("post", BAD_KEYS)]:
        responses = [send("/view/", BAD_KEYS[cause](), user=editor, method=method) for cause in causes]
        assert {response.status_code for response in responses} == {HTTPStatus.UNAUTHORIZED}
        assert {response.json()["code"] for response in responses} == {"invalid_api_key"}
        assert send("/view/", user=editor, method=method).status_code == HTTPStatus.OK


def test_business_key(send, acme):
    api_key, raw_key = make_key("csb", organization=acme)

    for method in ("get", "post"):
        body = send("/view/", raw_key, method=method).json()
        assert body["users"] == [OrganizationPrincipal(api_key).pk]
        assert (body["keys"], body["organizations"], body["may_bill"]) == ([str(api_key.pk)], ["acme"], True)


def test_user_key(send, editor):
    api_key, raw_key = make_key("csu", user=editor)

    for method in ("get", "post"):
        body = send("/view/", raw_key, method=method).json()
        assert body["users"] == [str(editor.pk)]
        assert (body["keys"], body["organizations"], body["may_bill"]) == ([str(api_key.pk)], ["acme"], False)


def test_publishable_key_on_an_open_view(send, acme):
    api_key, raw_key = make_key("cpk", organization=acme)

    body = send("/open/", raw_key).json()

    assert body["users"] == [OrganizationPrincipal(api_key).pk]
    assert (body["keys"], body["organizations"], body["may_bill"]) == ([str(api_key.pk)], ["acme"], False)


def test_publishable_key_elsewhere(send, acme):
    """The refusal comes before that of the permission, and of the organization in the header."""
    _, raw_key = make_key("cpk", organization=acme)

    for path, method in [("/view/", "get"), ("/billing/", "get"), ("/open/", "post")]:
        for headers in ({}, {"x_organization": "unknown"}):
            response = send(path, raw_key, method=method, **headers)
            assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, "publishable_key_refused")


def test_key_beside_the_session_of_another_tenant(send, acme, editor, globex):
    other = MembershipFactory.create(organization=globex, role="owner").user

    for prefix in ("csb", "csu", "cpk"):
        api_key, raw_key = make_key(prefix, **({"user": editor} if prefix == "csu" else {"organization": acme}))
        body = send("/open/", raw_key, user=other).json()
        assert body["users"] == [str(editor.pk) if prefix == "csu" else OrganizationPrincipal(api_key).pk]
        assert (body["keys"], body["organizations"]) == ([str(api_key.pk)], ["acme"])


def test_key_beside_a_session_needs_no_token(send, acme, editor):
    _, raw_key = make_key("csb", organization=acme)

    assert send("/view/", raw_key, user=editor, method="post", token=False).status_code == HTTPStatus.OK


def test_session(send, editor):
    for method in ("get", "post"):
        body = send("/view/", user=editor, method=method).json()
        assert (body["users"], body["keys"], body["organizations"]) == ([str(editor.pk)], [], ["acme"])


def test_session_needs_a_token_for_unsafe_methods(send, editor):
    for path in ("/view/", "/open/"):
        response = send(path, user=editor, method="post", token=False)
        assert response.status_code == HTTPStatus.FORBIDDEN
        assert response.json()["detail"].startswith("CSRF Failed: ")
        assert send(path, user=editor, token=False).status_code == HTTPStatus.OK


def test_session_of_a_deactivated_user(send, editor, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    editor.is_active = False
    editor.save()

    response = send("/view/", user=editor)

    assert (response.status_code, response.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "not_authenticated")


@pytest.fixture
def backends(settings):
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "closient_auth.backends.OrganizationBackend",
    ]


@pytest.mark.usefixtures("acme", "backends")
def test_superuser_with_a_session_passes(send):
    user = UserFactory.create(is_superuser=True)

    for method in ("get", "post"):
        path = "/view/?has_perm=organization.delete_organization"
        body = send(path, user=user, method=method, x_organization="acme").json()
        assert (body["organizations"], body["may_bill"], body["has_perm"]) == (["acme"], True, True)


@pytest.mark.usefixtures("globex", "backends")
def test_key_of_a_superuser_has_the_membership_alone(send, acme):
    user = UserFactory.create(is_superuser=True, is_staff=True)
    MembershipFactory.create(user=user, organization=acme)
    _, raw_key = make_key("csu", user=user)

    for permission, allowed in [("delete_organization", False), ("view_organization", True)]:
        body = send(f"/view/?has_perm=organization.{permission}", raw_key).json()
        assert (body["users"], body["may_bill"], body["has_perm"]) == ([str(user.pk)], False, allowed)
    assert send("/billing/", raw_key).json()["code"] == "permission_denied"
    assert send("/view/", raw_key, x_organization="globex").status_code == HTTPStatus.NOT_FOUND
    assert send("/organizations/globex/", raw_key).status_code == HTTPStatus.NOT_FOUND


@pytest.mark.django_db(transaction=True)
def test_last_used_is_written(send, acme, editor):
    make_key("csb", organization=acme)

    for prefix in ("csb", "csu", "cpk"):
        api_key, raw_key = make_key(prefix, **({"user": editor} if prefix == "csu" else {"organization": acme}))
        assert send("/open/", raw_key).status_code == HTTPStatus.OK
        assert set(ApiKey.objects.filter(last_used__isnull=False)) == {api_key}
        api_key.delete()
