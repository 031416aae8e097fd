"""The maximums of the host hold at each request, and the syntax of ``RateLimit-Policy`` is a setting."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from tests.factories import make_key

pytestmark = pytest.mark.django_db

MINUTE, DAY = "MAX_RATE_LIMIT_PER_MINUTE", "MAX_RATE_LIMIT_PER_DAY"


@pytest.mark.parametrize(
    ("settings_", "limits", "policy"),
    [
        ({}, (0, 0), "300;w=60, 10000;w=86400"),
        ({}, (1000, 50_000), "1000;w=60, 50000;w=86400"),
        ({MINUTE: 500, DAY: 20_000}, (0, 0), "300;w=60, 10000;w=86400"),
        ({MINUTE: 500, DAY: 20_000}, (1000, 50_000), "500;w=60, 20000;w=86400"),
        ({MINUTE: 500, DAY: 20_000}, (5, 50), "5;w=60, 50;w=86400"),
        # The default itself is above the maximum, or unlimited.
        ({MINUTE: 100, DAY: 1000}, (0, 0), "100;w=60, 1000;w=86400"),
        (
            {MINUTE: 100, DAY: 1000, "RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0},
            (0, 0),
            "100;w=60, 1000;w=86400",
        ),
        ({MINUTE: 100, "RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0}, (0, 0), "100;w=60"),
    ],
)
@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_no_limit_is_above_the_maximum(call, settings, prefix, settings_, limits, policy):
    settings.CLOSIENT_AUTH = settings_
    _, raw_key = make_key(prefix, rate_limit_per_minute=limits[0], rate_limit_per_day=limits[1])

    assert call("/who/", raw_key)["RateLimit-Policy"] == policy


def test_maximum_is_enforced(call, settings):
    settings.CLOSIENT_AUTH = {MINUTE: 2}
    _, raw_key = make_key(rate_limit_per_minute=1000)

    statuses = [call("/who/", raw_key).status_code for _ in range(3)]

    assert statuses == [HTTPStatus.OK, HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS]


def test_structured_policy(call, settings):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_POLICY": "structured"}

    response = call("/who/", make_key(rate_limit_per_minute=5)[1])

    assert response["RateLimit-Policy"] == '"minute";q=5;w=60, "day";q=10000;w=86400'
    assert response["RateLimit"].startswith('"minute";r=4;t=')
    assert response["RateLimit-Limit"] == "5"
