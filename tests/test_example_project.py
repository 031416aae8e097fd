"""The checks and tests of the example project pass in a separate process, with its own settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import closient_auth

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

EXAMPLE = Path(__file__).resolve().parent.parent / "example_project"


@pytest.fixture
def manage(tmp_path):
    """Return a function to run a ``manage.py`` command with an empty database; it returns the output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "EXAMPLE_"))}
    environment |= {
        # Use the package under test, either the checkout or a wheel.
        "PYTHONPATH": str(Path(closient_auth.__file__).parents[1]),
        "EXAMPLE_DATABASE_URL": f"sqlite:///{tmp_path / 'example.sqlite3'}",
    }

    def manage(*arguments: str, **variables: str) -> str:
        process = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning", "manage.py", *arguments],
            cwd=EXAMPLE,
            env=environment | variables,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    return manage


def test_checks(manage):
    assert "no issues" in manage("check", "--fail-level", "WARNING")


def test_checks_for_production(manage):
    manage("check", "--fail-level", "ERROR", "--deploy", EXAMPLE_DEBUG="0", EXAMPLE_SECRET_KEY="not-for-the-demo" * 4)


def test_no_migration_is_missing(manage):
    assert "No changes detected" in manage("makemigrations", "--check", "--dry-run")


def test_demo_data_twice(manage):
    manage("migrate", "--verbosity=0")
    first = manage("load_demo")

    assert manage("load_demo") == first
    assert "Alpine Outdoor: 5 products, 6 offers, 3 invoices" in first
    assert "Harbor Coffee: 4 products, 5 offers, 3 invoices" in first


def test_description_of_the_api(manage):
    assert "/account/api/v1/me/key:" in manage("spectacular", "--fail-on-warn", "--validate")


def test_its_own_tests(manage):
    manage("test")
