"""
Settings of the test project. The defaults are SQLite and local memory; environment variables override them:

``CLOSIENT_AUTH_TEST_DATABASE_URL``  ``postgresql://user@host:port/name`` or ``mysql://user:password@host:port/name``
``CLOSIENT_AUTH_TEST_REDIS_URL``     ``redis://host:port/number``; the tests empty that database
``CLOSIENT_AUTH_TEST_USER_MODEL``    ``auth.User``, or ``accounts.User`` of ``tests.accounts``
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

ENGINES = {"postgresql": "django.db.backends.postgresql", "mysql": "django.db.backends.mysql"}


def get_database(url: str) -> dict[str, Any]:
    """Return the ``DATABASES`` entry for a URL; SQLite in memory for an empty one."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": ":memory:",
            "OPTIONS": {"transaction_mode": "IMMEDIATE"},
        }
    parts = urlsplit(url)
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": parts.path.removeprefix("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }


def get_cache(url: str) -> dict[str, Any]:
    """Return the ``CACHES`` entry for a Redis URL; local memory for an empty one."""
    if not url:
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}


DATABASES = {"default": get_database(os.environ.get("CLOSIENT_AUTH_TEST_DATABASE_URL", ""))}
CACHES = {"default": get_cache(os.environ.get("CLOSIENT_AUTH_TEST_REDIS_URL", ""))}
AUTH_USER_MODEL = os.environ.get("CLOSIENT_AUTH_TEST_USER_MODEL", "auth.User")

SECRET_KEY = "only-for-tests"
USE_TZ = True
ROOT_URLCONF = "tests.urls"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Django's default password hashers are slow on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "closient_auth",
    "tests",
]
if AUTH_USER_MODEL.startswith("accounts."):
    INSTALLED_APPS.append("tests.accounts")

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Django 6.1 needs ``MAILERS``; the test runner keeps all mail in memory.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "closient_auth.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["closient_auth.throttling.ApiKeyRateThrottle"],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
