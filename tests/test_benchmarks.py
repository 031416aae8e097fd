"""Run the benchmark in its short mode: every table row has a figure, and every package is measured."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.cache import cache

from benchmarks.report import ROWS
from benchmarks.variants import VARIANTS

ROOT = Path(__file__).resolve().parent.parent
POSTGRES_URL = os.environ.get("CLOSIENT_AUTH_TEST_DATABASE_URL", "")
REDIS_URL = os.environ.get("CLOSIENT_AUTH_TEST_REDIS_URL", "")

pytestmark = pytest.mark.skipif(
    "CLOSIENT_AUTH_TEST_BENCHMARKS" not in os.environ or not POSTGRES_URL.startswith("postgresql:") or not REDIS_URL,
    reason="takes minutes: needs CLOSIENT_AUTH_TEST_BENCHMARKS, PostgreSQL and Redis",
)


def run(folder, *options):
    command = [sys.executable, "-m", "benchmarks", "--short", "--output", str(folder), *options]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert process.returncode == 0, process.stderr
    return (folder / "report.md").read_text()


def get_cells(report, title):
    [line] = [line for line in report.splitlines() if line.startswith(f"| {title} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_row_has_a_figure(tmp_path):
    cache.clear()
    server = POSTGRES_URL.rpartition("/")[0] + "/postgres"

    report = run(tmp_path, "--postgres", server, "--redis", REDIS_URL)

    for title, *_, bound in ROWS:
        _, measured, wanted = get_cells(report, title)
        assert float(measured) >= 0
        assert wanted.endswith(f"{bound:.2f}")
    for variant in VARIANTS:
        assert len(re.findall(rf"^\| {re.escape(variant.name)} \|", report, re.M)) == 3
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.md",
        "results.json",
        "performance-postgresql.svg",
        "performance-sqlite.svg",
        "performance-http.svg",
    }


def test_what_is_missing_is_named(tmp_path):
    report = run(tmp_path, "--redis", "redis://127.0.0.1:1/0")

    for title, part, *_ in ROWS:
        _, measured, _ = get_cells(report, title)
        assert measured.startswith("skipped: no Redis at redis://127.0.0.1:1/0") is ("SQLite" not in part)
