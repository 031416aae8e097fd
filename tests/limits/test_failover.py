"""Redis behind Sentinel and Redis Cluster, with real processes."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from closient_auth.limits import counter
from closient_auth.limits.counter import count_request, read_hours, read_windows
from closient_auth.limits.redis import RedisStore
from closient_auth.limits.windows import Count, StoreUnavailable, Window
from tests.limits.conftest import DJANGO, DJANGO_REDIS, seconds_left
from tests.redis_servers import cluster, require_redis_server, sentinel_service, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

LIMIT = 20
HOUR, DAY = 3_600, 86_400
WINDOWS = [Window(10_000, HOUR), Window(LIMIT, DAY)]
CLIENT = Window(50, DAY, "10.0.0.1")


@pytest.fixture
def sentinel(tmp_path):
    require_redis_server()
    with sentinel_service(tmp_path) as servers:
        yield servers


@pytest.fixture
def nodes(tmp_path):
    require_redis_server()
    with cluster(tmp_path) as nodes:
        yield nodes


@pytest.fixture(params=["django", "django-redis"])
def sentinel_cache(request, sentinel, use_cache):
    port = sentinel[2].port
    if request.param == "django":
        pool = {"pool_class": "tests.limits.pools.SentinelPool"}
        return use_cache(BACKEND=DJANGO, LOCATION=f"redis://limits@127.0.0.1:{port}/1", OPTIONS=pool)
    options: dict[str, Any] = {
        "CLIENT_CLASS": "django_redis.client.SentinelClient",
        "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
        "SENTINELS": [("127.0.0.1", port)],
    }
    # django-redis caches a pool for each address, and each test has its own servers.
    return use_cache(BACKEND=DJANGO_REDIS, LOCATION=f"redis://limits/1?client_name={port}", OPTIONS=options)


@pytest.fixture(params=["django", "django-redis"])
def cluster_cache(request, nodes, use_cache):
    location = f"redis://127.0.0.1:{nodes[1].port}"
    if request.param == "django":
        return use_cache(BACKEND="tests.limits.pools.ClusterCache", LOCATION=location)
    options = {"CLIENT_CLASS": "tests.limits.pools.DjangoRedisClusterClient"}
    return use_cache(BACKEND=DJANGO_REDIS, LOCATION=location, OPTIONS=options)


def get_names():
    """Return names whose windows do not end within ten minutes, with or without a client."""
    for name in map(str, range(100_000)):
        if all(
            seconds_left(counter, HOUR) > 600 < seconds_left(counter, DAY) for counter in (name, f"{name}:10.0.0.1")
        ):
            yield name


def get_name_of(node):
    """Return a name and its slot, which is one of the first node."""
    slots = ((name, node.run("CLUSTER", "KEYSLOT", get_key(name))) for name in get_names())
    return next((name, slot) for name, slot in slots if slot < 16_384 // 3)


def get_key(name):
    return f":1:closient_auth:limits:{{{name}}}"


def read_count(server, name, db):
    with server.connect(db) as client:
        return int(client.hget(get_key(name), f"{DAY}:count") or 0)


def count(name, times, windows=WINDOWS):
    return sum(count_request(name, windows).allowed for _ in range(times))


def count_until_resumed(name, replica):
    """Count until the replica is promoted and counts, then until the limit is reached. Return the admitted requests."""
    admitted = 0

    def is_resumed():
        nonlocal admitted
        admitted += count(name, 1)
        return replica.run("ROLE")[0] == b"master" and replica.count_calls("evalsha") > 0

    wait_until(is_resumed, "the new primary counts")
    return admitted + count(name, 3 * LIMIT)


def test_sentinel_takes_one_trip(sentinel, sentinel_cache):
    primary, replica, watcher = sentinel
    assert type(counter._get_counter().store) is RedisStore
    name = next(get_names())
    assert count(name, 2) == 2
    calls = [primary.count_calls("evalsha"), primary.count_calls("select"), watcher.count_calls("sentinel|masters")]

    assert count(name, 10, [CLIENT, *WINDOWS]) == 10

    after = [primary.count_calls("evalsha"), primary.count_calls("select"), watcher.count_calls("sentinel|masters")]
    assert after == [calls[0] + 10, calls[1], calls[2]]
    assert read_count(primary, name, 1) == 12
    assert replica.count_calls("evalsha") == 0


@pytest.mark.parametrize("sentinel_cache", ["django"], indirect=True)
@pytest.mark.parametrize("event", ["kill", "freeze"])
@pytest.mark.hurried
def test_sentinel_failover(sentinel, sentinel_cache, event):
    primary, replica, _ = sentinel
    name = next(get_names())
    assert count(name, 5) == 5
    primary.run("WAIT", 1, 5_000)
    primary.stop() if event == "kill" else primary.freeze()

    admitted = 5 + count_until_resumed(name, replica)

    # This process and the new primary each admit the limit at most.
    assert LIMIT <= admitted <= 2 * LIMIT
    assert read_count(replica, name, 1) == LIMIT


@pytest.mark.parametrize("sentinel_cache", ["django"], indirect=True)
def test_a_primary_that_became_a_replica_costs_no_request(sentinel, sentinel_cache, lines):
    primary, replica, watcher = sentinel
    name = next(get_names())
    assert count(name, 5) == 5
    primary.run("WAIT", 1, 5_000)
    watcher.run("SENTINEL", "REMOVE", "limits")
    replica.run("REPLICAOF", "NO", "ONE")
    # The open connections stay, and get READONLY.
    primary.run("REPLICAOF", "127.0.0.1", replica.port)
    watcher.run("SENTINEL", "MONITOR", "limits", "127.0.0.1", replica.port, 1)
    wait_until(lambda: watcher.connect().sentinel_masters()["limits"]["is_master"])

    assert count(name, 5) == 5

    assert read_count(replica, name, 1) == 10
    assert lines() == []


def test_a_sentinel_pool_with_an_address_of_its_own_is_not_used(use_cache):
    require_redis_server()
    options = {"pool_class": "tests.limits.pools.StubbornPool"}
    use_cache(BACKEND=DJANGO, LOCATION="redis://limits@127.0.0.1:1/1", OPTIONS=options)

    assert type(counter._get_counter().store) is not RedisStore


def test_cluster_takes_one_trip_to_the_right_node(nodes, cluster_cache):
    assert type(counter._get_counter().store) is RedisStore
    names = list(islice(get_names(), 30))
    windows = [CLIENT, *WINDOWS]
    for name in names:
        assert count(name, 1, windows) == 1
    before = [node.count_calls("evalsha") for node in nodes]
    slots = [node.count_calls("cluster|slots") for node in nodes]

    for name in names:
        assert count(name, 3, windows) == 3

    calls = [node.count_calls("evalsha") - number for node, number in zip(nodes, before, strict=True)]
    assert sum(calls) == 3 * len(names)
    assert all(calls[:3])
    assert calls[3] == 0
    assert [node.count_calls("cluster|slots") for node in nodes] == slots
    for name in names:
        assert [state.count for state in read_windows(name, windows)] == [4, 4, 4]


@pytest.mark.parametrize("cluster_cache", ["django"], indirect=True)
def test_cluster_moves_a_slot(nodes, cluster_cache, lines):
    source, target, *_ = nodes
    ids = [node.run("CLUSTER", "MYID") for node in nodes]
    name, slot = get_name_of(source)
    assert count(name, 3) == 3

    # The key is still there, then it moves (ASK), then its slot does (MOVED).
    target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    assert count(name, 1) == 1
    source.run("MIGRATE", "127.0.0.1", target.port, get_key(name), 0, 5_000)
    assert count(name, 1) == 1
    target.run("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    source.run("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    assert count(name, 1) == 1
    calls = source.count_calls("evalsha")
    assert count(name, 1) == 1

    assert source.count_calls("evalsha") == calls
    assert read_count(target, name, 0) == 7
    assert lines() == []


def test_cluster_records_the_hours(nodes, cluster_cache):
    """The hours of an identifier are in the slot of its limits. To read them is one trip to each node."""
    windows, names = [CLIENT, *WINDOWS], [f"name {number}" for number in range(30)]
    for number, name in enumerate(names):
        for _ in range(1 + number % 2):
            assert count_request(name, windows, records=True).is_recorded
        assert count_request(name, [], records=True).is_recorded
    before = sum(node.count_calls("hgetall") for node in nodes)

    hours = read_hours([*names, "other"])

    assert hours is not None
    assert [[*found.values()] for found in hours] == [*[[Count(2)], [Count(3)]] * 15, []]
    assert sum(node.count_calls("hgetall") for node in nodes) - before == 31


@pytest.mark.parametrize("cluster_cache", ["django"], indirect=True)
def test_cluster_finds_the_hours_of_a_slot_that_has_moved(nodes, cluster_cache):
    source, target, *_ = nodes
    ids = [node.run("CLUSTER", "MYID") for node in nodes]
    name, slot = get_name_of(source)
    assert count_request(name, [], records=True).is_recorded
    target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    source.run("MIGRATE", "127.0.0.1", target.port, f":1:closient_auth:usage:{{{name}}}", 0, 5_000)
    for node in nodes[:3]:
        node.run("CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    with pytest.raises(StoreUnavailable, match=r"^MovedError$"):
        read_hours([name])
    (hours,) = read_hours([name]) or []
    assert [*hours.values()] == [Count(1)]


@pytest.mark.parametrize("cluster_cache", ["django"], indirect=True)
def test_one_request_reads_the_map_of_slots_again(nodes, cluster_cache):
    """Each attempt may wait for several nodes, so the other requests do not make it as well."""
    name, _ = get_name_of(nodes[0])
    assert count(name, 1) == 1
    store: Any = counter._get_counter().store
    nodes[0].stop()

    def count_reads():
        return sum(node.count_calls("cluster|slots") for node in nodes[1:])

    before = count_reads()
    with store.servers._refreshing:
        assert count(name, 2) == 2
    assert count_reads() == before
    assert count(name, 1) == 1
    assert count_reads() == before + 1


@pytest.mark.parametrize("cluster_cache", ["django"], indirect=True)
@pytest.mark.parametrize("event", ["kill", "freeze"])
@pytest.mark.hurried
def test_cluster_failover(nodes, cluster_cache, event):
    primary, _, _, replica = nodes
    name, _ = get_name_of(primary)
    assert count(name, 5) == 5
    primary.run("WAIT", 1, 5_000)
    primary.stop() if event == "kill" else primary.freeze()

    admitted = 5 + count_until_resumed(name, replica)

    assert LIMIT <= admitted <= 2 * LIMIT
    assert read_count(replica, name, 0) == LIMIT
