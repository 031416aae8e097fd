"""Restricted keys, suspended organizations and organizations without user keys."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.utils import timezone

from closient_auth.core.refusals import REFUSALS
from closient_auth.models import ApiKey
from tests.factories import MembershipFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

VIEW = "organization.view_organization"


# The texts that say more than that of the code.
TEXTS = {
    "network_not_allowed": ("This API key cannot be used from ",),
    "user_key_not_allowed": (
        "This organization accepts no user keys.",
        "This organization has shut out this user key.",
    ),
}


def require_refused(response, code):
    assert (response.status_code, response.json()["code"]) == (HTTPStatus.FORBIDDEN, code)
    assert response.json()["detail"].startswith(TEXTS.get(code, (str(REFUSALS[code][1]),)))
    assert response["Cache-Control"] == "private, no-store"


def test_network(send, acme, editor, settings):
    settings.CLOSIENT_AUTH = {"TRUSTED_PROXIES": 1}
    networks = ["203.0.113.0/24", "2001:db8::/32"]
    for prefix in ("csb", "csu", "cpk"):
        holder = {"user": editor} if prefix == "csu" else {"organization": acme}
        _, raw_key = make_key(prefix, **holder, allowed_networks=networks)
        for forwarded, is_in in [
            ("203.0.113.9", True),
            ("[2001:db8::1]:4711", True),
            ("203.0.113.9, 192.0.2.1", False),
        ]:
            response = send("/open/", raw_key, x_forwarded_for=forwarded)
            if is_in:
                assert response.status_code == HTTPStatus.OK
            else:
                require_refused(response, "network_not_allowed")
        require_refused(send("/open/", raw_key), "network_not_allowed")


def test_origin(send, acme):
    _, raw_key = make_key("cpk", organization=acme, allowed_origins=["https://shop.example"])

    for headers in ({"origin": "https://shop.example"}, {"referer": "https://shop.example/page"}):
        assert send("/open/", raw_key, **headers).status_code == HTTPStatus.OK
    for headers in ({"origin": "https://evil.example", "referer": "https://shop.example/page"}, {"origin": "null"}, {}):
        require_refused(send("/open/", raw_key, **headers), "origin_not_allowed")


def test_suspended_organization(send, acme, editor):
    credentials = [{"raw_key": make_key("csb", organization=acme)[1]}, {"raw_key": make_key("csu", user=editor)[1]}]
    credentials += [{"user": editor}]
    superuser = MembershipFactory.create(organization=acme, user__is_superuser=True).user
    credentials += [{"raw_key": make_key("csu", user=superuser)[1]}]
    acme.suspend()

    for credential in credentials:
        require_refused(send("/view/", **credential), "organization_suspended")
        require_refused(send("/organizations/acme/", **credential), "organization_suspended")
    require_refused(send("/open/", make_key("cpk", organization=acme)[1]), "organization_suspended")
    assert send("/view/", user=superuser, x_organization="acme").json()["organizations"] == ["acme"]
    acme.lift_suspension()
    assert [send("/view/", **credential).status_code for credential in credentials] == [HTTPStatus.OK] * 4


def test_organization_without_user_keys(send, acme, editor):
    _, raw_key = make_key("csu", user=editor)
    acme.allow_user_keys(False)

    require_refused(send("/view/", raw_key), "user_key_not_allowed")
    for credential in ({"user": editor}, {"raw_key": make_key("csb", organization=acme)[1]}):
        assert send("/view/", **credential).status_code == HTTPStatus.OK


def test_user_key_that_is_shut_out(send, acme, editor, globex):
    api_key, raw_key = make_key("csu", user=editor)
    api_key.shut_out(acme)
    MembershipFactory.create(organization=globex, user=editor)

    require_refused(send("/organizations/acme/", raw_key), "user_key_not_allowed")
    assert send("/organizations/globex/", raw_key).status_code == HTTPStatus.OK
    assert send("/organizations/acme/", make_key("csu", user=editor)[1]).status_code == HTTPStatus.OK


def test_key_for_one_organization(send, acme, editor, globex):
    MembershipFactory.create(organization=globex, user=editor)
    _, raw_key = make_key("csu", user=editor, restricted_to=acme)

    assert send("/organizations/acme/", raw_key).json()["organizations"] == ["acme"]
    responses = [send(f"/organizations/{name}/", raw_key) for name in ("globex", "unknown")]
    assert {response.status_code for response in responses} == {HTTPStatus.NOT_FOUND}
    assert len({(response.content, str(response.headers)) for response in responses}) == 1
    response = send("/view/", raw_key)
    assert (response.status_code, response.json()["code"]) == (HTTPStatus.BAD_REQUEST, "organization_required")
    assert [each["slug"] for each in response.json()["organizations"]] == ["acme"]


@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_permissions(send, acme, settings, prefix):
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "closient_auth.backends.OrganizationBackend",
    ]
    user = UserFactory.create(is_superuser=True)
    MembershipFactory.create(organization=acme, user=user, role="owner")
    holder = {"user": user} if prefix == "csu" else {"organization": acme}
    _, raw_key = make_key(prefix, **holder, permissions=[VIEW])

    for permission, may in [("view_organization", True), ("manage_billing", False)]:
        body = send(f"/view/?has_perm=organization.{permission}", raw_key).json()
        assert (body["has_perm"], body["may_bill"]) == (may, False)
    for path, method in [("/view/", "post"), ("/billing/", "get")]:
        response = send(path, raw_key, method=method)
        require_refused(response, "permission_denied")
        assert response.json()["required_permission"].startswith("organization.")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("permissions", ["unknown"], "permission_denied"),
        ("permissions", {}, "permission_denied"),
        ("allowed_networks", "127.0.0.1", "network_not_allowed"),
        ("allowed_networks", ["127.0.0.1", "*"], "network_not_allowed"),
        ("allowed_origins", ["null"], "origin_not_allowed"),
    ],
)
def test_malformed_restriction(send, acme, field, value, code):
    api_key, raw_key = make_key("cpk", organization=acme)
    ApiKey.objects.filter(pk=api_key.pk).update(**{field: value})

    require_refused(send("/open/", raw_key, origin="null"), code)


def test_expiry(send, acme):
    """Refused responses have the header as well."""
    soon, later = (timezone.now() + timedelta(days=days) for days in (7, 31))

    for prefix, path in [("csb", "/view/"), ("cpk", "/open/"), ("cpk", "/view/")]:
        _, raw_key = make_key(prefix, organization=acme, expires_at=soon)
        assert send(path, raw_key)["X-API-Key-Expires"] == f"{soon:%Y-%m-%dT%H:%M:%SZ}"
        _, raw_key = make_key(prefix, organization=acme, expires_at=later)
        assert "X-API-Key-Expires" not in send(path, raw_key)
