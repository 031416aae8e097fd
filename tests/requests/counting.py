from __future__ import annotations

from functools import wraps

from django.core.cache.backends.locmem import LocMemCache

OPERATIONS = ["add", "get", "set", "touch", "delete", "incr", "decr", "has_key", "get_many", "set_many", "delete_many"]


class CountingCache(LocMemCache):
    """Count the round trips to a cache server. A nested operation is part of the outer one's trip."""

    trips = 0
    _inside = False


def _counted(name):
    operation = getattr(LocMemCache, name)

    @wraps(operation)
    def call(self, *args, **kwargs):
        if self._inside:
            return operation(self, *args, **kwargs)
        CountingCache.trips += 1
        self._inside = True
        try:
            return operation(self, *args, **kwargs)
        finally:
            self._inside = False

    return call


for _name in OPERATIONS:
    setattr(CountingCache, _name, _counted(_name))
