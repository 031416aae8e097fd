"""
Settings of the test project behind a real server, in a separate process.

``SERVED_DATABASE``  the entry of ``DATABASES``, as JSON
``SERVED_LOG``       the log file of all loggers, at level DEBUG
``SERVED_ATOMIC``    if set, turns ``ATOMIC_REQUESTS`` on
``SERVED_SETTINGS``  the setting ``CLOSIENT_AUTH``, as JSON
``SERVED_MAILS``     the file of ``FileBackend``, for processes that send mails
"""

from __future__ import annotations

import json
import os

import django

from tests.settings import *  # noqa: F403

DATABASES = {"default": json.loads(os.environ["SERVED_DATABASE"]) | {"ATOMIC_REQUESTS": "SERVED_ATOMIC" in os.environ}}
CLOSIENT_AUTH = json.loads(os.environ.get("SERVED_SETTINGS", "{}"))
MAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
if "SERVED_MAILS" in os.environ:
    MAIL_BACKEND = "tests.served.mails.FileBackend"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.served.urls"
MIDDLEWARE = ["tests.served.middleware.CountQueriesMiddleware", *MIDDLEWARE]  # noqa: F405
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": os.environ["SERVED_LOG"]}},
    "root": {"level": "DEBUG", "handlers": ["file"]},
}
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": MAIL_BACKEND}}
else:
    EMAIL_BACKEND = MAIL_BACKEND
