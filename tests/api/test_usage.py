"""The usage history of one key and of all keys of an organization."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

import pytest
import time_machine
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from closient_auth.limits.windows import Count
from closient_auth.models import ApiKey, ApiKeyUsage
from closient_auth.models.usage import to_hour
from closient_auth.usage import buffer
from tests.factories import make_key
from tests.limits.conftest import needs_redis
from tests.usage.conftest import own_server, redis_cache  # noqa: F401

NOW = datetime(2031, 3, 31, 13, 30, tzinfo=UTC)


@pytest.fixture
def now():
    with time_machine.travel(NOW, tick=False):
        yield to_hour(NOW)


@pytest.fixture
def get(send, tree):
    """Return a function to get a usage as the Owner, and assert that the request succeeds."""

    def get(path="usage", **query):
        response = send("owner", "get", f"{tree}/{path}?{urlencode({k.strip('_'): v for k, v in query.items()})}")
        assert response.status_code == HTTPStatus.OK, response.json()
        return response.json()

    return get


@pytest.fixture
def refuse(send, tree):
    def refuse(path="usage", **query):
        response = send("owner", "get", f"{tree}/{path}?{urlencode({k.strip('_'): v for k, v in query.items()})}")
        assert response.status_code == HTTPStatus.BAD_REQUEST
        return response.json()

    return refuse


def test_the_last_thirty_days(get, acme, neighbour, now):
    api_key, other = make_key(organization=acme)[0], make_key("cpk", organization=acme)[0]
    foreign, user_key = ApiKey.objects.get(organization=neighbour), make_key("csu")[0]
    counts = {
        (api_key.family, now): Count(5, 1),
        (api_key.family, now - 14): Count(7),
        (other.family, now - 14): Count(20, 2),
        (foreign.family, now): Count(1000),
        (user_key.family, now): Count(2000),
        # The first hour of the range, and the one before.
        (api_key.family, now - 29 * 24 - 13): Count(100),
        (api_key.family, now - 29 * 24 - 14): Count(10_000),
    }
    ApiKeyUsage.objects.add(counts)

    usage = get(f"keys/{api_key.pk}/usage")
    points = usage.pop("points")
    assert usage == {
        "from": "2031-03-02T00:00:00Z",
        "to": "2031-04-01T00:00:00Z",
        "interval": "day",
        "requests": 112,
        "refused": 1,
    }
    assert len(points) == 30
    assert points[0] == {"start": "2031-03-02T00:00:00Z", "requests": 100, "refused": 0}
    assert points[1] == {"start": "2031-03-03T00:00:00Z", "requests": 0, "refused": 0}
    assert points[-2:] == [
        {"start": "2031-03-30T00:00:00Z", "requests": 7, "refused": 0},
        {"start": "2031-03-31T00:00:00Z", "requests": 5, "refused": 1},
    ]
    total = get()
    assert (total["requests"], total["refused"]) == (132, 3)
    assert total["points"][-2:] == [{**points[-2], "requests": 27, "refused": 2}, points[-1]]


def test_a_range_by_hour(get, acme, now):
    api_key = make_key(organization=acme)[0]
    ApiKeyUsage.objects.add({(api_key.family, now - hours): Count(10**hours) for hours in range(5)})
    usage = get(from_="2031-03-31T10:59:59Z", to="2031-03-31T13:30:00+01:00", interval="hour")
    assert usage == {
        "from": "2031-03-31T10:00:00Z",
        "to": "2031-03-31T13:00:00Z",
        "interval": "hour",
        "requests": 1110,
        "refused": 0,
        "points": [
            {"start": f"2031-03-31T{hour}:00:00Z", "requests": requests, "refused": 0}
            for hour, requests in [(10, 1000), (11, 100), (12, 10)]
        ],
    }


@pytest.mark.parametrize(("interval", "number"), [("day", 30), ("hour", 720)])
@pytest.mark.parametrize("moment", [NOW, NOW.replace(hour=0, minute=0)])
def test_the_default_range_has_thirty_days(get, interval, number, moment):
    with time_machine.travel(moment, tick=False):
        for query in ({}, {"to": moment.isoformat()}):
            usage = get(interval=interval, **query)
            assert len(usage["points"]) == number


@pytest.mark.parametrize(("interval", "days"), [("day", 400), ("hour", 31)])
def test_the_longest_range(get, refuse, now, interval, days):
    start = NOW - timedelta(days=days)
    usage = get(from_=start.isoformat(), interval=interval)
    assert len(usage["points"]) == (days + 1 if interval == "day" else days * 24 + 1)
    error = f"Choose at most {days} days with the interval {interval}."
    assert refuse(from_=(start - timedelta(seconds=1)).isoformat(), interval=interval) == {"from": [error]}


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            {"from_": "yesterday"},
            {
                "from": [
                    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
                ]
            },
        ),
        ({"to": "2031-01-31T12:00:00"}, {"to": ["Include a time zone, for example 2030-01-31T12:00:00Z."]}),
        ({"from_": "1969-12-31T23:59:59Z"}, {"from": ["Datetime value out of range."]}),
        ({"to": "9999-12-31T23:59:59Z"}, {"to": ["Datetime value out of range."]}),
        ({"to": "0001-01-01T00:00:00+23:00"}, {"to": ["Datetime value out of range."]}),
        ({"from_": "2031-04-01T00:00:00Z"}, {"from": ["This time should be before the end of the range."]}),
        (
            {"from_": "2031-01-01T00:00:00Z", "to": "2031-01-01T00:00:00Z"},
            {"from": ["This time should be before the end of the range."]},
        ),
        ({"interval": "week"}, {"interval": ["This is not one of the choices: hour, day."]}),
        ({"interval": ""}, {"interval": ["This is not one of the choices: hour, day."]}),
    ],
)
def test_a_query_that_is_invalid(refuse, acme, now, query, error):
    assert refuse(**query) == error
    assert refuse(f"keys/{make_key(organization=acme)[0].pk}/usage", **query) == error


@pytest.mark.parametrize(
    "years", [("1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"), ("9998-12-30T00:00:00Z", "9998-12-31T23:00:00Z")]
)
def test_the_first_and_the_last_year(get, years):
    assert get(from_=years[0], to=years[1])["requests"] == 0


def test_without_the_history(send, tree, acme, settings, people):
    settings.CLOSIENT_AUTH = {"USAGE_HISTORY": False}
    api_key = make_key(organization=acme)[0]
    body = {"detail": "The usage history is turned off.", "code": "usage_history_off"}
    for path in ("usage", f"keys/{api_key.pk}/usage"):
        response = send("owner", "get", f"{tree}/{path}")
        assert (response.status_code, response.json()) == (HTTPStatus.CONFLICT, body)
        # The setting is nobody else's business.
        assert send("editor", "get", f"{tree}/{path}").status_code == HTTPStatus.FORBIDDEN
        assert send("outsider", "get", f"{tree}/{path}").status_code == HTTPStatus.NOT_FOUND
    assert send("owner", "get", f"{tree}/keys/{tree[-36:]}/usage").status_code == HTTPStatus.NOT_FOUND


def test_a_foreign_key(send, tree, neighbour):
    foreign = ApiKey.objects.get(organization=neighbour)
    unknown = send("owner", "get", f"{tree}/keys/{tree[-36:]}/usage")
    response = send("owner", "get", f"{tree}/keys/{foreign.pk}/usage")
    assert (response.status_code, response.content) == (unknown.status_code, unknown.content)
    assert response.status_code == HTTPStatus.NOT_FOUND


def test_a_rotated_key_continues_the_line(get, acme, now):
    api_key = make_key(organization=acme)[0]
    ApiKeyUsage.objects.add({(api_key.family, now): Count(5)})
    successor, _ = api_key.rotate()
    assert [get(f"keys/{each.pk}/usage")["requests"] for each in (api_key, successor)] == [5, 5]
    assert get()["requests"] == 5


def test_without_keys(get, now):
    usage = get()
    assert (usage["requests"], usage["refused"], len(usage["points"])) == (0, 0, 30)


def test_without_time_zones(get, acme, now, settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Kolkata"
    api_key = make_key(organization=acme)[0]
    ApiKeyUsage.objects.add({(api_key.family, now): Count(5)})
    usage = get(from_="2031-03-31T13:00:00Z", to="2031-03-31T14:00:00Z", interval="hour")
    assert usage["points"] == [{"start": "2031-03-31T13:00:00Z", "requests": 5, "refused": 0}]
    assert get()["requests"] == 5


def test_the_cost_does_not_grow_with_the_number_of_keys(send, tree, acme):
    costs = []
    for number in (1, 99):
        for _ in range(number):
            make_key(organization=acme)
        with CaptureQueriesContext(connection) as queries:
            assert send("owner", "get", f"{tree}/usage").status_code == HTTPStatus.OK
        costs.append([query["sql"].split()[0] for query in queries if "usage" in query["sql"]])
    assert costs == [["SELECT"], ["SELECT"]]


@needs_redis
def test_current_requests_are_in_it(get, call, acme, redis_cache):  # noqa: F811
    while time.time() % 3600 > 3590:
        time.sleep(0.1)
    api_key, raw_key = make_key(organization=acme, rate_limit_per_minute=2)
    for _ in range(3):
        call("/me", raw_key)
    # An outage, and a part that is in the table already.
    buffer.record(api_key.family, is_admitted=True)
    ApiKeyUsage.objects.add({(api_key.family, to_hour(datetime.now(UTC))): Count(40)})
    usage = get()
    assert (usage["requests"], usage["refused"]) == (42, 1)
    redis_cache.stop()
    usage = get()
    assert (usage["requests"], usage["refused"]) == (40, 0)


def test_a_table_that_cannot_be_read(get, acme, now):
    ApiKeyUsage.objects.add({(make_key(organization=acme)[0].family, now): Count(5)})

    def fail(execute, sql, *args):
        if "closient_auth_apikeyusage" in sql:
            raise OperationalError
        return execute(sql, *args)

    with connection.execute_wrapper(fail):
        assert get()["requests"] == 0
    assert get()["requests"] == 5
