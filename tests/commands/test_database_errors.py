"""The commands report a database error in one sentence instead of a traceback."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection

from closient_auth.models import ApiKey, Membership, Organization


@pytest.fixture
def unmigrated(transactional_db):
    """Rename the tables of the package for one test, to simulate a database before ``migrate``."""
    models = [ApiKey, Membership, Organization]
    with connection.schema_editor() as editor:
        for model in models:
            editor.alter_db_table(model, model._meta.db_table, f"away_{model._meta.db_table}")
    yield
    with connection.schema_editor() as editor:
        for model in models:
            editor.alter_db_table(model, f"away_{model._meta.db_table}", model._meta.db_table)


@pytest.mark.parametrize(
    "arguments",
    [
        ["create_api_key", "csb", "--organization", "acme"],
        ["list_api_keys"],
        ["list_ownerless_organizations"],
        ["remind_expiring_api_keys"],
        ["revoke_api_key", str(uuid4())],
    ],
    ids=lambda arguments: arguments[0],
)
def test_unmigrated_database(unmigrated, refuse, arguments):
    refused = refuse(*arguments)
    assert refused.error.startswith("Database error: ")
    assert refused.error.endswith(" Check the connection, and run manage.py migrate if needed.")
