"""The number of SQL statements and cache round trips for each request (design, "Budgets")."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from closient_auth.core import reports
from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey
from closient_auth.usage import buffer
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key
from tests.models import Project
from tests.proxy import Proxy
from tests.requests.counting import CountingCache
from tests.requests.last_used import AT_ONCE, LATER, LOOK, LOOK_AT_ONCE, NOW

pytestmark = pytest.mark.django_db

REDIS_URL = os.environ.get("CLOSIENT_AUTH_TEST_REDIS_URL", "")


class Store(NamedTuple):
    """Expected round trips of the first and of a later request in a window, and a function to read their total."""

    first: int
    later: int
    trips: Callable[[], int]


@pytest.fixture
def local_cache(settings):
    """Count the round trips of a cache other than Redis."""
    settings.CACHES = {"default": {"BACKEND": "tests.requests.counting.CountingCache"}}
    return Store(3, 5, lambda: CountingCache.trips)


@pytest.fixture
def redis_cache(settings):
    """Count the round trips to Redis on its socket."""
    parts = urlsplit(REDIS_URL)
    with Proxy(parts.hostname or "", parts.port or 6379) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}{parts.path}"
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}}
        yield Store(1, 1, lambda: proxy.turns)


needs_redis = pytest.mark.skipif(not REDIS_URL, reason="CLOSIENT_AUTH_TEST_REDIS_URL is not set")


@pytest.fixture(params=["local_cache", pytest.param("redis_cache", marks=needs_redis)])
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def cost(store, call):
    """Return a function to send a request; it returns the status, SQL statements and round trips."""
    # The first request opens the connections.
    call("/who/", make_key("csb")[1])

    def cost(*args, **kwargs):
        before = store.trips()
        with CaptureQueriesContext(connection) as queries:
            response = call(*args, **kwargs)
        statements = [query["sql"].split()[0] for query in queries]
        trips = store.trips() - before
        assert trips <= store.later
        return response.status_code, [verb for verb in statements if verb not in ("BEGIN", "COMMIT", "ROLLBACK")], trips

    return cost


@pytest.mark.parametrize("address", ["/public/", "/who/", "/organization/", "/projects/"])
@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_no_header_costs_nothing(cost, address, method):
    status, statements, trips = cost(address, method=method)

    assert status == (HTTPStatus.OK if address == "/public/" else HTTPStatus.UNAUTHORIZED)
    assert (statements, trips) == ([], 0)


@pytest.mark.parametrize("address", ["/public/", "/who/", "/projects/1/"])
def test_preflight_costs_nothing(cost, address):
    """A preflight carries no key. A CORS middleware or the view answers it."""
    headers = {
        "origin": "https://shop.example",
        "access_control_request_method": "GET",
        "access_control_request_headers": "x-api-key",
    }
    _, statements, trips = cost(address, method="options", **headers)

    assert (statements, trips) == ([], 0)


@pytest.mark.parametrize(
    "raw_key",
    [
        "",
        "junk",
        "csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_1a2b3c4d",
        "csb_" + "a" * 41,
        "\N{FULLWIDTH LATIN SMALL LETTER C}sb_",
        "x" * 8000,
    ],
)
def test_bad_shape_or_checksum_costs_nothing(cost, raw_key):
    assert cost("/who/", raw_key) == (HTTPStatus.UNAUTHORIZED, [], 0)


def revoked():
    api_key, raw_key = make_key("csb")
    api_key.revoke()
    return raw_key


def expired():
    return make_key("csb", expires_at=timezone.now() - timedelta(seconds=1))[1]


def inactive_user():
    return make_key("csu", user=UserFactory.create(is_active=False))[1]


def unknown():
    return generate_api_key("csb")


@pytest.mark.parametrize("cause", [unknown, expired, inactive_user])
def test_refused_key_costs_one_query(cost, cause):
    assert cost("/who/", cause()) == (HTTPStatus.UNAUTHORIZED, ["SELECT"], 0)


@pytest.mark.django_db(transaction=True)
def test_revoked_key_costs_one_query_except_for_one_audit_entry_an_hour(cost, atomic):
    raw_key = revoked()

    look = LOOK if atomic else LOOK_AT_ONCE

    assert cost("/who/", raw_key) == (HTTPStatus.UNAUTHORIZED, [*look, "UPDATE", "INSERT"], 0)
    assert cost("/who/", raw_key) == (HTTPStatus.UNAUTHORIZED, look, 0)
    # Another process, which does not remember the entry.
    reports._due.clear()
    assert cost("/who/", raw_key) == (HTTPStatus.UNAUTHORIZED, look, 0)


@pytest.mark.django_db(transaction=True)
def test_secret_key_in_a_browser_costs_one_audit_entry_an_hour(cost, settings, atomic):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    _, raw_key = make_key("csb")
    cost("/who/", raw_key)

    assert cost("/who/", raw_key, origin="https://shop.example")[1] == ["SELECT", "UPDATE", "INSERT"]
    reports._due.clear()
    assert cost("/who/", raw_key, origin="https://shop.example")[1] == ["SELECT"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("prefix", ["csb", "csu", "cpk"])
def test_accepted_key(cost, store, atomic, prefix):
    api_key, raw_key = make_key(prefix)
    statements = LATER if atomic or prefix == "csu" else AT_ONCE

    for trips in (store.first, store.later):
        assert cost("/open-who/", raw_key) == (HTTPStatus.OK, statements, trips)
        assert ApiKey.objects.filter(pk=api_key.pk, last_used__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_accepted_key_within_the_interval(cost, store, atomic, settings, prefix):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    _, raw_key = make_key(prefix)
    cost("/who/", raw_key)

    assert cost("/who/", raw_key) == (HTTPStatus.OK, ["SELECT"], store.later)


VIEW = "organization.view_organization"
EVERY = {"permissions": [VIEW], "allowed_networks": ["203.0.113.0/24", "127.0.0.0/8"]}
RESTRICTIONS: dict[str, dict[str, Any]] = {
    "permissions": {"permissions": [VIEW]},
    "networks": {"allowed_networks": EVERY["allowed_networks"]},
    "every": EVERY,
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", RESTRICTIONS)
@pytest.mark.parametrize("prefix", ["csb", "csu", "cpk"])
def test_restricted_key(cost, store, atomic, prefix, name):
    """A restriction costs nothing: it is in the row of the key."""
    more = {"allowed_origins": ["https://shop.example"]} if prefix == "cpk" else {}
    api_key, raw_key = make_key(prefix, **RESTRICTIONS[name], **more)
    statements = LATER if atomic or prefix == "csu" else AT_ONCE

    for trips in (store.first, store.later):
        assert cost("/open-who/", raw_key, referer="https://shop.example/") == (HTTPStatus.OK, statements, trips)
        assert ApiKey.objects.filter(pk=api_key.pk, last_used__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cause", ["network", "origin", "suspended", "malformed"])
def test_restricted_key_that_is_refused(cost, store, atomic, cause):
    """A refused use is recorded and counted as an accepted one."""
    prefix = "cpk" if cause == "origin" else "csb"
    organization, networks = OrganizationFactory.create(), ["203.0.113.0/24"] if cause == "network" else []
    api_key, raw_key = make_key(prefix, organization=organization, allowed_networks=networks)
    if cause == "suspended":
        organization.suspend()
    elif cause != "network":
        values = {"allowed_origins": ["https://shop.example"]} if cause == "origin" else {"permissions": ["unknown"]}
        ApiKey.objects.filter(pk=api_key.pk).update(**values)
    statements = LATER if atomic else AT_ONCE

    for trips in (store.first, store.later):
        assert cost("/open-who/", raw_key) == (HTTPStatus.FORBIDDEN, statements, trips)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["free", "every", "restricted_to", "shut out", "no user keys", "suspended"])
def test_restricted_user_key_in_an_organization(cost, store, atomic, settings, name):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    member = MembershipFactory.create()
    organization = member.organization
    restrictions: dict[str, Any] = {"every": EVERY, "restricted_to": {**EVERY, "restricted_to": organization}}
    api_key, raw_key = make_key("csu", user=member.user, **restrictions.get(name, {}))
    cost("/who/", raw_key)
    if name == "shut out":
        api_key.shut_out(organization)
    organization.allow_user_keys(name != "no user keys")
    if name == "suspended":
        organization.suspend()

    status = HTTPStatus.FORBIDDEN if name in ("shut out", "no user keys", "suspended") else HTTPStatus.OK
    assert cost("/organization/", raw_key) == (status, ["SELECT"] * 2, store.later)


def member_key():
    return make_key("csu", user=MembershipFactory.create().user)[1]


@pytest.mark.parametrize(
    ("make", "more", "method"),
    [
        (lambda: make_key("csb")[1], 0, "get"),
        (member_key, 1, "get"),
        (member_key, 1, "head"),
        (member_key, 1, "options"),
    ],
)
def test_key_in_an_organization(cost, store, settings, make, more, method):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    raw_key = make()
    cost("/organization/", raw_key)

    assert cost("/organization/", raw_key, method=method) == (HTTPStatus.OK, ["SELECT"] * (1 + more), store.later)


def test_user_key_in_the_organization_that_it_names(cost, store, settings):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    user = UserFactory.create()
    for slug in ("acme", "globex"):
        MembershipFactory.create(user=user, organization=OrganizationFactory.create(slug=slug))
    _, raw_key = make_key("csu", user=user)
    cost("/who/", raw_key)

    answer = cost("/organizations/globex/", raw_key, x_organization="globex")
    assert answer == (HTTPStatus.OK, ["SELECT"] * 2, store.later)


def test_own_row_costs_its_own_query_and_no_other(cost, settings):
    """The row has the id of its organization, so the organization is not read."""
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    member = MembershipFactory.create()
    project = Project.objects.create(organization=member.organization, name="A")

    for raw_key, statements in [
        (make_key("csb", organization=member.organization)[1], ["SELECT"] * 2),
        (make_key("csu", user=member.user)[1], ["SELECT"] * 3),
    ]:
        cost("/who/", raw_key)
        assert cost(f"/projects/{project.pk}/", raw_key)[:2] == (HTTPStatus.OK, statements)


def test_request_over_its_limit_counts_no_further(cost):
    _, raw_key = make_key("csb", rate_limit_per_minute=1)
    cost("/who/", raw_key)

    status, _, trips = cost("/who/", raw_key)

    assert (status, trips) == (HTTPStatus.TOO_MANY_REQUESTS, 1)


def test_flood_over_the_limit_writes_once_a_second(cost):
    _, raw_key = make_key("csb", rate_limit_per_minute=1)
    with time_machine.travel(NOW, tick=False) as clock:
        cost("/who/", raw_key)
        statements = []
        for _ in range(25):
            clock.shift(0.1)
            statements += cost("/who/", raw_key)[1]

    assert Counter(statements) == {"SELECT": 25, "UPDATE": 2}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_counted", [True, False])
def test_usage_history_costs_nothing(cost, store, atomic, settings, is_counted):
    """A cache without scripts does not record it, and the process writes it after a response, every ten seconds."""
    settings.CLOSIENT_AUTH = {"USAGE_HISTORY": is_counted}
    _, raw_key = make_key("csb", rate_limit_per_minute=2)
    statements = LATER if atomic else AT_ONCE

    for trips in (store.first, store.later):
        assert cost("/who/", raw_key) == (HTTPStatus.OK, statements, trips)
    status, _, trips = cost("/who/", raw_key)
    assert (status, trips) == (HTTPStatus.TOO_MANY_REQUESTS, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_counted", [True, False])
def test_key_without_limits(cost, store, settings, is_counted):
    settings.CLOSIENT_AUTH = {
        "USAGE_HISTORY": is_counted,
        "LAST_USED_INTERVAL": 60,
        "RATE_LIMIT_PER_MINUTE": 0,
        "RATE_LIMIT_PER_DAY": 0,
    }
    _, raw_key = make_key("csb")
    cost("/who/", raw_key)

    assert cost("/who/", raw_key) == (HTTPStatus.OK, ["SELECT"], int(is_counted and store.first == 1))


@pytest.mark.django_db(transaction=True)
def test_write_of_the_usage_history(cost, store, settings, monkeypatch):
    """After a response, one statement for all keys."""
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    raw_keys = [make_key("csb")[1] for _ in range(5)]
    for raw_key in raw_keys:
        cost("/who/", raw_key)
    clock = monotonic() + buffer.WRITE_INTERVAL
    monkeypatch.setattr(buffer, "monotonic", lambda: clock)

    written = ["INSERT"] if store.first > 1 else []
    assert cost("/who/", raw_keys[0]) == (HTTPStatus.OK, ["SELECT", *written], store.later)
    assert cost("/who/", raw_keys[0]) == (HTTPStatus.OK, ["SELECT"], store.later)


def test_session_costs_no_trip(cost):
    client = APIClient()
    client.force_login(UserFactory.create())

    assert cost("/who/", client=client)[2] == 0


def test_list_costs_the_same_however_long(cost):
    organization = OrganizationFactory.create()
    _, raw_key = make_key("csb", organization=organization)
    cost("/projects/", raw_key)
    costs = []

    for more in (1, 99):
        Project.objects.bulk_create(Project(organization=organization, name="A") for _ in range(more))
        costs.append(cost("/projects/", raw_key))

    assert costs[0] == costs[1]
