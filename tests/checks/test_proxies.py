"""``W028``: clients are told apart by address, but every client has the address of the proxy."""

from __future__ import annotations

import pytest
from django.core import checks
from django.core.checks import Tags
from django.db import connection

from closient_auth.checks import check_rows
from tests.factories import make_key

SIGNS = {
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
    "USE_X_FORWARDED_HOST": True,
    "USE_X_FORWARDED_PORT": True,
}


@pytest.fixture
def run_with_database(db):
    """Run the checks as ``manage.py check --database default`` does, and return the ids."""

    def run():
        found = checks.run_checks(databases=["default"])
        return [message.id for message in found if str(message.id).startswith("closient_auth.")]

    return run


@pytest.mark.parametrize("sign", SIGNS)
def test_limits_by_client(find, run, settings, sign):
    settings.CLOSIENT_AUTH = {"PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE": 5}
    assert run() == []
    setattr(settings, sign, SIGNS[sign])

    assert sign in find("W028").msg
    settings.CLOSIENT_AUTH = {"PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE": 5, "TRUSTED_PROXIES": 1}
    assert run() == []


@pytest.mark.parametrize("sign", SIGNS)
def test_networks_of_keys(run, run_with_database, settings, sign):
    key = make_key(allowed_networks=["203.0.113.0/24"])[0]
    make_key()
    assert run_with_database() == []
    setattr(settings, sign, SIGNS[sign])

    assert run_with_database() == ["closient_auth.W028"]
    # Without ``--database``, the checks send no query.
    assert run() == []
    settings.CLOSIENT_AUTH = {"TRUSTED_PROXIES": 1}
    assert run_with_database() == []
    settings.CLOSIENT_AUTH = {}
    key.change(allowed_networks=[])
    assert run_with_database() == []


def test_other_database_and_invalid_settings(settings, db):
    make_key(allowed_networks=["203.0.113.0/24"])
    settings.USE_X_FORWARDED_HOST = True

    assert check_rows(databases=["other"]) == check_rows() == []
    settings.CLOSIENT_AUTH = {"TRUSTED_PROXIES": "1"}
    assert check_rows(databases=["default"]) == []


@pytest.mark.django_db(transaction=True)
def test_before_the_first_migration(settings):
    settings.USE_X_FORWARDED_HOST = True
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE closient_auth_apikey RENAME TO closient_auth_hidden")
        try:
            assert check_rows(databases=["default"]) == []
        finally:
            cursor.execute("ALTER TABLE closient_auth_hidden RENAME TO closient_auth_apikey")


def test_check_is_registered_for_databases():
    assert Tags.database in vars(check_rows)["tags"]
