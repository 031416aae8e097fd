"""Parts of a cache as a host may write its own."""

from __future__ import annotations

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis import ConnectionPool


class OddPool(ConnectionPool):
    """A pool that might do anything to find its server, so that nobody else may connect by its address."""


class NamedCache(RedisCache):
    """Django's, under another name."""


class ShardingClient(RedisCacheClient):
    """A client that chooses the server by the key."""


class ShardedCache(RedisCache):
    def __init__(self, server, params):
        super().__init__(server, params)
        self._class = ShardingClient
