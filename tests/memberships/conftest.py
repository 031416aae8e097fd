from __future__ import annotations

import pytest
from django.apps import apps
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from closient_auth.models.anchors import connect_signals
from tests.commands.conftest import refuse

__all__ = ["refuse"]

SIGNALS = {"keep": pre_save, "update": post_save, "find": pre_delete, "delete": post_delete}


@pytest.fixture
def connect(settings):
    """Return a function to use a class of ``adapters.py`` until the end of the test: ``connect("TeamMemberships")``."""

    def connect(name):
        settings.CLOSIENT_AUTH = {"MEMBERSHIPS": f"tests.memberships.adapters.{name}"}
        connect_signals()

    yield connect
    for name, signal in SIGNALS.items():
        for sender in apps.get_models():
            signal.disconnect(sender=sender, dispatch_uid=f"closient_auth.{name}_anchor")


@pytest.fixture
def teams(connect):
    """The project with teams."""
    connect("TeamMemberships")


@pytest.fixture
def companies(connect):
    """The project with companies."""
    connect("CompanyMemberships")
