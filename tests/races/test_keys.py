from __future__ import annotations

import time
from threading import Event

import pytest
from django.test import RequestFactory
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.models import ApiKey
from tests.factories import make_key
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]

USERS = 4


def is_accepted(raw_key):
    try:
        ApiKeyAuthentication().authenticate(Request(RequestFactory().get("/", headers={"X-API-Key": raw_key})))
    except AuthenticationFailed:
        return False
    return True


@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_no_use_that_began_after_the_revocation_is_accepted(prefix):
    neighbour, neighbour_key = make_key(prefix)
    tries = 0
    turns = rounds(12)
    for _ in turns:
        api_key, raw_key = make_key(prefix)
        used, done = Event(), Event()
        revoked: list[float] = []
        uses: list[list[tuple[float, float, bool]]] = [[] for _ in range(USERS)]

        def use(mine, raw_key=raw_key, used=used, done=done):
            after = 0
            while after < 20:
                # Read ``done`` before the attempt, so each counted attempt started after the revocation.
                after += done.is_set()
                began = time.monotonic()
                accepted = is_accepted(raw_key)
                mine.append((began, time.monotonic(), accepted))
                if len(mine) == 5:
                    used.set()

        def revoke(api_key=api_key, used=used, done=done, revoked=revoked):
            assert used.wait(30)
            revoked.append(time.monotonic())
            ApiKey.objects.get(pk=api_key.pk).revoke()
            revoked.append(time.monotonic())
            done.set()

        assert race(revoke, *(lambda mine=mine: use(mine) for mine in uses)) == [None] * (USERS + 1)

        tries += sum(map(len, uses))
        before, after = revoked
        early = [accepted for mine in uses for _, ended, accepted in mine if ended < before]
        late = [accepted for mine in uses for began, _, accepted in mine if began > after]
        # The key was used before the revocation and tried again after it.
        assert len(early) >= 5
        assert all(early)
        assert len(late) >= 10 * USERS
        assert not any(late)
        # The write of ``last_used`` did not reactivate the key.
        assert not ApiKey.objects.get(pk=api_key.pk).is_active
    assert tries > 80 * len(turns)
    assert is_accepted(neighbour_key)


def test_revocations_at_once_are_one():
    for _ in rounds(12):
        api_key, raw_key = make_key()
        revoke = [lambda pk=api_key.pk: ApiKey.objects.get(pk=pk).revoke() for _ in range(4)]

        assert race(*revoke) == [None] * 4
        assert not is_accepted(raw_key)
