"""
Run each test file in a process of its own, so a file that needs another one to run first fails.

``python -m tests.alone`` runs all files; ``python -m tests.alone --jobs 1 -m "not slow" tests/api`` some. Other options
are pytest's. The processes are forked from one that has imported libraries and nothing of the project, which saves half
a second for each file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from tests.checkout import ROOT


def preload() -> None:
    """Import libraries, but none with a pytest plugin: pytest refuses those, because it rewrites their assertions."""
    import django.contrib.admin.sites
    import django.db.backends.sqlite3.base
    import django.test
    import redis  # noqa: F401


def list_files(paths: list[str]) -> list[Path]:
    found = [sorted(path.rglob("test_*.py")) if path.is_dir() else [path] for path in map(Path, paths)]
    return [file for files in found for file in files]


def run_file(options: list[str], path: Path) -> tuple[Path, int, str]:
    """Return the path, pytest's exit code and its output. Success includes a file whose tests are all deselected."""
    with tempfile.TemporaryFile("w+") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        code = pytest.main([*options, str(path)])
        sys.stdout.flush()
        output.seek(0)
        return path, 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code), output.read()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="files at a time")
    parser.add_argument("-m", default="", metavar="MARKERS")
    parser.add_argument("paths", nargs="*", default=[str(ROOT / "tests")])
    arguments, options = parser.parse_known_args()
    files = list_files(arguments.paths)
    preload()

    failed = 0
    with multiprocessing.get_context("fork").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        run = partial(run_file, ["-q", "-m", arguments.m, *options])
        for path, code, output in pool.imap_unordered(run, files, chunksize=1):
            failed += bool(code)
            last = output.strip().rpartition("\n")[2]
            print(f"{path}:\n{output}" if code else f"{path}: {last}", flush=True)
    print(f"{len(files) - failed} files passed alone, {failed} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
