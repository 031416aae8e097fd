"""The commands report a database error in one sentence instead of a traceback."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import InternalError, OperationalError, connection

from closient_auth.models import ApiKey, ApiKeyUsage, AuditEntry, Membership, Organization
from tests.factories import make_key

CHECK = "Check the connection, and run manage.py migrate if needed."


@pytest.fixture
def unmigrated(transactional_db):
    """Rename the tables of the package for one test, to simulate a database before ``migrate``."""
    models = [ApiKey, ApiKeyUsage, AuditEntry, Membership, Organization]
    with connection.schema_editor() as editor:
        for model in models:
            editor.alter_db_table(model, model._meta.db_table, f"away_{model._meta.db_table}")
    yield
    with connection.schema_editor() as editor:
        for model in models:
            editor.alter_db_table(model, f"away_{model._meta.db_table}", model._meta.db_table)


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["collect_api_key_usage"], "Database error: "),
        (["create_api_key", "csb", "--organization", "acme"], "No key was created: database error: "),
        (["forget_user", "ada"], "Database error: "),
        (["list_api_keys"], "Database error: "),
        (["list_ownerless_organizations"], "Database error: "),
        (["prune_audit_entries", "--older-than", "365"], "Database error: "),
        (["remind_expiring_api_keys"], "Database error: "),
        (["revoke_api_key", str(uuid4())], "Nothing was revoked: database error: "),
        (["rotate_api_key", str(uuid4())], "No key was rotated: database error: "),
        (["sync_organizations"], "Database error: "),
    ],
    ids=lambda value: value[0],
)
def test_unmigrated_database(unmigrated, refuse, settings, arguments, start):
    if arguments == ["sync_organizations"]:
        settings.CLOSIENT_AUTH = {"MEMBERSHIPS": "tests.memberships.adapters.TeamMemberships"}
    refused = refuse(*arguments)
    assert refused.error.startswith(start)
    assert refused.error.endswith(f". {CHECK}")


@pytest.mark.parametrize(
    ("error", "reason", "advice"),
    [
        (OperationalError("The database is away."), "The database is away", CHECK),
        # PostgreSQL after a failover, in a database that is read-only.
        (InternalError("cannot execute UPDATE\nLINE 1: ..."), "cannot execute UPDATE", CHECK),
        (OperationalError(1213, "Deadlock found"), "Deadlock found", "Run the command again."),
    ],
    ids=["away", "read-only", "deadlock"],
)
@pytest.mark.parametrize(
    "start", ["UPDATE closient_auth_apikey SET is_active", "INSERT INTO closient_auth_auditentry"], ids=["key", "trail"]
)
def test_database_that_fails_at_the_second_key(refuse, start, error, reason, advice):
    (first, _), (second, _) = make_key(), make_key()
    statements = []

    def fail(execute, sql, params, many, context):
        statement = sql.partition("WHERE")[0].translate(str.maketrans("", "", '"`'))
        if statement.startswith(start):
            statements.append(statement)
            if len(statements) == 2:
                raise error
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        refused = refuse("revoke_api_key", str(first.pk), str(second.pk))
    assert len(statements) == 2
    assert refused.error == f"Nothing was revoked: database error: {reason}. {advice}"
    assert refused.stdout == ""
    assert set(ApiKey.objects.filter(is_active=True)) == {first, second}
