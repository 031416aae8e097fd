"""
Run each test file in a process of its own, so a file that needs another one to run first fails.

``python -m tests.alone`` runs all files, ``python -m tests.alone -m "not slow" --ignore=tests/api/test_keys.py tests/api``
some. Other options go to pytest. The processes are forked from one that has imported libraries but nothing of the project,
which saves half a second for each file.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

# None of a distribution with a pytest plugin: pytest refuses these, because it could no longer rewrite their assertions.
LIBRARIES = ["django.contrib.admin.sites", "django.db.backends.sqlite3.base", "django.test", "redis"]


def list_files(paths: list[Path], ignored: list[Path]) -> list[Path]:
    found = [sorted(path.rglob("test_*.py")) if path.is_dir() else [path] for path in paths]
    return [file for files in found for file in files if not {file, *file.parents} & set(ignored)]


def run(options: list[str], path: Path) -> tuple[int, str]:
    """Run pytest in a child process. Return its exit code and its output."""
    with tempfile.TemporaryFile("w+") as output:
        child = os.fork()
        if child == 0:
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                code = int(pytest.main([*options, str(path)]))
                sys.stdout.flush()
                os._exit(code)
            except BaseException:
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
    for library in LIBRARIES:
        import_module(library)

    tests: Counter[str] = Counter()
    failed = []
    for path in files:
        code, output = run(["-q", "-m", arguments.m, *options], path)
        last = output.rpartition("\n")[2]
        for number, outcome in re.findall(r"(\d+) (passed|failed|error|skipped)", last):
            tests[outcome] += int(number)
        # All tests of a file may be deselected.
        if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            print(f"{path}: {last}", flush=True)
        else:
            failed.append(path)
            print(f"{path}:\n{output}", flush=True)
    for path in failed:
        print(f"FAILED {path}")
    print(", ".join(f"{number} {outcome}" for outcome, number in tests.items()), f"in {len(files)} files, each alone")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
