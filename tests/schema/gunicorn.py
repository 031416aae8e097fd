"""gunicorn settings for the schema tests: no change limits, and no limits on the request line and headers."""

from __future__ import annotations

from typing import Any

# gunicorn would return 414 and 431 itself, and the OpenAPI document does not describe them.
limit_request_line = 0
limit_request_field_size = 0


def post_worker_init(worker: Any) -> None:
    from closient_auth.api.base import ChangeThrottle
    from closient_auth.limits.windows import Window

    ChangeThrottle.windows = (Window(10**9, 60), Window(10**9, 86_400))
