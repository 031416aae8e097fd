"""
Measure the CPU time per request in interleaved rounds, so other load on the machine affects all variants equally.

    python -m benchmarks.rounds '{"over_http": false, "rounds": 15, "requests": 60}'

Prints JSON with microseconds per request for each variant and round: CPU of the web process, CPU of the database and
Redis servers, and elapsed time.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django

from benchmarks import gunicorn, services
from benchmarks.variants import VARIANTS, Variant

Send = Callable[[Variant, int], None]
# Seconds so far: CPU of the web processes, CPU of the database and Redis servers, and elapsed time.
Clock = Callable[[], tuple[float, float, float]]


def main() -> None:
    options = json.loads(sys.argv[1])
    credentials = prepare()
    with (over_http if options["over_http"] else in_process)(credentials) as (send, clock):
        chosen = [variant for variant in VARIANTS if variant.name in options.get("variants", [variant.name])]
        print(json.dumps(measure(send, clock, chosen, options["rounds"], options["requests"])))


def prepare() -> dict[str, tuple[str, str]]:
    """Set up Django, create the tables, and return the header of each credential."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.host.settings"
    django.setup()
    from django.core.management import call_command

    from benchmarks.host.data import load

    call_command("migrate", verbosity=0)
    return load()


@contextmanager
def in_process(credentials: dict[str, tuple[str, str]]) -> Iterator[tuple[Send, Clock]]:
    """Send requests to the WSGI handler in this process."""
    from django.conf import settings

    from benchmarks.host.wsgi_client import make_request

    requests = {variant.name: make_request(variant.path, credentials[variant.credential]) for variant in VARIANTS}
    servers = get_servers([os.getpid()])

    def send(variant: Variant, number: int) -> None:
        settings.CLOSIENT_AUTH["LAST_USED_INTERVAL"] = variant.interval
        request = requests[variant.name]
        for _ in range(number):
            check(variant, request())

    yield send, lambda: (time.process_time(), services.cpu_seconds(servers), time.perf_counter())


@contextmanager
def over_http(credentials: dict[str, tuple[str, str]]) -> Iterator[tuple[Send, Clock]]:
    """Send requests to gunicorn with two workers. Each ``LAST_USED_INTERVAL`` has its own gunicorn."""
    with gunicorn.serve(0) as always, gunicorn.serve(60) as seldom:
        ports = {0: always, 60: seldom}

        def send(variant: Variant, number: int) -> None:
            for status in ports[variant.interval].get(variant.path, credentials[variant.credential], number):
                check(variant, status)

        # Warm up, since each worker opens its connections at its first request.
        for variant in VARIANTS:
            send(variant, 30)
        answering = [*always.get_pids(), *seldom.get_pids()]
        servers = get_servers(answering)
        yield (
            send,
            lambda: (services.cpu_seconds(answering), services.cpu_seconds(servers), time.perf_counter()),
        )


def get_servers(clients: list[int]) -> list[int]:
    """Return the processes of the database and of Redis, if they run on this machine."""
    from django.conf import settings
    from django.db import connection

    pids = []
    connection.ensure_connection()
    database = settings.DATABASES["default"]
    # Server processes change with each request unless the connections are persistent.
    if connection.vendor == "postgresql" and database["CONN_MAX_AGE"] is None:
        pids += services.get_postgresql_pids(database)
    if settings.REDIS:
        pids += services.get_redis_pids(settings.REDIS)
    return pids


def measure(send: Send, clock: Clock, variants: list[Variant], rounds: int, requests: int) -> dict[str, Any]:
    from django.core.cache import cache

    result: dict[str, Any] = {variant.name: {"process": [], "servers": [], "clock": []} for variant in variants}
    for number in range(-1, rounds):
        print(f"  round {number + 1} of {rounds}", file=sys.stderr)
        for variant in random.sample(variants, len(variants)):
            # REST framework's throttles keep a list of all requests in the window. It starts empty, in their favour.
            cache.clear()
            send(variant, 3)
            before = clock()
            send(variant, requests)
            after = clock()
            # The first round is a warm-up.
            if number >= 0:
                for part, start, end in zip(result[variant.name], before, after, strict=True):
                    result[variant.name][part].append((end - start) / requests * 1e6)
    return result


def check(variant: Variant, status: int) -> None:
    """Raise ``RuntimeError`` for an unexpected status, because a refusal costs less than a full response."""
    wanted = 401 if variant.credential in {"malformed", "mistyped"} else 200
    if status != wanted:
        raise RuntimeError(f"{variant.name} returned status {status}.")


if __name__ == "__main__":
    main()
