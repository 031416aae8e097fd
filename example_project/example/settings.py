"""
Minimal settings of an API on SQLite, or on a database and a cache from the environment.

``EXAMPLE_DATABASE_URL``  ``postgres://user:password@host:5432/name`` (default: SQLite in the project folder)
``EXAMPLE_REDIS_URL``     ``redis://host:6379/0`` (default: the memory of this process)
``EXAMPLE_DEBUG``         ``0`` disables debugging and requires ``EXAMPLE_SECRET_KEY``
"""

from __future__ import annotations

import os
from pathlib import Path

import django

from example.environment import get_cache, get_database

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("EXAMPLE_DEBUG", "1") == "1"
SECRET_KEY = os.environ.get("EXAMPLE_SECRET_KEY") or ("django-insecure-for-the-demo-only" if DEBUG else "")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    # Its templates replace some of REST framework's.
    "example",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "closient_auth",
    "products",
    "billing",
]

REST_FRAMEWORK = {
    # Keep this first: REST framework takes the WWW-Authenticate header of a 401 from the first class.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "closient_auth.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["closient_auth.throttling.ApiKeyRateThrottle"],
    "DEFAULT_FILTER_BACKENDS": ["closient_auth.filters.OrganizationFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "example.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "example.schema.AutoSchema",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Products and accounts",
    "VERSION": "1",
    "DESCRIPTION": "To send requests, [sign in](/session/login/), or press Authorize and paste a key as `ApiKey`. "
    "If you do both, the key is used.",
    "SERVE_INCLUDE_SCHEMA": False,
    # Forms are accepted too, but have no types to describe.
    "PARSER_WHITELIST": ["rest_framework.parsers.JSONParser"],
    # Some fields differ between requests and responses, such as blank text.
    "COMPONENT_SPLIT_REQUEST": True,
    # Serve Swagger UI from this server instead of a CDN.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# With DEBUG, invitations are printed to the console.
EMAIL = f"django.core.mail.backends.{'console' if DEBUG else 'smtp'}.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": EMAIL}}
else:
    EMAIL_BACKEND = EMAIL

MIDDLEWARE = [
    "example.middleware.DatabaseUnavailableMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "example.middleware.BrowserOrganizationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
            ],
        },
    },
]

DATABASES = {"default": get_database(os.environ.get("EXAMPLE_DATABASE_URL"), BASE_DIR / "db.sqlite3")}
CACHES = {"default": get_cache(os.environ.get("EXAMPLE_REDIS_URL"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"

ROOT_URLCONF = "example.urls"
WSGI_APPLICATION = "example.wsgi.application"
STATIC_URL = "static/"
LOGIN_URL = "rest_framework:login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
