"""
The throw-away host in a process of its own, behind a real server.

``SERVED_DATABASE``  the entry of ``DATABASES``, as JSON
``SERVED_LOG``       the file that takes every logger's lines, from DEBUG on
``SERVED_ATOMIC``    runs each view in a transaction, if it is set
"""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

DATABASES = {"default": json.loads(os.environ["SERVED_DATABASE"]) | {"ATOMIC_REQUESTS": "SERVED_ATOMIC" in os.environ}}
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.served.urls"
MIDDLEWARE = ["tests.served.middleware.CountQueriesMiddleware", *MIDDLEWARE]  # noqa: F405
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": os.environ["SERVED_LOG"]}},
    "root": {"level": "DEBUG", "handlers": ["file"]},
}
