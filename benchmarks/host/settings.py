"""
The project that is measured, in the configuration that each package's own documentation shows.

``BENCHMARK_DATABASES``  JSON: Django's ``DATABASES``
``BENCHMARK_REDIS``      the URL of a Redis for the cache; local memory without
``BENCHMARK_INTERVAL``   ``LAST_USED_INTERVAL``
"""

from __future__ import annotations

import json
import os

DATABASES = json.loads(os.environ["BENCHMARK_DATABASES"])
REDIS = os.environ.get("BENCHMARK_REDIS")
DATABASE_ROUTERS = ["benchmarks.host.routers.Current"]
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS}
    if REDIS
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

SECRET_KEY = "only-for-benchmarks"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "benchmarks.host.urls"
WSGI_APPLICATION = "benchmarks.host.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The same for all that is measured, and none of it: no sessions, no CSRF, no admin.
MIDDLEWARE: list[str] = []
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "rest_framework.authtoken",
    "rest_framework_api_key",
    "knox",
    "drf_simple_apikey",
    "closient_auth",
]
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # Far above what a run sends: a refusal would cost less than an answer.
    "DEFAULT_THROTTLE_RATES": {"minute": "1000000/min", "day": "1000000/day"},
}
CLOSIENT_AUTH = {"LAST_USED_INTERVAL": int(os.environ.get("BENCHMARK_INTERVAL", "0"))}
# Any Fernet key. Behind a proxy that ends TLS it is told so; here there is none.
DRF_API_KEY = {"FERNET_SECRET": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "ENFORCE_HTTPS": False}
# Refusals are part of what is measured, writing their log lines to a terminal is not.
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"django.request": {"level": "ERROR"}}}
