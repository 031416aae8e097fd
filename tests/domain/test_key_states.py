"""The state of a key in Python and in SQL. Run these tests with each user model in ``tests.accounts``."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
import time_machine
from django.conf import settings as django_settings
from django.utils import timezone

from closient_auth.models import ApiKey
from closient_auth.models.api_keys import KeyState
from tests.factories import UserFactory, make_key

# Account has no ``is_active``, so its users cannot be inactive.
ACTIVITY = (True,) if django_settings.AUTH_USER_MODEL == "accounts.Account" else (True, False)
SECOND = timedelta(seconds=1)
EXPIRY = {"never": None, "past": -SECOND, "now": timedelta(0), "later": SECOND}

# (is_active, expiry, user is active) -> state. Revocation comes first, then expiry, then the inactive user.
STATES = {
    (True, "never", True): "active",
    (True, "never", False): "user_inactive",
    (True, "later", True): "active",
    (True, "later", False): "user_inactive",
    (True, "now", True): "expired",
    (True, "now", False): "expired",
    (True, "past", True): "expired",
    (True, "past", False): "expired",
    (False, "never", True): "revoked",
    (False, "never", False): "revoked",
    (False, "later", True): "revoked",
    (False, "later", False): "revoked",
    (False, "now", True): "revoked",
    (False, "now", False): "revoked",
    (False, "past", True): "revoked",
    (False, "past", False): "revoked",
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    with time_machine.travel(timezone.now().replace(microsecond=0), tick=False):
        yield timezone.now()


@pytest.fixture
def grid(now):
    """Return the expected state by primary key, for one key of each row and key type."""
    active = UserFactory.create()
    users = {True: active, False: UserFactory.create(is_active=False) if False in ACTIVITY else None}
    grid = {}
    for (is_active, expiry, user_is_active), prefix in product(STATES, ("csb", "csu", "cpk")):
        if user_is_active not in ACTIVITY or (prefix != "csu" and not user_is_active):
            continue
        delta = EXPIRY[expiry]
        holder = {"user": users[user_is_active]} if prefix == "csu" else {}
        # The creator does not affect the state.
        creator = users[ACTIVITY[-1]]
        api_key, _ = make_key(prefix, expires_at=delta if delta is None else now + delta, created_by=creator, **holder)
        if not is_active:
            api_key.revoke()
        grid[api_key.pk] = STATES[is_active, expiry, user_is_active]
    return grid


def test_state_in_python(grid):
    assert {api_key.pk: api_key.state.value for api_key in ApiKey.objects.select_related("user")} == grid


@pytest.mark.parametrize("state", ["active", "revoked", "expired", "user_inactive"])
def test_state_in_sql(grid, state):
    expected = {pk for pk, its_state in grid.items() if its_state == state}

    assert expected or (state == "user_inactive" and ACTIVITY == (True,))
    assert set(ApiKey.objects.in_state(state).values_list("pk", flat=True)) == expected


def test_active(grid):
    assert {api_key.pk for api_key in ApiKey.objects.active()} == {
        pk for pk, state in grid.items() if state == "active"
    }


def test_states_divide_the_keys(grid):
    found = [api_key.pk for state in KeyState for api_key in ApiKey.objects.in_state(state)]

    assert sorted(found) == sorted(grid)


def test_state_narrows_what_was_asked_for(grid):
    prefixes = ApiKey.objects.filter(prefix="csu").active().values_list("prefix", flat=True)

    assert set(prefixes) == {"csu"}


def test_unknown_state_is_an_error():
    with pytest.raises(ValueError, match="is not a valid KeyState"):
        ApiKey.objects.in_state("asleep")


def test_key_expires_at_the_second(now):
    api_key, _ = make_key(expires_at=now + SECOND)

    for passed, state in ((0.999, "active"), (1, "expired"), (1.001, "expired")):
        with time_machine.travel(now + timedelta(seconds=passed), tick=False):
            assert api_key.state == state
            assert [found.pk for found in ApiKey.objects.in_state(state)] == [api_key.pk]


@pytest.mark.skipif(ACTIVITY == (True,), reason="nobody can be deactivated in this user model")
def test_user_who_comes_back_has_their_keys_again():
    user = UserFactory.create(is_active=False)
    api_key, _ = make_key("csu", user=user)
    assert api_key.state == "user_inactive"

    user.is_active = True
    user.save()

    assert ApiKey.objects.get().state == "active"
    assert ApiKey.objects.active().count() == 1


def test_works_without_time_zones(settings):
    settings.USE_TZ = False
    past, later = (timezone.now() + delta for delta in (-SECOND, timedelta(hours=1)))

    expired, _ = make_key(expires_at=past)
    active, _ = make_key(expires_at=later)

    assert (expired.state, active.state) == ("expired", "active")
    assert [api_key.pk for api_key in ApiKey.objects.active()] == [active.pk]
    assert [api_key.pk for api_key in ApiKey.objects.in_state("expired")] == [expired.pk]
    assert ApiKey.objects.get(pk=active.pk).expires_at == later
