"""The compiled query returns the same rows and values as the queryset it replaces."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.core.lookup import find_key
from closient_auth.keys import KeyType
from closient_auth.models import ApiKey, Organization
from closient_auth.models.api_keys import KeyState
from closient_auth.roles import KEY_RULES, KeyHolder
from tests.factories import OrganizationFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

NOW = timezone.now()
STATES: dict[KeyState, dict[str, Any]] = {
    KeyState.ACTIVE: {},
    KeyState.REVOKED: {"is_active": False},
    KeyState.EXPIRED: {"expires_at": NOW - timedelta(days=1)},
}


def find_plainly(hashed_key):
    return ApiKey.objects.select_related("organization", "user").filter(hashed_key=hashed_key).first()


def get_values(instance):
    """Return the column values of an instance, its model and its state."""
    if instance is None:
        return None
    columns = {field.attname: vars(instance)[field.attname] for field in instance._meta.concrete_fields}
    return {**columns, "model": type(instance), "database": instance._state.db, "adding": instance._state.adding}


def find_with_holder(hashed_key):
    """Find the key as a request does that names its type."""
    prefix = ApiKey.objects.filter(hashed_key=hashed_key).values_list("prefix", flat=True).first()
    return find_key(hashed_key, KEY_RULES[prefix].holder if prefix else KeyHolder.USER)


@pytest.fixture(params=[find_key, find_with_holder, find_plainly])
def find(request):
    return request.param


@pytest.fixture
def neighbours():
    """Create other keys of all types. No lookup may return them."""
    return [make_key(prefix, name="neighbour")[0] for prefix in KeyType.values]


@pytest.mark.parametrize("prefix", KeyType.values)
@pytest.mark.parametrize("state", STATES)
def test_state(find, neighbours, prefix, state):
    api_key, _ = make_key(prefix)
    ApiKey.objects.filter(pk=api_key.pk).update(**STATES[state])

    found = find(api_key.hashed_key)

    assert found == api_key
    assert found.state == state


@pytest.mark.skipif(settings.AUTH_USER_MODEL == "accounts.Account", reason="all users of this model are active")
def test_user_inactive(find, neighbours):
    api_key, _ = make_key(KeyType.USER, user=UserFactory.create(is_active=False))
    assert find(api_key.hashed_key).state == KeyState.USER_INACTIVE


@pytest.mark.parametrize("hashed_key", ["", "0" * 64, "%s", "' OR 1=1 --", "é"])
def test_unknown(find, neighbours, hashed_key):
    assert find(hashed_key) is None


def test_hash_in_capitals_is_unknown():
    api_key, _ = make_key()
    found = find_plainly(api_key.hashed_key.upper())
    assert get_values(find_key(api_key.hashed_key.upper())) == get_values(found)


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("prefix", KeyType.values)
@pytest.mark.parametrize("find", [find_key, find_with_holder], indirect=True)
def test_every_value_is_the_plain_one(find, neighbours, prefix, use_tz):
    with override_settings(USE_TZ=use_tz):
        now = timezone.now()
        api_key, _ = make_key(
            prefix,
            name="Weather station — Zürich",
            description="%s",
            created_by=UserFactory.create(),
            expires_at=now + timedelta(days=1),
            rate_limit_per_minute=7,
            rate_limit_per_day=11,
        )
        ApiKey.objects.filter(pk=api_key.pk).update(last_used=now)
        found: Any = find(api_key.hashed_key)
        plain = find_plainly(api_key.hashed_key)

        assert get_values(found) == get_values(plain)
        assert found.name == "Weather station — Zürich"
        assert found.expires_at == now + timedelta(days=1)
        with CaptureQueriesContext(connection) as queries:
            assert get_values(found.organization) == get_values(plain.organization)
            assert get_values(found.user) == get_values(plain.user)
            assert (found.user is None) is (prefix != KeyType.USER)
            assert (found.organization is None) is (prefix == KeyType.USER)
        assert len(queries) == 0


@pytest.mark.parametrize(("prefix", "holder"), [("csb", KeyHolder.USER), ("csu", KeyHolder.ORGANIZATION)])
def test_other_holder_than_the_expected_one(prefix, holder):
    """The text of a key in another format may begin like a key of another type."""
    api_key, _ = make_key(prefix)

    found: Any = find_key(api_key.hashed_key, holder)

    plain = find_plainly(api_key.hashed_key)
    assert get_values(found) == get_values(plain)
    assert (found.organization, found.user, found.state) == (plain.organization, plain.user, KeyState.ACTIVE)


@pytest.mark.parametrize(
    ("holder", "other"), [(KeyHolder.ORGANIZATION, get_user_model()), (KeyHolder.USER, Organization)]
)
def test_other_holder_is_not_joined(holder, other):
    with CaptureQueriesContext(connection) as queries:
        find_key("0" * 64, holder)

    [query] = queries
    assert query["sql"].count(" JOIN ") == 1
    assert other._meta.db_table not in query["sql"]


def test_one_statement_with_the_hash_as_its_parameter():
    hashed_key = "0" * 64
    seen = []

    def watch(execute, sql, params, many, context):
        seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        find_key(hashed_key)

    [(sql, params)] = seen
    assert list(params) == [hashed_key]
    assert hashed_key not in sql


def test_nothing_of_a_row_is_kept():
    api_key, _ = make_key(name="before")
    find_key(api_key.hashed_key)
    other = OrganizationFactory.create()
    ApiKey.objects.filter(pk=api_key.pk).update(name="after", organization=other, rate_limit_per_day=1)

    found: Any = find_key(api_key.hashed_key)

    assert (found.name, found.organization, found.rate_limit_per_day) == ("after", other, 1)
    api_key.delete()
    assert find_key(api_key.hashed_key) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="each thread has a database of its own in memory")
def test_each_thread_asks_over_its_own_connection():
    api_key, _ = make_key(KeyType.USER)
    find_key(api_key.hashed_key)
    found = []

    def find_and_close():
        found.append(find_key(api_key.hashed_key))
        connection.close()

    threads = [Thread(target=find_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [api_key] * 4
