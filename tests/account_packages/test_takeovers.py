"""A leaked key cannot take its person's account over. The person's session goes on to work."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.apps import apps
from django.core import mail

from tests.account_packages.tables import list_changes, read_tables
from tests.factories import make_key

if not apps.is_installed("djoser"):
    pytest.skip("needs --ds=tests.account_packages.settings", allow_module_level=True)

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")]

NEW = "mTk-7821-pq"
PASSWORDS = {"new_password1": NEW, "new_password2": NEW}
OLD_TO_NEW = {"old_password": "old", "password": NEW, "password_confirm": NEW}
# By name: the method, the path, the body, and the tables that change.
TAKEOVERS = {
    "auth-kit: password": ("POST", "/auth-kit/password/change/", PASSWORDS, {"auth_user"}),
    "auth-kit: user": ("PATCH", "/auth-kit/user/", {"first_name": "Thief"}, {"auth_user"}),
    "dj-rest-auth: password": ("POST", "/dj-rest-auth/password/change/", PASSWORDS, {"auth_user"}),
    "dj-rest-auth: user": ("PUT", "/dj-rest-auth/user/", {"username": "thief"}, {"auth_user"}),
    "dj-rest-auth: logout": ("POST", "/dj-rest-auth/logout/", {}, {"authtoken_token"}),
    "djoser: address": ("PATCH", "/djoser/users/me/", {"email": "thief@example.com"}, {"auth_user"}),
    "djoser: password": (
        "POST",
        "/djoser/users/set_password/",
        {"new_password": NEW, "current_password": "old"},
        {"auth_user"},
    ),
    "djoser: username": (
        "POST",
        "/djoser/users/set_username/",
        {"new_username": "thief", "current_password": "old"},
        {"auth_user"},
    ),
    "djoser: deletion": ("DELETE", "/djoser/users/me/", {"current_password": "old"}, {"auth_user", "knox_authtoken"}),
    "djoser: logout": ("POST", "/djoser/token/logout/", {}, {"authtoken_token"}),
    "drf-social-oauth2: tokens": (
        "POST",
        "/social-oauth2/invalidate-sessions/",
        {"client_id": "shop"},
        {"oauth2_provider_accesstoken"},
    ),
    "drf-totp: second factor": ("POST", "/totp/otp/generate/", {}, {"drf_totp_totpauth"}),
    "drfpasswordless: code": ("POST", "/passwordless/auth/verify/email/", {}, {"drfpasswordless_callbacktoken"}),
    "knox: token": ("POST", "/knox/login/", {}, {"knox_authtoken"}),
    "otp-rest-auth: password": ("POST", "/otp-rest-auth/password/change/", PASSWORDS, {"auth_user"}),
    "rest-registration: address": (
        "POST",
        "/rest-registration/register-email/",
        {"email": "thief@example.com"},
        {"auth_user"},
    ),
    "rest-registration: password": ("POST", "/rest-registration/change-password/", OLD_TO_NEW, {"auth_user"}),
    "trench: logout": ("POST", "/trench/logout/", {}, {"authtoken_token"}),
}
SESSION_REQUIRED = {"detail": "API keys cannot make this request. Sign in as a user.", "code": "session_required"}


def is_success(response):
    return HTTPStatus.OK <= response.status_code < HTTPStatus.MULTIPLE_CHOICES


@pytest.fixture
def no_rule(settings):
    settings.CLOSIENT_AUTH = {"SESSION_ONLY_VIEWS": []}


@pytest.mark.usefixtures("no_rule")
@pytest.mark.parametrize("name", TAKEOVERS)
def test_key_would_take_the_account_over(name, call, person):
    """Without the rule, the same request succeeds."""
    method, path, body, tables = TAKEOVERS[name]
    _, raw_key = make_key("csu", user=person)
    before = read_tables()

    response = call(path, raw_key, method=method, data=body)

    assert is_success(response), response.content
    assert list_changes(before) >= tables


@pytest.mark.parametrize("prefix", ["csb", "csu"])
@pytest.mark.parametrize("name", TAKEOVERS)
def test_key_is_refused(name, prefix, call, person):
    method, path, body, _ = TAKEOVERS[name]
    holder = {"csb": {"organization": person.closient_auth_memberships.get().organization}, "csu": {"user": person}}
    _, raw_key = make_key(prefix, **holder[prefix])
    before = read_tables()

    response = call(path, raw_key, method=method, data=body)

    assert (response.status_code, response.json()) == (HTTPStatus.FORBIDDEN, SESSION_REQUIRED)
    assert list_changes(before) == set()


@pytest.mark.parametrize("name", TAKEOVERS)
def test_key_is_refused_beside_the_session(name, call, person):
    method, path, body, _ = TAKEOVERS[name]
    _, raw_key = make_key("csu", user=person)

    response = call(path, raw_key, user=person, method=method, data=body)

    assert (response.status_code, response.json()) == (HTTPStatus.FORBIDDEN, SESSION_REQUIRED)
    person.refresh_from_db()
    assert person.check_password("old")


@pytest.mark.parametrize("name", TAKEOVERS)
def test_session_works(name, call, person):
    method, path, body, tables = TAKEOVERS[name]
    before = read_tables()

    response = call(path, user=person, method=method, data=body)

    assert is_success(response), response.content
    assert list_changes(before) >= tables


@pytest.fixture
def superuser(person):
    person.is_superuser = True
    person.save()
    return person


@pytest.mark.usefixtures("no_rule")
def test_key_of_a_superuser_would_impersonate_everybody(call, superuser):
    path, body = "/drf-jwt/impersonate/", {"user": superuser.pk - 1}
    _, raw_key = make_key("csu", user=superuser)

    assert "token" in call(path, raw_key, method="post", data=body).json()


def test_impersonation(call, superuser):
    path, body = "/drf-jwt/impersonate/", {"user": superuser.pk - 1}
    _, raw_key = make_key("csu", user=superuser)

    assert call(path, raw_key, method="post", data=body).json() == SESSION_REQUIRED
    assert "token" in call(path, user=superuser, method="post", data=body).json()


LOGIN = {"username": "person", "password": "old"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth-kit/login/", LOGIN),
        ("/authtoken/", LOGIN),
        ("/dj-rest-auth/login/", LOGIN),
        ("/djoser/token/login/", LOGIN),
        ("/djoser/jwt/create/", LOGIN),
        ("/drf-jwt/", LOGIN),
        ("/multitoken/login", LOGIN),
        ("/rest-registration/login/", {"login": "person", "password": "old"}),
        ("/trench/login/", LOGIN),
    ],
)
def test_login_needs_no_key(path, body, call, person):
    assert is_success(call(path, method="post", data=body))
    assert not is_success(call(path, method="post", data={**body, "password": "wrong"}))


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/dj-rest-auth/password/reset/", "email"),
        ("/djoser/users/reset_password/", "email"),
        ("/passwordless/auth/email/", "email"),
        ("/rest-registration/send-reset-password-link/", "login"),
    ],
)
def test_reset_needs_no_key(path, field, call, person):
    assert is_success(call(path, method="post", data={field: person.email if field == "email" else person.username}))
    assert [message.to for message in mail.outbox] == [[person.email]]
