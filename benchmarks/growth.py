"""
Measure the effect of the number of keys, and of the number of requests in a window.

    python -m benchmarks.growth '{"keys": [1000, 5000000], "requests": [10, 100000], "rounds": 20}'

Prints JSON with the median microseconds of each round for each number.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from hashlib import sha256

from benchmarks.rounds import prepare

SAMPLES = 200


def main() -> None:
    options = json.loads(sys.argv[1])
    prepare()
    keys = dict(zip(("default", "large"), options["keys"], strict=True))
    for alias, number in keys.items():
        fill(alias, number)
    results = {
        "lookup": measure({number: look_up(alias, number) for alias, number in keys.items()}, options["rounds"]),
        "limits": measure({number: count(number) for number in options["requests"]}, options["rounds"]),
    }
    print(json.dumps(results))


def fill(alias: str, number: int) -> None:
    from django.core.management import call_command
    from django.db import connections

    from benchmarks.host.data import load_keys
    from benchmarks.host.routers import Current

    print(f"  making {number} keys", file=sys.stderr)
    Current.alias = alias
    call_command("migrate", database=alias, verbosity=0)
    load_keys(1)
    with connections[alias].cursor() as cursor:
        # Skip the foreign key checks for each row.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(copy_sql(), [number])
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE closient_auth_apikey")


def copy_sql() -> str:
    """Return the SQL to copy the newest key ``%s`` times. Each copy has the hash of its number."""
    from closient_auth.models import ApiKey

    columns = [field.column for field in ApiKey._meta.concrete_fields]
    own = {"id": "gen_random_uuid()", "hashed_key": "encode(sha256(n::text::bytea), 'hex')"}
    return (
        f"INSERT INTO closient_auth_apikey ({', '.join(columns)}) "
        f"SELECT {', '.join(own.get(column, column) for column in columns)} "
        "FROM (SELECT * FROM closient_auth_apikey ORDER BY created_at DESC LIMIT 1) AS newest, "
        "generate_series(1, %s) AS n"
    )


def look_up(alias: str, number: int) -> Callable[[], None]:
    """Return a function to look up a random key in a database."""
    from benchmarks.host.routers import Current
    from closient_auth.core.lookup import find_key
    from closient_auth.roles import KeyHolder

    def look_up() -> None:
        Current.alias = alias
        find_key(sha256(str(random.randint(1, number)).encode()).hexdigest(), KeyHolder.ORGANIZATION)

    # Load the index into memory.
    for _ in range(min(number, 20_000)):
        look_up()
    return look_up


def count(number: int) -> Callable[[], None]:
    """Return a function to count a request of a key with this number of earlier requests."""
    from closient_auth.limits.counter import count_request
    from closient_auth.limits.windows import Window

    windows = [Window(1_000_000_000, 60), Window(1_000_000_000, 86_400)]

    def count() -> None:
        count_request(f"key with {number} requests", windows)

    print(f"  counting {number} requests", file=sys.stderr)
    for _ in range(number):
        count()
    return count


def measure(operations: dict[int, Callable[[], None]], rounds: int) -> dict[int, list[float]]:
    medians: dict[int, list[float]] = {number: [] for number in operations}
    for _ in range(rounds):
        times: dict[int, list[float]] = {number: [] for number in operations}
        # Alternate the operations, so other load affects them equally.
        for _ in range(SAMPLES):
            for number, operation in operations.items():
                start = time.perf_counter()
                operation()
                times[number].append((time.perf_counter() - start) * 1e6)
        for number in operations:
            medians[number].append(statistics.median(times[number]))
    return medians


if __name__ == "__main__":
    main()
