"""
Compare the cost of a request with that of other packages:  python -m benchmarks [--short]

Writes Markdown tables, plots and the raw figures to a folder. Rows that need a missing PostgreSQL or Redis are skipped,
with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import environment

# Types of connections to PostgreSQL, as changes to a persistent connection.
CONNECTIONS: dict[str, dict[str, Any]] = {
    "persistent": {},
    "persistent, server-side binding": {"OPTIONS": {"server_side_binding": True}},
    "persistent, server-side binding, prepared statements": {
        "OPTIONS": {"server_side_binding": True, "prepare_threshold": 5}
    },
    "pool": {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": True}},
    "a new one for each request": {"CONN_MAX_AGE": 0},
}

SHORT = {
    "process": {"over_http": False, "rounds": 3, "requests": 15},
    "connections": {"over_http": False, "rounds": 1, "requests": 10},
    "http": {"over_http": True, "rounds": 1, "requests": 30},
    "growth": {"keys": [1_000, 20_000], "requests": [10, 1_000], "rounds": 2},
    "contention": {"keys": 200, "seconds": 0.25, "rounds": 1},
}
LONG = {
    "process": {"over_http": False, "rounds": 21, "requests": 80},
    "connections": {"over_http": False, "rounds": 21, "requests": 80},
    "http": {"over_http": True, "rounds": 11, "requests": 200},
    "growth": {"keys": [1_000, 5_000_000], "requests": [10, 100_000], "rounds": 21},
    "contention": {"keys": 1_000, "seconds": 3, "rounds": 7},
}


def main() -> None:
    options = parse()
    environment.enter()
    from benchmarks import report
    from benchmarks.services import Missing
    from benchmarks.variants import BARE, CLOSIENT_0, CLOSIENT_60, TOKEN

    sizes = SHORT if options.short else LONG
    compared = [variant.name for variant in (BARE, TOKEN, CLOSIENT_60, CLOSIENT_0)]
    steps = [
        (report.SQLITE, "rounds", sizes["process"], on_sqlite),
        (report.POSTGRESQL, "rounds", sizes["process"], on_servers),
        *(
            (
                f"{report.CONNECTIONS}{name}",
                "rounds",
                {**sizes["connections"], "variants": compared},
                partial(on_servers, **changes),
            )
            for name, changes in CONNECTIONS.items()
        ),
        (report.HTTP, "rounds", sizes["http"], on_servers),
        (report.GROWTH, "growth", sizes["growth"], on_servers),
        (report.CONTENTION, "contention", sizes["contention"], on_servers),
    ]
    results: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for number, (part, module, size, open_services) in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {part}", file=sys.stderr)
        start = time.monotonic()
        try:
            with open_services(options) as variables:
                results[part] = run(module, size, variables)
        except Missing as missing:
            skipped[part] = str(missing)
            print(f"  skipped: {missing}", file=sys.stderr)
        else:
            print(f"  {time.monotonic() - start:.0f} s", file=sys.stderr)
    write(options.output, results, skipped, short=options.short)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--short", action="store_true", help="few rounds, for a quick look (a few minutes)")
    parser.add_argument("--output", type=Path, default=environment.ROOT / "benchmarks" / "results", metavar="FOLDER")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432/postgres", metavar="URL")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/14", metavar="URL", help="an empty database")
    return parser.parse_args()


@contextmanager
def on_sqlite(options: argparse.Namespace) -> Iterator[dict[str, str]]:
    from benchmarks import services

    with tempfile.TemporaryDirectory() as folder:
        yield {"BENCHMARK_DATABASES": json.dumps({"default": services.sqlite(Path(folder))})}


@contextmanager
def on_servers(options: argparse.Namespace, **changes: Any) -> Iterator[dict[str, str]]:
    from benchmarks import services

    with ExitStack() as stack:
        databases = {
            alias: stack.enter_context(services.postgresql(options.postgres, f"{services.NAME}_{alias}"))
            for alias in ("default", "large")
        }
        databases["default"] |= changes
        redis = stack.enter_context(services.empty_redis(options.redis))
        yield {"BENCHMARK_DATABASES": json.dumps(databases), "BENCHMARK_REDIS": redis}


def run(module: str, size: dict[str, Any], variables: dict[str, str]) -> Any:
    """Run a measurement in a separate process; return its JSON output."""
    process = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", json.dumps(size)],
        env={**os.environ, **variables, "DJANGO_SETTINGS_MODULE": "benchmarks.host.settings"},
        cwd=environment.ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(process.stdout)


def write(folder: Path, results: dict[str, Any], skipped: dict[str, str], *, short: bool) -> None:
    from benchmarks import plots, report

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"results": results, "skipped": skipped}, indent=1))
    text = report.make_report(results, skipped, short=short)
    (folder / "report.md").write_text(text)
    for part, name in [(report.POSTGRESQL, "postgresql"), (report.SQLITE, "sqlite"), (report.HTTP, "http")]:
        if part in results:
            plots.plot_costs(part, results[part], folder / f"performance-{name}.svg")
    print(text)
    print(f"Written to {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
