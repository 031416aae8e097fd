from __future__ import annotations

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

application = get_wsgi_application()
# With ``--preload`` once, rather than at the first request of each worker that takes the place of a killed one.
get_resolver().check()
