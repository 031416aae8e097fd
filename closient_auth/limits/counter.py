"""Count requests in the store of the settings, or in this process while that store is unavailable."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.core.cache.backends.redis import RedisCache
from django.core.signals import setting_changed
from django.dispatch import receiver

from closient_auth.conf import conf
from closient_auth.limits.breaker import Breaker, describe
from closient_auth.limits.local import LocalStore
from closient_auth.limits.windows import (
    CountRefused,
    Hours,
    NotAsked,
    Store,
    StoreUnavailable,
    Verdict,
    Window,
    WindowState,
)

# Without ``RATE_LIMIT_FAIL_OPEN``, a shorter outage than this, in seconds, refuses no request.
PATIENCE = 1

# These clients keep all keys on one server, or find its address with Sentinel. Subclasses may shard the keys.
REDIS_CLIENTS = {
    "django.core.cache.backends.redis.RedisCacheClient",
    "django_redis.client.default.DefaultClient",
    "django_redis.client.sentinel.SentinelClient",
}


def count_request(identifier: str, windows: Sequence[Window], *, records: bool = False) -> Verdict:
    """Count one request of ``identifier`` in all windows, or in none if any of them is used up, and return the verdict.

    With ``records``, the store also adds the request to the identifier's hours, if it can: see ``Verdict.is_recorded``.

    While the store does not count, this process counts by itself, and tells the store later. Without ``RATE_LIMIT_FAIL_OPEN``, raise
    ``StoreUnavailable`` once the store has been unavailable for ``PATIENCE``, unless there is no window.
    """
    counter = _get_counter()
    owed = counter.stand_in.take_owed(identifier, windows)
    try:
        verdict = counter.breaker.call(lambda: counter.store.count(identifier, windows, owed, records=records))
    except StoreUnavailable as error:
        is_owed = isinstance(error, NotAsked)
        if is_owed:
            counter.stand_in.return_owed(identifier, windows, owed)
        stand_in = counter.get_stand_in(error) if windows else counter.stand_in
        return stand_in.count(identifier, windows, is_owed=is_owed)
    counter.stand_in.remember(identifier, verdict.states, owed)
    return verdict


def read_windows(identifier: str, windows: Sequence[Window]) -> tuple[WindowState, ...]:
    """Return the state of each window by ``identifier`` without counting a request.

    Raise ``StoreUnavailable`` like ``count_request()``.
    """
    if not windows:
        return ()
    counter = _get_counter()
    try:
        return counter.breaker.call(lambda: counter.store.look(identifier, windows))
    except StoreUnavailable as error:
        return counter.get_stand_in(error).look(identifier, windows)


def read_hours(identifiers: Sequence[str]) -> list[Hours] | None:
    """Return the hours of each identifier that the store has recorded, or ``None`` if it records none.

    The circuit breaker does not know about this: it protects requests, and only requests may open it. Raise
    ``StoreUnavailable``.
    """
    counter = _get_counter()
    if not counter.is_enabled:
        return None
    try:
        return counter.store.read_hours(identifiers)
    except Exception as error:
        # Each cache client has its own exceptions.
        raise StoreUnavailable(describe(error)) from error


class Counter:
    """The rate-limit store of one process for one state of the settings, with its circuit breaker and its stand-in."""

    def __init__(self, alias: str, is_enabled: bool) -> None:
        self.alias, self.is_enabled = alias, is_enabled
        self.process = os.getpid()
        self.breaker = Breaker()
        self.stand_in = LocalStore()

    @cached_property
    def store(self) -> Store:
        if not self.is_enabled:
            raise CountRefused("RATELIMIT_ENABLE is False")
        return _open_redis(caches[self.alias]) or _open_ratelimit(self.alias)

    def get_stand_in(self, error: StoreUnavailable) -> LocalStore:
        """Return the store to use after this error. Raise the error if requests should be refused instead."""
        # An invalid counter concerns one identifier, so refusing its requests would not protect anything.
        is_outage = not isinstance(error, CountRefused) and self.breaker.away >= PATIENCE
        if is_outage and not conf.RATE_LIMIT_FAIL_OPEN:
            raise error
        return self.stand_in


_current: Counter | None = None


def _get_counter() -> Counter:
    global _current
    counter = _current
    # A forked child must not share its parent's connections.
    if counter is None or counter.process != os.getpid():
        alias = getattr(settings, "RATELIMIT_USE_CACHE", "default")
        # Two threads may each create a counter. The last one is kept, and the other serves a single request.
        counter = _current = Counter(alias, getattr(settings, "RATELIMIT_ENABLE", True))
    return counter


@receiver(setting_changed)
def _forget_counter(setting: str, **kwargs: object) -> None:
    global _current
    if setting in {"CACHES", "RATELIMIT_USE_CACHE", "RATELIMIT_ENABLE"}:
        _current = None


def _open_redis(cache: BaseCache) -> Store | None:
    """Return a store on the cache's Redis servers, or ``None`` if the cache does not use Redis in a known way."""
    client: Any = cache._cache if isinstance(cache, RedisCache) else getattr(cache, "client", None)
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(client).__mro__]
    if REDIS_CLIENTS.isdisjoint(names):
        return None
    # redis-py is an optional dependency, but every Redis cache needs it.
    from closient_auth.limits.discovery import find_store

    return find_store(client, cache, is_known=names[0] in REDIS_CLIENTS)


def _open_ratelimit(alias: str) -> Store:
    # Projects on Redis do not need django-ratelimit's private functions.
    from closient_auth.limits.ratelimit import RatelimitStore

    return RatelimitStore(alias)
