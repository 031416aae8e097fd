"""Settings of the faces behind a real server, in a separate process; see ``tests.served.settings``."""

from __future__ import annotations

from tests import settings
from tests.served.settings import *  # noqa: F403

INSTALLED_APPS = [*settings.INSTALLED_APPS, "ninja_extra"]
# The middleware of ``tests.served`` opens a database connection for each request.
MIDDLEWARE = ["closient_auth.middleware.ResponseHeadersMiddleware", *settings.MIDDLEWARE]
ROOT_URLCONF = "tests.faces.urls"
