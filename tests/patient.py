"""A plugin for ``make mutation``: a busy machine that answers late would pass for a bug that was found."""

from __future__ import annotations

from closient_auth.limits import redis

redis.TIMEOUT, redis.BUDGET = 6, 24
