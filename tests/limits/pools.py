"""Custom cache classes such as a project may have."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django_redis.client import DefaultClient
from redis import ConnectionPool
from redis.cluster import RedisCluster
from redis.sentinel import Sentinel, SentinelConnectionPool


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


class SentinelPool(SentinelConnectionPool):
    """A pool for Django's cache: ``redis://service@host:port/db``, with the address of a sentinel."""

    @classmethod
    def from_url(cls, url, **kwargs):
        parts = urlsplit(url)
        # The first sentinel is not there any more.
        sentinel = Sentinel([("127.0.0.1", 1), (parts.hostname, parts.port)])
        return cls(parts.username, sentinel, db=int(parts.path[1:]), **kwargs)


class StubbornPool(SentinelPool):
    """A pool that does not ask the sentinels."""

    def get_master_address(self):
        return "127.0.0.1", 1


class ClusterClient(RedisCacheClient):
    """A client of a Redis Cluster for Django's cache."""

    def get_client(self, key=None, *, write=False):
        return RedisCluster.from_url(vars(self)["_servers"][0])


class ClusterCache(RedisCache):
    def __init__(self, server, params):
        super().__init__(server, params)
        self._class = ClusterClient


class DjangoRedisClusterClient(DefaultClient):  # type: ignore[misc]
    """A client of a Redis Cluster for django-redis."""

    def connect(self, index=0):
        return RedisCluster.from_url(self._server[index])
