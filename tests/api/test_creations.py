"""Creation limits for each user and kind."""

from __future__ import annotations

from http import HTTPStatus

import pytest
import time_machine
from django.core.cache import cache
from rest_framework.test import APIClient

from closient_auth.limits.counter import read_windows
from closient_auth.limits.windows import Window
from tests.factories import make_invitation, make_key

MINUTE, DAY = Window(60, 60), Window(1000, 86_400)
# The kinds, and the routes that count towards each.
KINDS = {
    "organization": ["/organizations"],
    "invitation": ["{tree}/invitations", "{tree}/invitations/{invitation}/resend"],
    "api_key": ["{tree}/keys", "{tree}/keys/{key}/rotate", "/me/keys", "/me/keys/{own}/rotate"],
    "acceptance": ["/invitations/accept"],
}
CASES = [(kind, address) for kind, addresses in KINDS.items() for address in addresses]
# The throttle counts an invalid body too, so no test has to create rows.
NONSENSE = {"nonsense": 1}


@pytest.fixture
def clock(settings):
    """Freeze the clock. The counters use the local memory cache, because Redis has its own clock."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        yield clock
    cache.clear()


@pytest.fixture
def create(clock, call, tree, acme, people):
    """Send a creation request as one of the people, and return the response."""
    invitation, _ = make_invitation(acme, "grace@example.com", by=people["owner"])
    names = {"tree": tree, "invitation": invitation.pk, "key": make_key(organization=acme)[0].pk}
    clients, own = {}, {}
    for name in ("owner", "manager"):
        clients[name] = APIClient()
        clients[name].force_login(people[name])
        own[name] = make_key("csu", user=people[name])[0].pk

    def create(who, address):
        address = address.format(own=own[who], **names)
        return call(address, client=clients[who], method="post", data=NONSENSE)

    return create


@pytest.mark.parametrize(("kind", "address"), CASES)
def test_too_many_in_a_minute(create, send, kind, address):
    assert {create("owner", address).status_code for _ in range(MINUTE.limit)} == {HTTPStatus.BAD_REQUEST}

    refused = create("owner", address)

    assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert 0 < int(refused["Retry-After"]) <= MINUTE.period
    # The routes of the same kind are refused; other kinds, other users and reads are not.
    for other, addresses in KINDS.items():
        status = HTTPStatus.TOO_MANY_REQUESTS if other == kind else HTTPStatus.BAD_REQUEST
        assert {create("owner", address).status_code for address in addresses} == {status}
    assert create("manager", address).status_code == HTTPStatus.BAD_REQUEST
    assert send("owner", "get", "/me").status_code == HTTPStatus.OK


def test_too_many_in_a_day(create, clock, people):
    # Start at the beginning of this user's daily window.
    clock.shift(read_windows(f"acceptance:{people['owner'].pk}", [DAY])[0].reset)
    for _ in range(DAY.limit):
        clock.shift(2)
        assert create("owner", "/invitations/accept").status_code == HTTPStatus.BAD_REQUEST

    refused = create("owner", "/invitations/accept")

    assert (refused.status_code, int(refused["Retry-After"])) == (HTTPStatus.TOO_MANY_REQUESTS, 86_400 - 2000)
    clock.shift(86_400 - 2000)
    assert create("owner", "/invitations/accept").status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("fail_open", "status"), [(True, HTTPStatus.BAD_REQUEST), (False, HTTPStatus.SERVICE_UNAVAILABLE)]
)
def test_creations_that_cannot_be_counted(send, settings, cache_away, fail_open, status):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": fail_open}

    assert send("owner", "post", "/organizations", {}).status_code == status
