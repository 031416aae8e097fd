"""Plugin for ``make mutation``: raise the Redis timeouts, because a timeout would count as a detected mutant."""

from __future__ import annotations

from closient_auth.limits import redis

redis.TIMEOUT, redis.BUDGET = 6, 24
