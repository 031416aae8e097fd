"""How gunicorn serves the example project here: without limits for people and on lines, as thousands of requests are to come."""

from __future__ import annotations

from typing import Any

# Its own answers to what is long (414, 431) come before the application, and are no business of a description of it.
limit_request_line = 0
limit_request_field_size = 0


def post_worker_init(worker: Any) -> None:
    from closient_auth.limits.windows import Window
    from closient_auth.views.base import CreationThrottle

    CreationThrottle.windows = (Window(10**9, 60), Window(10**9, 86_400))
