"""The settings of the test project with packages that manage accounts and tokens: the dependency group ``accounts``."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE, REST_FRAMEWORK

SECRET_KEY = "only-for-tests-of-json-web-tokens"
ROOT_URLCONF = "tests.account_packages.urls"
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "django.contrib.sites",
    "rest_framework.authtoken",
    "allauth",
    "allauth.account",
    "allauth.headless",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "auth_kit",
    "dj_rest_auth",
    "dj_rest_auth.mfa",
    "dj_rest_auth.registration",
    "django_rest_passwordreset",
    "djoser",
    "drf_multitokenauth",
    "drf_social_oauth2",
    "drf_totp",
    "drfpasswordless",
    "knox",
    "oauth2_provider",
    "otp_rest_auth",
    "rest_authtoken",
    "rest_framework_jwt",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
    "rest_registration",
    "social_django",
    "trench",
]
MIDDLEWARE = [*MIDDLEWARE, "allauth.account.middleware.AccountMiddleware"]
SITE_ID = 1

REST_FRAMEWORK = {**REST_FRAMEWORK, "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
DJOSER = {"PASSWORD_RESET_CONFIRM_URL": "reset/{uid}/{token}"}
REST_REGISTRATION = {
    "REGISTER_EMAIL_VERIFICATION_ENABLED": False,
    "REGISTER_VERIFICATION_ENABLED": False,
    "RESET_PASSWORD_VERIFICATION_URL": "https://example.com/reset/",
    "VERIFICATION_FROM_EMAIL": "noreply@example.com",
}
PASSWORDLESS_AUTH = {"PASSWORDLESS_EMAIL_NOREPLY_ADDRESS": "noreply@example.com"}
