"""Redis servers, a Sentinel service and a Redis Cluster on free ports of loopback, for tests to stop and to start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest
import redis

from tests.ports import get_free_port


def require_redis_server():
    if not os.environ.get("CLOSIENT_AUTH_TEST_REDIS_URL"):
        pytest.skip("Redis is not tested here")
    if not shutil.which("redis-server"):
        # A skipped test must not go unnoticed in CI.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("There is no redis-server to start.")


def wait_until(is_true, what="the servers are ready"):
    """Call the function until it returns a true value, and return that. Ignore Redis's errors until then."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if result := is_true():
                return result
        except redis.RedisError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"It did not come true that {what}.")


class Server:
    """A Redis server. ``with Server(folder) as server:`` starts it, and kills it at the end."""

    def __init__(self, folder, *options):
        self.folder, self.options = folder, options
        # A cluster has a second port for its bus.
        self.port, self.bus = get_free_port(), get_free_port()
        self.url = f"redis://127.0.0.1:{self.port}/1"

    def __enter__(self):
        self.start(*self.options)
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def start(self, *options):
        address = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", ""]
        # By default, a primary waits five seconds for more replicas, and ten for the first sign of life.
        hurry = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
        command = ["redis-server", *address, *hurry, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with self.connect() as client:
            # A server with a password responds as well.
            wait_until(lambda: is_responding(client))

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def connect(self, db=0):
        return redis.Redis(port=self.port, db=db)

    def run(self, *command):
        with self.connect() as client:
            return client.execute_command(*command)

    def count_calls(self, command):
        """Return how often the command was called."""
        with self.connect() as client:
            return client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]


def is_responding(client):
    try:
        return client.ping()
    except redis.AuthenticationError:
        return True


@contextmanager
def sentinel_service(folder):
    """Start a primary and a replica with a sentinel, and yield the three. The service is called ``limits``."""
    with ExitStack() as stack:
        primary = stack.enter_context(Server(folder))
        replica = stack.enter_context(Server(folder, "--replicaof", "127.0.0.1", str(primary.port)))
        sentinel = Server(folder)
        config = folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor limits 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds limits 500\n"
            "sentinel failover-timeout limits 3000\n"
        )
        command = ["redis-server", config, "--sentinel", "--port", str(sentinel.port), "--bind", "127.0.0.1"]
        sentinel.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        stack.callback(sentinel.stop)
        with sentinel.connect() as client:
            wait_until(lambda: [row["master-link-status"] for row in client.sentinel_slaves("limits")] == ["ok"])
        yield primary, replica, sentinel


@contextmanager
def cluster(folder):
    """Start a cluster of three primaries, the first one with a replica, and yield the four nodes."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(start_node(folder, number)) for number in range(4)]
        for number, node in enumerate(nodes[:3]):
            start, end = 16_384 * number // 3, 16_384 * (number + 1) // 3 - 1
            node.run("CLUSTER", "ADDSLOTSRANGE", start, end)
            node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            node.run("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].bus)
        wait_until(lambda: all(node.run("CLUSTER", "NODES").count(b"\n") == 4 for node in nodes))
        nodes[3].run("CLUSTER", "REPLICATE", nodes[0].run("CLUSTER", "MYID"))
        wait_until(lambda: nodes[3].run("INFO", "replication").get("master_link_status") == "up")
        wait_until(lambda: all(is_complete(node) for node in nodes))
        yield nodes


def start_node(folder, number):
    directory = folder / str(number)
    directory.mkdir()
    node = Server(directory, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    node.options += ("--cluster-port", str(node.bus))
    return node


def is_complete(node):
    """Return whether the node knows all slots, and the replica of the first ones."""
    rows = node.run("CLUSTER", "SLOTS")
    return b"cluster_state:ok" in node.run("CLUSTER", "INFO") and sorted(map(len, rows)) == [3, 3, 4]
