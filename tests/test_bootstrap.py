"""The output of ``make`` without a suitable Python."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.checkout import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite,
    pytest.mark.skipif(not shutil.which("make"), reason="needs make"),
]

# A fake python3, with an old version or without venv. It runs the bootstrap with the real Python.
STUB = """#!/bin/sh
[ "$1" = -c ] && exit {status}
exec {python} -c '
import runpy, sys
sys.argv[:1] = []
sys.executable, sys.version = sys.argv.pop(0), "3.9.2"
runpy.run_path(sys.argv[0], run_name="__main__")
' "$0" "$@"
"""
OLD, BARE = 3, 4
NONE = "Python 3.11 or later is required, but {name} was not found."
SENTENCES = {
    None: NONE.format(name="python3"),
    OLD: "Python 3.11 or later is required, but {python} is version 3.9.2.",
    BARE: "The venv module of {python} is missing. Install it and try again "
    "(Debian, Ubuntu: apt install python3-venv).",
}


@pytest.fixture
def run(tmp_path):
    """Run ``make`` in a fresh copy, with a shell and at most one Python on the ``PATH``."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh"):
        (programs / name).symlink_to(str(shutil.which(name)))
    for name in ("Makefile", "pyproject.toml", "scripts/bootstrap.py"):
        copy = tmp_path / "checkout" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)

    def run(*arguments, status=None, **environment):
        python = programs / "python3"
        if status is not None:
            python.write_text(STUB.format(status=status, python=sys.executable))
            python.chmod(0o755)
        process = subprocess.run(
            [programs / "make", *arguments],
            cwd=tmp_path / "checkout",
            env={"PATH": str(programs), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not (tmp_path / "checkout" / ".venv").exists()
        said = [line for line in process.stdout.splitlines() if not line.startswith("make: ***")]
        return process.returncode, [line.replace(str(python), "{python}") for line in said]

    return run


@pytest.mark.parametrize("target", ["demo", "test", "lint", "benchmark", "pictures"])
@pytest.mark.parametrize("status", SENTENCES, ids=["none", "old", "bare"])
def test_missing_python_is_one_sentence(run, target, status):
    assert run(target, status=status) == (2, [SENTENCES[status]])


@pytest.mark.parametrize("target", ["demo", "test"])
def test_chosen_python_that_is_not_there_is_one_sentence(run, target):
    assert run(target, "PYTHON=nopython", status=OLD) == (2, [NONE.format(name="nopython")])


@pytest.mark.parametrize(
    ("url", "group"),
    [
        ("", "test"),
        ("postgresql://postgres@127.0.0.1:5432/closient_auth", "postgres"),
        ("mysql://root@127.0.0.1:3306/closient_auth", "mariadb"),
    ],
)
def test_tests_get_the_driver_of_their_database(run, url, group):
    status, lines = run("test", "--dry-run", status=OLD, CLOSIENT_AUTH_TEST_DATABASE_URL=url)

    assert status == 0
    assert f"scripts/bootstrap.py {group})" in "\n".join(lines)
