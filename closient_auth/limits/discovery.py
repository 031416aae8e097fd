"""Find the Redis servers of a cache: one server, the primary of a Sentinel service, or the nodes of a Redis Cluster."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from threading import Lock
from typing import Any

import redis
from django.core.cache import BaseCache
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisClusterException
from redis.sentinel import SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from closient_auth.limits import redis as store
from closient_auth.limits.windows import StoreUnavailable

# These options of a connection identify the server and the login.
LOGIN = {"username", "password", "credential_provider", "client_name"}
ADDRESS = {"host", "port", "path", "db"}
POOLS = {redis.ConnectionPool, redis.BlockingConnectionPool}
CONNECTIONS = {redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection}
MANAGED_CONNECTIONS = {
    SentinelManagedConnection: redis.Connection,
    SentinelManagedSSLConnection: redis.SSLConnection,
}
# Sending the client's name and version needs two round trips per new connection, and protocol 3 needs another.
HANDSHAKE = {
    "protocol": 2,
    **({"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}),
}


def find_store(client: Any, cache: BaseCache, *, is_known: bool) -> store.RedisStore | None:
    """Return a store on the Redis servers of a cache's client, or ``None`` if they are not known.

    If the client's class is not known, only a Redis Cluster is used, because another client may shard the keys itself.
    """
    try:
        backend = client.get_client(write=True)
    except NotImplementedError:
        # django-redis's sharding client has a connection for each key.
        return None
    if isinstance(backend, RedisCluster):
        return store.RedisStore(Cluster(backend), cache.make_key)
    pool: Any = backend.connection_pool if is_known else None
    # Other classes of pools and connections may find their server in any way.
    if type(pool) in POOLS and pool.connection_class in CONNECTIONS:
        options = _get_options(pool, LOGIN | ADDRESS)
        return store.RedisStore(store.Server(partial(pool.connection_class, **options)), cache.make_key)
    if isinstance(pool, SentinelConnectionPool) and _is_plain(pool):
        return store.RedisStore(store.Server(Primary(pool).connect), cache.make_key)
    return None


class Primary:
    """The primary server of a Sentinel service. Each new connection asks the sentinels for its address."""

    def __init__(self, pool: Any) -> None:
        self._service = pool.service_name
        self._make_connection = partial(
            MANAGED_CONNECTIONS[pool.connection_class], **_get_options(pool, LOGIN | {"db"})
        )
        self._manager = copy(pool.sentinel_manager)
        self._manager.sentinels = [_hurry(sentinel.connection_pool) for sentinel in self._manager.sentinels]

    def connect(self) -> Any:
        """Return a connection that is not open yet."""
        host, port = self._manager.discover_master(self._service)
        return self._make_connection(host=host, port=port)


class Cluster:
    """The nodes of a Redis Cluster. redis-py keeps the map of its slots.

    redis-py's client sleeps and retries during a failover, which would block every request for seconds.
    """

    def __init__(self, client: Any) -> None:
        nodes: list[Any] = client.get_nodes()
        pool = client.get_redis_connection(nodes[0]).connection_pool
        options = _get_options(pool, LOGIN)
        self._make_connection = partial(pool.connection_class, **options)
        self._client: Any = RedisCluster(
            startup_nodes=[ClusterNode(node.host, node.port) for node in nodes],  # type: ignore[no-untyped-call]
            require_full_coverage=False,
            address_remap=client.nodes_manager.address_remap,
            ssl=issubclass(pool.connection_class, redis.SSLConnection),
            **options,
        )
        self._servers: dict[tuple[str, int], store.Server] = {}
        # The slots that moved since the map was read
        self._moved: dict[int, tuple[str, int]] = {}
        self._refreshing = Lock()

    def evaluate(self, keys: Sequence[str], arguments: Sequence[object], deadline: float) -> Any:
        """See ``Servers.evaluate()``. All keys are in the slot of the first one."""
        try:
            slot = self._client.keyslot(keys[0])
            address = self._moved.get(slot) or self._find(keys[0])
            try:
                return self._get_server(address).evaluate(keys, arguments, deadline)
            except AskError as error:
                # A node that does not know its own name leaves the host empty.
                target = self._client.nodes_manager.remap_host_port(error.host or address[0], error.port)
                if is_moved := isinstance(error, MovedError):
                    self._moved[slot] = target
                store.require_time(deadline)
                return self._get_server(target).evaluate(keys, arguments, deadline, is_asking=not is_moved)
        except (redis.ConnectionError, redis.TimeoutError, ClusterDownError, RedisClusterException, StoreUnavailable):
            self._refresh()
            raise

    def read_hashes(self, keys: Sequence[str], deadline: float) -> list[dict[bytes, bytes]]:
        """See ``Servers.read_hashes()``. A slot that has moved raises an error, and the next call finds it."""
        groups = defaultdict(list)
        hashes: dict[str, dict[bytes, bytes]] = {}
        try:
            for key in keys:
                groups[self._moved.get(self._client.keyslot(key)) or self._find(key)].append(key)
            for address, group in groups.items():
                found = self._get_server(address).read_hashes(group, deadline)
                hashes.update(zip(group, found, strict=True))
        except (redis.RedisError, RedisClusterException, StoreUnavailable):
            self._refresh()
            raise
        return [hashes[key] for key in keys]

    def _find(self, key: str) -> tuple[str, int]:
        node = self._client.get_node_from_key(key)
        return node.host, node.port

    def _get_server(self, address: tuple[str, int]) -> store.Server:
        if address not in self._servers:
            host, port = address
            self._servers[address] = store.Server(partial(self._make_connection, host=host, port=port))
        return self._servers[address]

    def _refresh(self) -> None:
        """Read the map of slots again, from any node. If another thread does so already, return at once."""
        if not self._refreshing.acquire(blocking=False):
            return
        try:
            # Without a reachable node the old map stays.
            with suppress(redis.RedisError, RedisClusterException):
                self._client.nodes_manager.initialize()
                self._moved.clear()
        finally:
            self._refreshing.release()


def _get_options(pool: Any, names: set[str]) -> dict[str, Any]:
    options = pool.connection_kwargs.items()
    chosen = {name: value for name, value in options if name in names or name.startswith("ssl_")}
    return {**chosen, **HANDSHAKE, "socket_timeout": store.TIMEOUT, "socket_connect_timeout": store.TIMEOUT}


def _hurry(pool: Any) -> redis.Redis:
    """Return a client of the pool's server with short timeouts and without retries."""
    options = _get_options(pool, LOGIN | ADDRESS)
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=pool.connection_class, **options))


def _is_plain(pool: Any) -> bool:
    is_own = type(pool).get_master_address is SentinelConnectionPool.get_master_address
    return is_own and pool.is_master and pool.connection_class in MANAGED_CONNECTIONS
