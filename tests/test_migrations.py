from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

TABLES = {"closient_auth_organization", "closient_auth_membership", "closient_auth_apikey"}
USER_MODELS = [
    "auth.User",
    "accounts.User",
    "accounts.Guest",
    "accounts.Account",
    "accounts.Traveller",
    "accounts.Customer",
]


def tables():
    return {name for name in connection.introspection.table_names() if name.startswith("closient_auth_")}


@pytest.mark.django_db
def test_models_and_migrations_agree():
    call_command("makemigrations", "closient_auth", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_back_to_nothing_and_forth_again():
    before = tables()
    assert before >= TABLES
    try:
        call_command("migrate", "closient_auth", "zero", verbosity=0)
        assert tables() == set()
    finally:
        call_command("migrate", "closient_auth", verbosity=0)
    assert tables() == before


def run(*command, user_model):
    """Run Python with the settings of the tests, another user model and a separate database."""
    environment = {
        **os.environ,
        "CLOSIENT_AUTH_TEST_USER_MODEL": user_model,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    # The test database is in use.
    environment.pop("CLOSIENT_AUTH_TEST_DATABASE_URL", None)
    environment.pop("CLOSIENT_AUTH_TEST_REDIS_URL", None)
    return subprocess.run([sys.executable, *command], env=environment, timeout=300, capture_output=True, text=True)


@pytest.mark.sqlite
@pytest.mark.parametrize("user_model", USER_MODELS)
def test_every_user_model_needs_the_same_migrations(user_model):
    done = run("-m", "django", "makemigrations", "--check", "--dry-run", user_model=user_model)

    assert (done.returncode, done.stdout) == (0, "No changes detected\n"), done.stderr


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.skipif(settings.AUTH_USER_MODEL != "auth.User", reason="started by the run with Django's user model")
@pytest.mark.parametrize("user_model", USER_MODELS[1:])
def test_domain_with_another_user_model(user_model):
    modules = ["tests/test_migrations.py", "tests/domain/test_key_states.py", "tests/domain/test_reminders.py"]
    modules += ["tests/domain/test_sole_owners.py"]
    if user_model == "accounts.Traveller":
        modules += ["tests/domain/test_audit.py", "tests/domain/test_key_creation.py"]
    if user_model == "accounts.Customer":
        modules += ["tests/domain/test_last_owner.py", "tests/test_hidden_users.py"]

    done = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *modules, "-k", "not every_user_model", user_model=user_model
    )

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
