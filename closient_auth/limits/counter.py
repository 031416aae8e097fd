"""Count requests in the store of the settings, through a circuit breaker."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.cache.backends.redis import RedisCache

from closient_auth.limits.breaker import Breaker
from closient_auth.limits.ratelimit import RatelimitStore
from closient_auth.limits.windows import CountRefused, Store, Verdict, Window, WindowState

# These clients keep all keys on one server. Other clients shard the keys or discover their server.
REDIS_CLIENTS = {"django.core.cache.backends.redis.RedisCacheClient", "django_redis.client.default.DefaultClient"}


def count_request(identifier: str, windows: Sequence[Window]) -> Verdict:
    """Count one request of ``identifier`` in all windows, or in none if any of them is used up, and return the verdict.

    Raise ``StoreUnavailable`` if the request cannot be counted.
    """
    counter = _get_counter()
    return counter.breaker.call(lambda: counter.store.count(identifier, windows))


def read_windows(identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
    """Return the state of each window by ``identifier`` without counting a request.

    Raise ``StoreUnavailable`` if the counts cannot be read.
    """
    if not windows:
        return ()
    counter = _get_counter()
    return counter.breaker.call(lambda: counter.store.look(identifier, windows))


class Counter:
    """The rate-limit store of one process for one state of the settings, with its circuit breaker."""

    def __init__(self, alias: str, is_enabled: bool) -> None:
        self.alias, self.is_enabled = alias, is_enabled
        self.breaker = Breaker()

    @cached_property
    def store(self) -> Store:
        if not self.is_enabled:
            raise CountRefused("RATELIMIT_ENABLE is False")
        return _open_redis(caches[self.alias]) or RatelimitStore(self.alias)


# The source of the counter, and the counter
_current: tuple[tuple[object, ...], Counter] = ((), Counter("", False))


def _get_counter() -> Counter:
    global _current
    alias = getattr(settings, "RATELIMIT_USE_CACHE", "default")
    is_enabled = getattr(settings, "RATELIMIT_ENABLE", True)
    # The process id is included because a forked child must not share its parent's connections.
    source = (os.getpid(), alias, settings.CACHES, is_enabled)
    # Two threads may each create a counter. The last one is kept, and the other serves a single request.
    if _current[0] != source:
        _current = (source, Counter(alias, is_enabled))
    return _current[1]


def _open_redis(cache: BaseCache) -> Store | None:
    """Return a store on the cache's Redis server, or ``None`` if the cache does not use a single Redis server."""
    client: Any = cache._cache if isinstance(cache, RedisCache) else getattr(cache, "client", None)
    if f"{type(client).__module__}.{type(client).__qualname__}" not in REDIS_CLIENTS:
        return None
    # redis-py is an optional dependency, but every Redis cache needs it.
    from closient_auth.limits.redis import CONNECTIONS, POOLS, RedisStore

    pool = client.get_client(write=True).connection_pool
    # A Sentinel pool, for example, does not connect to one server at a fixed address.
    is_plain = type(pool) in POOLS and pool.connection_class in CONNECTIONS
    return RedisStore(pool, cache.make_key) if is_plain else None
