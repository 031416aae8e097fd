"""The client address behind proxies, and the share of one client in a publishable key's limit."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import RequestFactory

from closient_auth.core.client_address import get_client_address, get_client_network
from tests.factories import make_key
from tests.limits.conftest import seconds_left

SHARE = "PUBLISHABLE_RATE_LIMIT_PER_CLIENT_PER_MINUTE"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, None, "192.0.2.1"),
        (0, "203.0.113.9", "192.0.2.1"),
        (1, None, "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        (1, "10.0.0.1,203.0.113.9", "203.0.113.9"),
        (2, "10.0.0.1, 203.0.113.9, 198.51.100.7", "203.0.113.9"),
        (2, "203.0.113.9, 198.51.100.7", "203.0.113.9"),
        # A request that did not come through both proxies.
        (2, "198.51.100.7", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "unknown", "192.0.2.1"),
        (1, "203.0.113.9, ", "192.0.2.1"),
        # Some proxies append the port.
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, "[::ffff:203.0.113.9]:4711", "203.0.113.9"),
        (2, "203.0.113.9:4711, 198.51.100.7:4712", "203.0.113.9"),
        (1, "203.0.113.9:", "192.0.2.1"),
        (1, "203.0.113.9:http", "192.0.2.1"),
        (1, "203.0.113.9:4711:4711", "192.0.2.1"),
        (1, "[203.0.113.9:4711", "192.0.2.1"),
        (1, "2001:db8::1]:4711", "192.0.2.1"),
        (1, "[2001:db8::1]x", "192.0.2.1"),
        (1, "10.0.0.1, '; DROP TABLE", "192.0.2.1"),
        (1, "junk, , \x00, 203.0.113.9", "203.0.113.9"),
        (1, "2001:DB8:0:0::1", "2001:db8::1"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_address_is_the_one_that_the_first_trusted_proxy_appended(settings, proxies, forwarded, expected):
    settings.CLOSIENT_AUTH = {"TRUSTED_PROXIES": proxies}
    headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}

    assert get_client_address(RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", **headers)) == expected


@pytest.mark.parametrize(("remote", "expected"), [("", ""), ("::ffff:192.0.2.1", "192.0.2.1"), ("unix:", "unix:")])
def test_remote_address(remote, expected):
    assert get_client_address(RequestFactory().get("/", REMOTE_ADDR=remote)) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("unix:", "unknown"),
    ],
)
def test_network_of_a_client(address, expected):
    assert get_client_network(address) == expected


def make_key_far_from_an_edge(**limits):
    """Return a raw key none of whose windows, including those of the clients below, ends during the test."""
    while True:
        api_key, raw_key = make_key("cpk", **limits)
        family = str(api_key.family)
        names = [family, *(f"{family}:{client}" for client in ("203.0.113.9", "203.0.113.10", "2001:db8::/64"))]
        if all(seconds_left(name, 60) > 20 for name in names):
            return raw_key


@pytest.fixture
def visit(call, settings, db):
    """Return a function to send requests with one publishable key from an address and return the responses."""
    settings.CLOSIENT_AUTH = {SHARE: 2, "TRUSTED_PROXIES": 1}
    raw_key = make_key_far_from_an_edge(rate_limit_per_minute=5, rate_limit_per_day=100)

    def visit(address, times, raw_key=raw_key):
        return [call("/open-who/", raw_key, x_forwarded_for=f"1.1.1.1, {address}") for _ in range(times)]

    return visit


def statuses(responses):
    return [response.status_code for response in responses]


def test_one_client_does_not_use_up_the_key_for_all(visit):
    greedy = visit("203.0.113.9", 20)
    assert statuses(greedy) == [200] * 2 + [429] * 18
    assert greedy[0]["RateLimit-Policy"] == "2;w=60, 5;w=60, 100;w=86400"
    assert greedy[0]["RateLimit"].startswith('"client";r=1;t=')
    assert (greedy[-1]["RateLimit-Limit"], greedy[-1]["RateLimit-Remaining"]) == ("2", "0")
    assert 1 <= int(greedy[-1]["Retry-After"]) <= 60
    assert '"minute";r=3;t=' in greedy[-1]["RateLimit"]
    assert '"day";r=98;t=' in greedy[-1]["RateLimit"]

    # One network of IPv6 is one client.
    assert statuses(visit("2001:db8::1", 1) + visit("2001:db8::2", 2)) == [200, 200, 429]
    others = visit("203.0.113.10", 2)
    assert statuses(others) == [200, 429]
    # The limit of the key itself is used up.
    assert others[-1]["RateLimit-Limit"] == "5"


def test_other_keys_have_no_share(visit, settings):
    _, raw_key = make_key("csb", rate_limit_per_day=3)

    assert statuses(visit("203.0.113.9", 4, raw_key)) == [200, 200, 200, 429]


def test_a_share_of_an_unlimited_key(visit, settings):
    settings.CLOSIENT_AUTH |= {"PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0}
    raw_key = make_key_far_from_an_edge()

    responses = visit("203.0.113.9", 3, raw_key)
    assert statuses(responses) == [200, 200, 429]
    assert responses[0]["RateLimit-Policy"] == "2;w=60"
    settings.CLOSIENT_AUTH |= {SHARE: 0}
    response = visit("203.0.113.9", 1, raw_key)[0]
    assert response.status_code == HTTPStatus.OK
    assert "RateLimit" not in response
