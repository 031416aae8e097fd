"""Requests while Redis fails in different ways."""

from __future__ import annotations

import logging
import re
import time
from http import HTTPStatus
from logging.config import dictConfig
from pathlib import Path
from typing import Any

import pytest

from closient_auth.keys import KeyType
from tests.factories import make_key
from tests.limits.conftest import needs_redis
from tests.limits.faults import FAULTS, hang, have_another_type, refuse

pytestmark = [needs_redis, pytest.mark.django_db, pytest.mark.hurried]

PRODUCTION = Path(__file__).resolve().parents[2] / "docs" / "production.md"


def limit_headers(response):
    return [name for name in response.headers if "ratelimit" in name.lower()]


@pytest.mark.parametrize("fault", FAULTS)
def test_requests_are_counted_in_time_and_one_line_says_so(proxied, suffer, lines, fault):
    """This process counts by itself, from the last known count on."""
    for number, response in enumerate(suffer(fault)):
        assert response.status_code == HTTPStatus.OK
        assert response["RateLimit-Remaining"] == str(48 - number)

    (line,) = lines()
    assert line.startswith(f"rate_limits=unavailable fail_open=True error={FAULTS[fault]}")


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault is not have_another_type])
def test_requests_are_told_to_come_back_where_the_host_says_so(settings, proxied, suffer, lines, impatient, fault):
    settings.CLOSIENT_AUTH = {**settings.CLOSIENT_AUTH, "RATE_LIMIT_FAIL_OPEN": False}

    for response in suffer(fault):
        assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert response.json()["code"] == "limits_unavailable"
        assert int(response["Retry-After"]) >= 1
        assert limit_headers(response) == []

    (line,) = lines()
    assert line.startswith(f"rate_limits=unavailable fail_open=False error={FAULTS[fault]}")


def test_one_junk_counter_turns_nobody_away(settings, proxied, suffer, impatient):
    settings.CLOSIENT_AUTH = {**settings.CLOSIENT_AUTH, "RATE_LIMIT_FAIL_OPEN": False}

    assert {response.status_code for response in suffer(have_another_type)} == {HTTPStatus.OK}


@pytest.mark.parametrize("fault", [refuse, hang])
def test_a_stall_of_less_than_a_second_turns_nobody_away(settings, proxied, proxy, server, send, fault):
    settings.CLOSIENT_AUTH = {**settings.CLOSIENT_AUTH, "RATE_LIMIT_FAIL_OPEN": False}
    _, start = send(), time.monotonic()
    fault(proxy, server)

    statuses = {HTTPStatus.OK: 0.0}
    while HTTPStatus.SERVICE_UNAVAILABLE not in statuses:
        assert time.monotonic() < start + 60
        response, _ = send()
        statuses.setdefault(response.status_code, time.monotonic() - start)
        # Stay within the limit, as another tenant would.
        time.sleep(0.05)

    assert statuses.keys() <= {HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
    assert statuses[HTTPStatus.SERVICE_UNAVAILABLE] >= 1


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault is not have_another_type])
def test_limits_hold_again_when_redis_is_back(proxied, proxy, server, send, lines, soon, fault):
    send()
    fault(proxy, server)
    for _ in range(3):
        send()
    proxy.restore()

    response, _ = send()

    assert int(response["RateLimit-Remaining"]) < 49
    send()
    assert [line.partition(" ")[0] for line in lines()] == ["rate_limits=unavailable", "rate_limits=available"]


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("prefix", KeyType.values)
def test_keys_of_all_types_are_treated_alike(settings, proxied, proxy, call, impatient, prefix, is_open):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": is_open}
    _, raw_key = make_key(prefix)
    assert "RateLimit-Limit" in call("/open-who/", raw_key)
    proxy.refuse()

    statuses = [call("/open-who/", raw_key).status_code for _ in range(5)]

    assert statuses == [HTTPStatus.OK if is_open else HTTPStatus.SERVICE_UNAVAILABLE] * 5
    # The key is validated without the cache.
    assert call("/open-who/", raw_key[:-1]).status_code == HTTPStatus.UNAUTHORIZED


def test_an_answer_that_drips_counts(proxied, proxy, send, lines, monkeypatch):
    """The time-out applies to each piece of the response. It is longer here than the pause of a busy machine."""
    monkeypatch.setattr("closient_auth.limits.redis.TIMEOUT", 0.3)
    before = send()[0]
    proxy.drip(0.02)

    after = send()[0]

    assert int(after["RateLimit-Remaining"]) == int(before["RateLimit-Remaining"]) - 1
    assert lines() == []


@pytest.mark.parametrize("fault", [refuse, hang])
def test_all_loggers_together_write_one_line(settings, proxied, suffer, caplog, impatient, fault):
    """Use the logging filter of the documentation. Without it, Django also logs and mails each 503."""
    settings.CLOSIENT_AUTH = {**settings.CLOSIENT_AUTH, "RATE_LIMIT_FAIL_OPEN": False}
    blocks = re.findall(r"^LOGGING = .+?^}\n", PRODUCTION.read_text(), re.M | re.S)
    (block,) = [block for block in blocks if "503" in block]
    names: dict[str, Any] = {}
    exec(block, names)
    logger = logging.getLogger("django.request")
    dictConfig(names["LOGGING"])
    try:
        suffer(fault)
        assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == ["closient_auth"]
    finally:
        logger.filters.clear()
