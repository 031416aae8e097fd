"""
Measure the effect of concurrent requests with one key on the throughput.

    python -m benchmarks.contention '{"seconds": 3, "rounds": 5, "keys": 1000}'

Prints JSON with the requests per second of each round for each case, as the sum of two processes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from benchmarks.rounds import prepare

PROCESSES = 2
CASES: dict[str, dict[str, Any]] = {
    "many keys": {"path": "/closient", "interval": 60, "threads": 1, "hot": False, "atomic": False},
    "one key": {"path": "/closient", "interval": 60, "threads": 1, "hot": True, "atomic": False},
    "50 ms view": {"path": "/closient-slow", "interval": 0, "threads": 8, "hot": True, "atomic": False},
    "50 ms view, ATOMIC_REQUESTS": {
        "path": "/closient-slow", "interval": 0, "threads": 8, "hot": True, "atomic": True,
    },
}  # fmt: skip


def main() -> None:
    options = json.loads(sys.argv[1])
    if "path" in options:
        print(work(**options))
        return
    prepare()
    from benchmarks.host.data import load_keys

    keys = load_keys(options["keys"])
    rates: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(options["rounds"]):
        print(f"  round {number + 1} of {options['rounds']}", file=sys.stderr)
        for name in random.sample(list(CASES), len(CASES)):
            rates[name].append(run(keys, options["seconds"], **CASES[name]))
    print(json.dumps(rates))


def run(keys: list[str], seconds: float, *, hot: bool, atomic: bool, **case: Any) -> float:
    """Return the requests per second of all processes together."""
    databases = json.loads(os.environ["BENCHMARK_DATABASES"])
    databases["default"]["ATOMIC_REQUESTS"] = atomic
    environment = {
        **os.environ,
        "BENCHMARK_DATABASES": json.dumps(databases),
        "BENCHMARK_INTERVAL": str(case.pop("interval")),
    }
    options = json.dumps({**case, "keys": keys[:1] if hot else keys, "seconds": seconds})
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contention", options],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return sum(int(process.communicate(timeout=60 + seconds)[0]) for process in processes) / seconds


def work(path: str, keys: list[str], threads: int, seconds: float) -> int:
    """
    Send requests from ``threads`` threads for ``seconds`` seconds; return the number of responses.

    Prints a line when each thread has sent its first request, and reads a line before the seconds begin.
    """
    import django

    django.setup()
    from benchmarks.host.wsgi_client import make_request

    requests = [make_request(path, ("X-API-Key", key)) for key in keys]

    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    barrier = Barrier(threads, action=wait, timeout=60)

    def send() -> int:
        answered = 0
        random.choice(requests)()
        barrier.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if random.choice(requests)() != 200:
                raise RuntimeError("A request was refused.")
            answered += 1
        return answered

    with ThreadPoolExecutor(threads) as pool:
        return sum(future.result() for future in [pool.submit(send) for _ in range(threads)])


if __name__ == "__main__":
    main()
