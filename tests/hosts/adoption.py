"""
Adopt this package in a copy of a host project, as a person would, and run commands and tests there.

A host is a folder beside this module:

``project``   a complete Django project that knows nothing of this package, with its own tests
``adoption``  what a person writes to adopt the package, as diffs; each is one step
``after``     tests that run in the adopted copy, and their ``pytest.ini``

Commands use the database of the host's own settings, a SQLite file in the copy. Tests use the database and the cache of the
outer test run, under another name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import closient_auth
from tests.settings import get_cache, get_database

HOSTS = Path(__file__).resolve().parent
# Variables of the outer test run must not reach the host project.
ALIEN = ("CLOSIENT_AUTH_", "DJANGO_", "PYTEST_", "PYTHON")
TEST_SETTINGS = """
from settings import *

DATABASES = {{"default": {database!r}}}
CACHES = {{"default": {cache!r}}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Django 6.1 warns about projects without it.
MAILERS = {{"default": {{"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}}}
"""


class HostProject:
    """A copy of a host project."""

    def __init__(self, name: str, folder: Path) -> None:
        self.source = HOSTS / name
        made = shutil.ignore_patterns("__pycache__", "*.sqlite3")
        self.folder = shutil.copytree(self.source / "project", folder / name, ignore=made)
        database = get_database(os.environ.get("CLOSIENT_AUTH_TEST_DATABASE_URL", ""))
        if database["NAME"] != ":memory:":
            database["NAME"] += f"_{name}"
        cache = get_cache(os.environ.get("CLOSIENT_AUTH_TEST_REDIS_URL", ""))
        (self.folder / "test_settings.py").write_text(TEST_SETTINGS.format(database=database, cache=cache))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ALIEN)}
        # Use the package under test, either the checkout or a wheel. Git should not take the copy for a part of a checkout.
        self.environment = {
            **kept,
            "GIT_CEILING_DIRECTORIES": str(folder),
            "PYTHONPATH": str(Path(closient_auth.__file__).parents[1]),
        }

    def apply(self, *steps: str) -> None:
        """Write the lines of these steps of the adoption, such as ``"connect"``."""
        for step in steps:
            self._run("git", "apply", "--verbose", str(self._get_diff(step)))

    def manage(self, *arguments: str, settings: str = "settings") -> str:
        """Run ``manage.py`` and return all its output. A warning of Python or another exit code than 0 fails the test."""
        return self._run(sys.executable, "-W", "error", "manage.py", *arguments, f"--settings={settings}")

    def run_own_tests(self) -> int:
        """Run the host's own tests and return their number."""
        if (self.folder / "pytest.ini").exists():
            found = re.search(r"^(\d+) passed", self._run_pytest(), re.M)
        else:
            found = re.search(r"^Ran (\d+) tests", self.manage("test", "--noinput", settings="test_settings"), re.M)
        assert found
        return int(found[1])

    def run_tests_after(self, *options: str) -> str:
        """Run the tests in ``after`` and return the output of pytest."""
        tests = self.folder / "after"
        if not tests.exists():
            shutil.copytree(self.source / "after", tests, ignore=shutil.ignore_patterns("__pycache__"))
        return self._run_pytest("-c", str(tests / "pytest.ini"), *options, str(tests))

    def count_lines(self, step: str) -> int:
        """Return how many lines of code a person writes in this step: neither blank lines nor comments."""
        lines = self._get_diff(step).read_text().splitlines()
        added = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++ ")]
        return sum(bool(line) and not line.startswith("#") for line in added)

    def _get_diff(self, step: str) -> Path:
        return self.source / "adoption" / f"{step}.diff"

    def _run_pytest(self, *options: str) -> str:
        database = ["--create-db", "-p", "no:cacheprovider", "--rootdir", str(self.folder), "--ds", "test_settings"]
        return self._run(sys.executable, "-m", "pytest", "-q", *database, *options)

    def _run(self, *command: str) -> str:
        process = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert process.returncode == 0, f"{' '.join(command)}\n{process.stdout}"
        return process.stdout
