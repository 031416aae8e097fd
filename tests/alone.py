"""
Run each test file in a process of its own, so a file that needs another one to run first fails.

``python -m tests.alone`` runs all files, ``python -m tests.alone -m "not slow" --ignore=tests/api/test_keys.py tests/api``
some. Other options go to pytest. The processes are forked from one that has set up Django, as pytest-django does before it
loads a test file, and has imported libraries: this saves a second for each file. They share one test database, unless it is
SQLite's in memory.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import django
import pytest
from django.test.utils import setup_databases, teardown_databases

# Also imported beforehand, because they are slow to import.
LIBRARIES = ["django.contrib.admin.sites", "django.test", "factory", "hypothesis", "redis", "rest_framework.test"]


def list_files(paths: list[Path], ignored: list[Path]) -> list[Path]:
    found = [sorted(path.rglob("test_*.py")) if path.is_dir() else [path] for path in paths]
    return [file for files in found for file in files if not {file, *file.parents} & set(ignored)]


def create_database() -> None:
    setup_databases(verbosity=0, interactive=False)


def drop_database() -> None:
    teardown_databases(setup_databases(verbosity=0, interactive=False, keepdb=True), verbosity=0)


def run(operation: Callable[[], int | None]) -> tuple[int, str]:
    """Run the operation in a child process. Return its exit code and its output."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                code = int(operation() or 0)
                sys.stdout.flush()
                os._exit(code)
            except BaseException:
                traceback.print_exc()
                os._exit(pytest.ExitCode.INTERNAL_ERROR)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().strip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.alone")
    parser.add_argument("-m", default="", metavar="MARKERS")
    parser.add_argument("--ignore", type=Path, action="append", default=[])
    parser.add_argument("paths", type=Path, nargs="*", default=[Path("tests")])
    arguments, options = parser.parse_known_args()
    files = list_files(arguments.paths, arguments.ignore)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    for library in LIBRARIES:
        import_module(library)

    code, output = run(create_database)
    if code:
        print(output)
        return code
    common = ["-q", "--reuse-db", "-W", "ignore:Module already imported", "-m", arguments.m]
    tests: Counter[str] = Counter()
    failed = []
    for path in files:
        code, output = run(partial(pytest.main, [*common, *options, str(path)]))
        last = output.rpartition("\n")[2]
        for number, outcome in re.findall(r"(\d+) (passed|failed|error|skipped)", last):
            tests[outcome] += int(number)
        # All tests of a file may be deselected.
        if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            print(f"{path}: {last}", flush=True)
        else:
            failed.append(path)
            print(f"{path}:\n{output}", flush=True)
    code, output = run(drop_database)
    if code:
        print(output)
    for path in failed:
        print(f"FAILED {path}")
    print(", ".join(f"{number} {outcome}" for outcome, number in tests.items()), f"in {len(files)} files, each alone")
    return int(bool(failed or code))


if __name__ == "__main__":
    sys.exit(main())
