"""Markdown tables of the results."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from benchmarks.variants import BARE, CLOSIENT_0, CLOSIENT_60, MALFORMED, MISTYPED, TOKEN, TOKEN_THROTTLED, Variant

Results = dict[str, Any]
Rounds = dict[str, dict[str, list[float]]]
# The parts of a variant's microseconds that are added up.
CPU, CPU_AND_SERVERS, CLOCK = ("process",), ("process", "servers"), ("clock",)

POSTGRESQL, SQLITE, HTTP = "PostgreSQL and Redis", "SQLite and local memory", "over HTTP"
# The results have a part for each type of connection, with this prefix.
CONNECTIONS = "PostgreSQL reached over: "
GROWTH, CONTENTION = "growth", "contention"
PACKAGES = [
    "closient-auth", "django", "djangorestframework", "django-rest-knox", "djangorestframework-api-key",
    "drf-simple-apikey", "psycopg", "redis", "hiredis", "gunicorn",
]  # fmt: skip


def get_parts(title: str) -> Sequence[str]:
    """Return what to compare in a part of the results. Over HTTP, that includes the CPU time of the servers."""
    return CPU_AND_SERVERS if title == HTTP else CPU


def get_totals(rounds: Rounds, variant: Variant, parts: Sequence[str] = CPU) -> list[float]:
    """Return the microseconds per request of each round: CPU time of the process, or the sum of ``parts``."""
    return [sum(values) for values in zip(*(rounds[variant.name][part] for part in parts), strict=True)]


def get_ratio(rounds: Rounds, variant: Variant, reference: Variant, parts: Sequence[str] = CPU) -> float:
    """Return the median over the rounds of the ratio of the times above the bare view."""
    columns = [get_totals(rounds, each, parts) for each in (variant, reference, BARE)]
    return _median((mine - bare) / (theirs - bare) for mine, theirs, bare in zip(*columns, strict=True))


def _median(ratios: Iterable[float]) -> float:
    return float(statistics.median(ratios))


def _cost(variant: Variant, reference: Variant, parts: Sequence[str] = CPU) -> Callable[[Rounds], float]:
    return lambda rounds: get_ratio(rounds, variant, reference, parts)


def _refused(variant: Variant) -> Callable[[Rounds], float]:
    def ratio(rounds: Rounds) -> float:
        pairs = zip(get_totals(rounds, variant), get_totals(rounds, BARE), strict=True)
        return _median(mine / bare for mine, bare in pairs)

    return ratio


def _grown(what: str) -> Callable[[Results], float]:
    def ratio(growth: Results) -> float:
        few, many = growth[what].values()
        return _median(b / a for a, b in zip(few, many, strict=True))

    return ratio


def _rate(case: str, reference: str) -> Callable[[Results], float]:
    def ratio(rates: Results) -> float:
        return _median(a / b for a, b in zip(rates[case], rates[reference], strict=True))

    return ratio


# Each row: title, part of the results, function, sign and bound. A cost has an upper bound, a throughput a lower one.
ROWS: list[tuple[str, str, Callable[[Any], float], str, float]] = [
    ("TokenAuthentication with two throttles, PostgreSQL and Redis, interval 60",
     POSTGRESQL, _cost(CLOSIENT_60, TOKEN_THROTTLED), "≤", 0.50),
    ("TokenAuthentication with two throttles, PostgreSQL and Redis, interval 0",
     POSTGRESQL, _cost(CLOSIENT_0, TOKEN_THROTTLED), "≤", 0.50),
    ("TokenAuthentication without throttles, PostgreSQL and Redis, interval 60",
     POSTGRESQL, _cost(CLOSIENT_60, TOKEN), "≤", 0.70),
    ("TokenAuthentication without throttles, PostgreSQL and Redis, interval 0",
     POSTGRESQL, _cost(CLOSIENT_0, TOKEN), "≤", 1.0),
    ("elapsed time: TokenAuthentication without throttles, PostgreSQL and Redis, interval 0",
     POSTGRESQL, _cost(CLOSIENT_0, TOKEN, CLOCK), "≤", 1.25),
    ("TokenAuthentication without throttles, SQLite and local memory, interval 60",
     SQLITE, _cost(CLOSIENT_60, TOKEN), "≤", 1.0),
    ("over HTTP, servers included: TokenAuthentication with two throttles, interval 60",
     HTTP, _cost(CLOSIENT_60, TOKEN_THROTTLED, CPU_AND_SERVERS), "≤", 0.60),
    ("over HTTP, servers included: TokenAuthentication with two throttles, interval 0",
     HTTP, _cost(CLOSIENT_0, TOKEN_THROTTLED, CPU_AND_SERVERS), "≤", 0.60),
    ("median lookup, most keys against fewest", GROWTH, _grown("lookup"), "≤", 1.25),
    ("limiter, most requests in the window against fewest", GROWTH, _grown("limits"), "≤", 1.25),
    ("throughput of one key against many, 2 processes, interval 60",
     CONTENTION, _rate("one key", "many keys"), "≥", 0.80),
    ("throughput of one key, 50 ms view, interval 0: with ATOMIC_REQUESTS against without",
     CONTENTION, _rate("50 ms view, ATOMIC_REQUESTS", "50 ms view"), "≥", 0.80),
    ("refused by shape against the bare view", POSTGRESQL, _refused(MALFORMED), "≤", 1.5),
    ("refused by checksum against the bare view", POSTGRESQL, _refused(MISTYPED), "≤", 1.5),
]  # fmt: skip


def make_report(results: Results, skipped: dict[str, str], *, short: bool) -> str:
    """Return the whole report in Markdown."""
    sections = [_make_heading(short), _make_rows(results, skipped)]
    for part in (POSTGRESQL, SQLITE, HTTP):
        if part in results:
            sections.append(_make_comparison(part, results[part]))
    ways = {part.removeprefix(CONNECTIONS): rounds for part, rounds in results.items() if part.startswith(CONNECTIONS)}
    if ways:
        sections.append(_make_connections(ways))
    if GROWTH in results:
        sections.append(_make_growth(results[GROWTH]))
    if CONTENTION in results:
        sections.append(_make_contention(results[CONTENTION]))
    return "\n\n".join(sections) + "\n"


def _make_heading(short: bool) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    mode = " Short mode: few rounds and small numbers, so the figures are not reliable." if short else ""
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on {platform.machine()}, "
        f"{versions}.{mode}"
    )


def _make_rows(results: Results, skipped: dict[str, str]) -> str:
    lines = ["| closient-auth against | measured | bound |", "| --- | --- | --- |"]
    for title, part, compute, sign, bound in ROWS:
        measured = f"{compute(results[part]):.2f}" if part in results else f"skipped: {skipped[part]}"
        lines.append(f"| {title} | {measured} | {sign} {bound:.2f} |")
    return "\n".join(lines)


def _make_comparison(part: str, rounds: Rounds) -> str:
    lines = [
        f"## {part}",
        "",
        "| | process, µs | servers, µs | against TokenAuthentication | against it with two throttles |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, parts in rounds.items():
        variant = Variant(name, "")
        ratios = [get_ratio(rounds, variant, reference, get_parts(part)) for reference in (TOKEN, TOKEN_THROTTLED)]
        costs = [statistics.median(parts[each]) for each in CPU_AND_SERVERS]
        lines.append(f"| {name} | {costs[0]:.0f} | {costs[1]:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    return "\n".join(lines)


def _make_connections(ways: dict[str, Rounds]) -> str:
    lines = [
        "## PostgreSQL connections",
        "",
        "Microseconds per request above the bare view: CPU time of the process, and elapsed time.",
        "",
        f"| | {TOKEN.name} | {CLOSIENT_60.name} | {CLOSIENT_0.name} |",
        "| --- | --- | --- | --- |",
    ]
    for name, rounds in ways.items():
        cells = []
        for variant in (TOKEN, CLOSIENT_60, CLOSIENT_0):
            cpu, clock = (
                statistics.median(
                    mine - bare for mine, bare in zip(rounds[variant.name][part], rounds[BARE.name][part], strict=True)
                )
                for part in ("process", "clock")
            )
            cells.append(f"{cpu:.0f} CPU, {clock:.0f} clock")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _make_growth(growth: Results) -> str:
    lines = ["## Growth", "", "| | number | median, µs |", "| --- | --- | --- |"]
    for what, title in (("lookup", "keys in the database"), ("limits", "requests in the window")):
        lines += [
            f"| {title} | {int(number):,} | {statistics.median(medians):.0f} |"
            for number, medians in growth[what].items()
        ]
    return "\n".join(lines)


def _make_contention(rates: Results) -> str:
    lines = ["## One key", "", "| | requests a second |", "| --- | --- |"]
    lines += [f"| {case} | {statistics.median(rounds):.0f} |" for case, rounds in rates.items()]
    return "\n".join(lines)
