"""Limits of creations and changes for each user and kind."""

from __future__ import annotations

from http import HTTPStatus

import pytest
import time_machine
from django.core.cache import cache
from rest_framework.test import APIClient

from closient_auth.limits.counter import read_windows
from closient_auth.limits.windows import Window
from tests.factories import MembershipFactory, make_invitation, make_key

MINUTE, DAY = Window(60, 60), Window(1000, 86_400)
# The kinds, and the routes that count towards each.
KINDS = {
    "organization": ["post /organizations", "patch {tree}"],
    "invitation": ["post {tree}/invitations", "post {tree}/invitations/{invitation}/resend"],
    "api_key": [
        *("post {tree}/keys", "patch {tree}/keys/{key}", "post {tree}/keys/{key}/rotate"),
        *("post /me/keys", "patch /me/keys/{own}", "post /me/keys/{own}/rotate"),
    ],
    "acceptance": [f"post /invitations/{answer}" for answer in ("accept", "decline", "preview")],
    "member": ["patch {tree}/members/{member}"],
}
CASES = [(kind, route) for kind, routes in KINDS.items() for route in routes]
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
    """Send a creation or change as one of the people, and return the response."""
    invitation, _ = make_invitation(acme, "grace@example.com", by=people["owner"])
    names = {"tree": tree, "invitation": invitation.pk, "key": make_key(organization=acme)[0].pk}
    names["member"] = acme.memberships.get(user=people["editor"]).pk
    clients, own = {}, {}
    # A second Owner, because a Manager may not change the organization.
    people["second"] = MembershipFactory.create(organization=acme, role="owner").user
    for name in ("owner", "second"):
        clients[name] = APIClient()
        clients[name].force_login(people[name])
        own[name] = make_key("csu", user=people[name])[0].pk

    def create(who, route):
        method, address = route.format(own=own[who], **names).split()
        return call(address, client=clients[who], method=method, data=NONSENSE)

    return create


@pytest.mark.parametrize(("kind", "route"), CASES)
def test_too_many_in_a_minute(create, send, kind, route):
    assert {create("owner", route).status_code for _ in range(MINUTE.limit)} == {HTTPStatus.BAD_REQUEST}

    refused = create("owner", route)

    assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert 0 < int(refused["Retry-After"]) <= MINUTE.period
    # The routes of the same kind are refused; other kinds, other users and reads are not.
    for other, routes in KINDS.items():
        status = HTTPStatus.TOO_MANY_REQUESTS if other == kind else HTTPStatus.BAD_REQUEST
        assert {create("owner", route).status_code for route in routes} == {status}
    assert create("second", route).status_code == HTTPStatus.BAD_REQUEST
    assert send("owner", "get", "/me").status_code == HTTPStatus.OK


@pytest.mark.unmeasured
def test_too_many_in_a_day(create, clock, people):
    # Start at the beginning of this user's daily window.
    clock.shift(read_windows(f"acceptance:{people['owner'].pk}", [DAY])[0].reset)
    for _ in range(DAY.limit):
        clock.shift(2)
        assert create("owner", "post /invitations/accept").status_code == HTTPStatus.BAD_REQUEST

    refused = create("owner", "post /invitations/accept")

    assert (refused.status_code, int(refused["Retry-After"])) == (HTTPStatus.TOO_MANY_REQUESTS, 86_400 - 2000)
    clock.shift(86_400 - 2000)
    assert create("owner", "post /invitations/accept").status_code == HTTPStatus.BAD_REQUEST


def test_deletions_are_not_limited(create, send, tree, acme):
    """A user revokes more leaked keys in a minute than a user can change."""
    for route in ("patch {tree}", "post {tree}/keys"):
        statuses = [create("owner", route).status_code for _ in range(MINUTE.limit + 1)]
        assert statuses[-1] == HTTPStatus.TOO_MANY_REQUESTS
    keys = [make_key(organization=acme)[0] for _ in range(3)]

    assert {send("owner", "delete", f"{tree}/keys/{key.pk}").status_code for key in keys} == {HTTPStatus.NO_CONTENT}
    assert send("owner", "delete", tree).status_code == HTTPStatus.NO_CONTENT


def test_slugs_of_others_are_guessed_slowly(create, send, tree, neighbour):
    """A taken slug is the only sign of another organization, so a user can try only 60 of them in a minute."""
    statuses = [send("owner", "patch", tree, {"slug": neighbour.slug}).status_code for _ in range(MINUTE.limit + 1)]

    assert statuses == [HTTPStatus.BAD_REQUEST] * MINUTE.limit + [HTTPStatus.TOO_MANY_REQUESTS]


@pytest.mark.parametrize(
    ("fail_open", "status"), [(True, HTTPStatus.BAD_REQUEST), (False, HTTPStatus.SERVICE_UNAVAILABLE)]
)
def test_creations_that_cannot_be_counted(send, settings, cache_away, fail_open, status):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": fail_open}

    assert send("owner", "post", "/organizations", {}).status_code == status
