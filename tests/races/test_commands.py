"""Concurrent commands that revoke several keys, each in one transaction."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command

from tests.factories import OrganizationFactory, make_key
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]


def revoke(api_keys, results):
    """Return a function to revoke these keys and to add the output."""

    def run():
        stdout = io.StringIO()
        call_command("revoke_api_key", "--json", *[str(api_key.pk) for api_key in api_keys], stdout=stdout)
        results.append([row["id"] for row in json.loads(stdout.getvalue()) if row["revoked"]])

    return run


def test_keys_are_locked_in_one_order():
    for _ in rounds(6):
        organization = OrganizationFactory.create()
        api_keys = sorted((make_key(organization=organization)[0] for _ in range(8)), key=lambda key: key.pk)
        neighbour, _ = make_key(organization=organization)
        results: list[list[str]] = []

        commands = [revoke(each, results) for each in (api_keys, api_keys[::-1])] * 2
        assert race(*commands) == [None] * 4

        # One of the commands has revoked all keys, and the others none.
        assert sorted(map(len, results)) == [0, 0, 0, 8]
        assert list(organization.api_keys.active()) == [neighbour]
