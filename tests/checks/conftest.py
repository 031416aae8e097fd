from __future__ import annotations

import pytest
from django.conf import settings as django_settings
from django.core import checks

from tests.checks.teams import Teams


@pytest.fixture
def run(db):
    """
    Run Django's checks as ``manage.py check`` does, and return the messages of this package.

    Django's own check of ``JSONField`` opens SQLite once, so a test that runs alone needs the database.
    """

    def run():
        return [message for message in checks.run_checks() if str(message.id).startswith("closient_auth.")]

    return run


@pytest.fixture
def find(run):
    """Run the checks and return their only message. Fail unless it has this id and a hint."""

    def find(id):
        messages = run()
        assert [message.id for message in messages] == [f"closient_auth.{id}"]
        assert messages[0].hint
        return messages[0]

    return find


@pytest.fixture(autouse=True)
def debug(settings):
    """Set ``DEBUG``, because W006 reports the local-memory cache of the test settings without it."""
    settings.DEBUG = True


@pytest.fixture
def teams(settings, monkeypatch):
    """Let the teams of ``tests.checks.teams`` have the members, and return a function to choose the model of the teams."""
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": f"{Teams.__module__}.Teams"}
    return lambda model: monkeypatch.setattr(Teams, "team", model)


@pytest.fixture
def rest_framework(settings):
    """Change settings of REST framework. Existing view classes keep their old policies."""

    def rest_framework(**kwargs):
        settings.REST_FRAMEWORK = django_settings.REST_FRAMEWORK | kwargs

    return rest_framework
