from __future__ import annotations

import pytest
from django.apps import apps
from django.db.models.signals import class_prepared, post_delete, post_save, pre_delete, pre_save

from closient_auth.models.anchors import connect_signals
from tests.commands.conftest import refuse

__all__ = ["refuse"]


def use(settings, name):
    """Use a class of ``adapters.py``, without the signals that keep the organizations up to date."""
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": f"tests.memberships.adapters.{name}"}


SIGNALS = {"keep": pre_save, "update": post_save, "find": pre_delete, "delete": post_delete}


@pytest.fixture
def connect(settings):
    """Return a function that does the same with the signals: ``connect("TeamMemberships")``."""

    def connect(name):
        use(settings, name)
        connect_signals()

    yield connect
    for name, signal in SIGNALS.items():
        for sender in apps.get_models():
            signal.disconnect(sender=sender, dispatch_uid=f"closient_auth.{name}_anchor")
    class_prepared.disconnect(dispatch_uid="closient_auth.connect_anchors")


@pytest.fixture
def teams(connect):
    """The project with teams."""
    connect("TeamMemberships")


@pytest.fixture
def companies(connect):
    """The project with companies."""
    connect("CompanyMemberships")
