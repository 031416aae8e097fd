from __future__ import annotations

from http import HTTPStatus

import pytest
import time_machine
from django.db import connections

from tests.factories import MembershipFactory, make_key
from tests.requests.last_used import NOW


@pytest.fixture
def noon():
    """Stop the clock at ``NOW``."""
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def atomic_requests(monkeypatch):
    """Run each view in a transaction, with ``ATOMIC_REQUESTS``."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


@pytest.fixture(params=[pytest.param(False, id="autocommit"), pytest.param(True, id="atomic_requests")])
def atomic(request):
    """Run each test with and without ``ATOMIC_REQUESTS``; return the mode."""
    if request.param:
        request.getfixturevalue("atomic_requests")
    return request.param


@pytest.fixture
def keys():
    """Return a raw key of a member of each role, all in one organization."""
    organization = MembershipFactory.create(role="owner").organization
    members = {
        role: MembershipFactory.create(organization=organization, role=role)
        for role in ("owner", "manager", "billing", "editor")
    }
    return {role: make_key("csu", user=member.user)[1] for role, member in members.items()}


@pytest.fixture
def who_may(call, keys):
    """Return a function to get the roles with access to a URL. It fails unless the other roles get a 403."""

    def who_may(method, address="/"):
        statuses = {role: call(address, raw_key, method=method).status_code for role, raw_key in keys.items()}
        assert set(statuses.values()) <= {HTTPStatus.OK, HTTPStatus.FORBIDDEN}, statuses
        return {role for role, status in statuses.items() if status == HTTPStatus.OK}

    return who_may
