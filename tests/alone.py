"""
Run each test file in a process of its own, so a file that needs another one to run first fails.

``python -m tests.alone`` runs all files; ``python -m tests.alone --jobs 2 -m "not slow" tests/api`` some. Other options
are pytest's. The processes are forked from one that has imported libraries and nothing of the project, which saves half
a second for each file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from importlib import import_module
from itertools import islice
from pathlib import Path

import pytest

from tests.checkout import ROOT

# None of a distribution with a pytest plugin: pytest refuses these, because it could no longer rewrite their assertions.
LIBRARIES = ["django.contrib.admin.sites", "django.db.backends.sqlite3.base", "django.test", "redis"]


def list_files(paths: list[str]) -> list[Path]:
    found = [sorted(path.rglob("test_*.py")) if path.is_dir() else [path] for path in map(Path, paths)]
    return [file for files in found for file in files]


def start(options: list[str], path: Path, output: Path) -> int:
    """Fork, run pytest in the child and write what it prints to a file. Return the process id."""
    if pid := os.fork():
        return pid
    code = 2
    try:
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        code = int(pytest.main([*options, str(path)]))
        sys.stdout.flush()
    finally:
        # All tests of a file may be deselected.
        os._exit(0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.alone")
    parser.add_argument(
        "--jobs", type=int, default=1, help="files at a time; they would share Redis, so only without it"
    )
    parser.add_argument("-m", default="", metavar="MARKERS")
    parser.add_argument("paths", nargs="*", default=[str(ROOT / "tests")])
    arguments, options = parser.parse_known_args()
    options = ["-q", "-m", arguments.m, *options]
    files = list_files(arguments.paths)
    for library in LIBRARIES:
        import_module(library)

    waiting, running, failed = iter(files), dict[int, tuple[Path, Path]](), 0
    with tempfile.TemporaryDirectory() as folder:
        while True:
            for path in islice(waiting, arguments.jobs - len(running)):
                output = Path(folder, "-".join(path.parts[-3:]))
                running[start(options, path, output)] = path, output
            if not running:
                break
            pid, status = os.wait()
            path, output = running.pop(pid)
            text = output.read_text().strip()
            failed += status != 0
            print(f"{path}:\n{text}" if status else f"{path}: {text.splitlines()[-1]}", flush=True)
    print(f"{len(files) - failed} files passed alone, {failed} failed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
