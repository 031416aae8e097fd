from __future__ import annotations

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

application = get_wsgi_application()
# With ``--preload``, load the URLconf once instead of in each worker started after a kill.
get_resolver().check()
