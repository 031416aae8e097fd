from __future__ import annotations

import pytest
from django.db.models.signals import post_delete, post_save

from closient_auth.models.anchors import connect_signals
from tests.memberships.models import Company, Team


def use(settings, name):
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": f"tests.memberships.adapters.{name}"}


@pytest.fixture
def teams(settings):
    """The project with teams."""
    use(settings, "TeamMemberships")
    yield from _connect(Team)


@pytest.fixture
def companies(settings):
    """The project with companies."""
    use(settings, "CompanyMemberships")
    yield from _connect(Company)


def _connect(model):
    connect_signals()
    yield
    for signal, name in ((post_save, "update"), (post_delete, "delete")):
        assert signal.disconnect(sender=model, dispatch_uid=f"closient_auth.{name}_anchor")
