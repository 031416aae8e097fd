"""Custom cache classes such as a project may have."""

from __future__ import annotations

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis import ConnectionPool


class OddPool(ConnectionPool):
    """A custom pool. It may find its server in any way, so the package must not connect to its address itself."""


class NamedCache(RedisCache):
    """A subclass of Django's cache."""


class ShardingClient(RedisCacheClient):
    """A client with several servers, selected by the key."""


class ShardedCache(RedisCache):
    def __init__(self, server, params):
        super().__init__(server, params)
        self._class = ShardingClient
