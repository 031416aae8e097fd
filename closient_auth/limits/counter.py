"""The one way to the counters: which store it is, and what happens when it is away."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.cache.backends.redis import RedisCache

from closient_auth.limits.breaker import Breaker
from closient_auth.limits.ratelimit import RatelimitStore
from closient_auth.limits.windows import CountRefused, Store, Usage, Verdict, Window

# Those that keep all keys on one server. Others shard, or find their server by asking for it.
REDIS_CLIENTS = {"django.core.cache.backends.redis.RedisCacheClient", "django_redis.client.default.DefaultClient"}


def count_request(identifier: str, windows: Sequence[Window]) -> Verdict:
    """
    Count one request of ``identifier`` in all windows, or in none if one of them is used up.

    Raise ``StoreUnavailable`` where that cannot be known.
    """
    counter = _get_counter()
    return counter.breaker.call(counter.count, identifier, windows)


def read_usage(identifier: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
    """
    Return what ``identifier`` has used of the windows, and count nothing.

    Raise ``StoreUnavailable`` where that cannot be known.
    """
    if not windows:
        return ()
    counter = _get_counter()
    return counter.breaker.call(counter.look, identifier, windows)


class Counter:
    """The store that one state of the settings names, in one process, and what is known of its health."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.breaker = Breaker()

    @cached_property
    def store(self) -> Store:
        return _open_redis(caches[self.alias]) or RatelimitStore(self.alias)

    def count(self, identifier: str, windows: Sequence[Window]) -> Verdict:
        _require_enabled()
        return self.store.count(identifier, windows)

    def look(self, identifier: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        _require_enabled()
        return self.store.look(identifier, windows)


# What it was made from, and the counter.
_current: tuple[tuple[object, ...], Counter] = ((), Counter(""))


def _get_counter() -> Counter:
    global _current
    alias = getattr(settings, "RATELIMIT_USE_CACHE", "default")
    # A forked child must not share its parent's connections. The settings are as a rule the same object.
    source = (os.getpid(), alias, settings.CACHES)
    # Two threads may each make one; the last stays, and the other ends with its request.
    if _current[0] != source:
        _current = (source, Counter(alias))
    return _current[1]


def _require_enabled() -> None:
    if not getattr(settings, "RATELIMIT_ENABLE", True):
        raise CountRefused("RATELIMIT_ENABLE is False")


def _open_redis(cache: BaseCache) -> Store | None:
    """Return a store on the Redis that a cache writes to, or ``None`` where it is not kept in one."""
    client: Any = cache._cache if isinstance(cache, RedisCache) else getattr(cache, "client", None)
    if f"{type(client).__module__}.{type(client).__qualname__}" not in REDIS_CLIENTS:
        return None
    # redis-py is an extra: whoever keeps a cache in Redis has it.
    from closient_auth.limits.redis import RedisStore, is_plain

    pool = client.get_client(write=True).connection_pool
    return RedisStore(pool, cache.make_key) if is_plain(pool) else None
