"""
Settings of the benchmark project, with each package configured as its documentation shows.

``BENCHMARK_DATABASES``  JSON of Django's ``DATABASES``
``BENCHMARK_REDIS``      URL of a Redis server for the cache (default: local memory)
``BENCHMARK_INTERVAL``   ``LAST_USED_INTERVAL``
"""

from __future__ import annotations

import json
import os

from closient_auth.limits import redis as limits_redis

# Redis may answer later on a busy machine than the package waits in production.
limits_redis.TIMEOUT, limits_redis.BUDGET = 6, 24

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
# All variants run without middleware, since sessions and CSRF protection are not measured.
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
    # The limits are never reached, because a refusal costs less than a full response.
    "DEFAULT_THROTTLE_RATES": {"minute": "1000000/min", "day": "1000000/day"},
}
CLOSIENT_AUTH = {
    "LAST_USED_INTERVAL": int(os.environ.get("BENCHMARK_INTERVAL", "0")),
    # An uncounted request costs less, so it must end the benchmark instead of being measured.
    "RATE_LIMIT_FAIL_OPEN": False,
}
# The Fernet key is arbitrary. ENFORCE_HTTPS is off, since the benchmark does not use TLS.
DRF_API_KEY = {"FERNET_SECRET": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "ENFORCE_HTTPS": False}
# Refusals are measured, but not the output of their log lines.
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"django.request": {"level": "ERROR"}}}
