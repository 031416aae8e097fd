from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from closient_auth.limits.windows import Count
from closient_auth.models import ApiKeyUsage, usage
from closient_auth.models.usage import to_hour, to_moment
from closient_auth.usage.history import Point, read_history
from tests.factories import make_key

HOUR = to_hour(datetime(2026, 3, 5, 13, tzinfo=UTC))
COLUMNS = ("requests", "refused", "collected_requests", "collected_refused")


def get_row(family, hour=HOUR):
    return ApiKeyUsage.objects.values_list(*COLUMNS).get(family=family, hour=to_moment(hour))


@pytest.mark.django_db
def test_counts_add_up():
    mine, other = uuid4(), uuid4()
    ApiKeyUsage.objects.add({(mine, HOUR): Count(3, 1), (mine, HOUR + 1): Count(10), (other, HOUR): Count(100)})
    ApiKeyUsage.objects.add({(mine, HOUR): Count(4, 2)})
    assert get_row(mine) == (7, 3, 0, 0)
    assert get_row(mine, HOUR + 1) == (10, 0, 0, 0)
    assert get_row(other) == (100, 0, 0, 0)
    assert ApiKeyUsage.objects.count() == 3


@pytest.mark.django_db
def test_a_total_that_is_collected_again_adds_what_is_new():
    mine, other = uuid4(), uuid4()
    ApiKeyUsage.objects.add({(mine, HOUR): Count(5, 1), (other, HOUR): Count(1)})
    for _ in range(2):
        ApiKeyUsage.objects.collect({(mine, HOUR): Count(20, 2)})
        assert get_row(mine) == (25, 3, 20, 2)
    ApiKeyUsage.objects.collect({(mine, HOUR): Count(30, 1)})
    assert get_row(mine) == (35, 3, 30, 2)
    ApiKeyUsage.objects.add({(mine, HOUR): Count(1, 1)})
    assert get_row(mine) == (36, 4, 30, 2)
    assert get_row(other) == (1, 0, 0, 0)


@pytest.mark.django_db
def test_more_rows_than_a_statement_takes(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr("closient_auth.models.usage.BATCH_SIZE", 2)
    family = uuid4()
    with django_assert_num_queries(3):
        ApiKeyUsage.objects.add({(family, HOUR + number): Count(number) for number in range(5)})
    assert [get_row(family, HOUR + number)[0] for number in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("interval", "wanted"),
    [
        ("day", {4: (0, 0), 5: (7, 3), 6: (1, 0)}),
        ("hour", {12: (0, 0), 13: (3, 1), 14: (4, 2)}),
    ],
)
def test_each_interval_has_a_point(interval, wanted, django_assert_num_queries):
    mine, other, unused = uuid4(), uuid4(), uuid4()
    ApiKeyUsage.objects.add(
        {
            (mine, HOUR): Count(3, 1),
            (mine, HOUR + 1): Count(4, 2),
            (mine, HOUR + 11): Count(1),
            (mine, HOUR - 38): Count(50),
            (mine, HOUR + 35): Count(60),
            (other, HOUR): Count(100),
        }
    )
    if interval == "day":
        start, end = datetime(2026, 3, 4, 10, tzinfo=UTC), datetime(2026, 3, 6, 0, 1, tzinfo=UTC)
        points = [Point(datetime(2026, 3, day, tzinfo=UTC), *counts) for day, counts in wanted.items()]
    else:
        start, end = datetime(2026, 3, 5, 12, 59, tzinfo=UTC), datetime(2026, 3, 5, 15, tzinfo=UTC)
        points = [Point(datetime(2026, 3, 5, hour, tzinfo=UTC), *counts) for hour, counts in wanted.items()]
    with django_assert_num_queries(1):
        history = read_history([mine, unused], start, end, interval=interval)
    assert history == {mine: points, unused: [Point(point.start, 0, 0) for point in points]}


def test_the_statement_of_mariadb(monkeypatch):
    """It assigns from left to right, so a total comes before the part that it reads."""
    monkeypatch.setattr(usage, "connections", {"mariadb": FakeMariaDB})
    _, _, assignments = usage._get_upsert.__wrapped__("mariadb", 2).partition(" ON DUPLICATE KEY UPDATE ")
    names = re.findall(r"(?:^|, )(\w+) = ", assignments)
    assert names == ["requests", "refused", "collected_requests", "collected_refused"]
    assert "VALUES(requests) - VALUES(collected_requests) + CASE WHEN" in assignments
    assert "excluded" not in assignments


class FakeMariaDB:
    vendor = "mysql"

    class ops:
        quote_name = str


@pytest.mark.django_db
def test_old_rows_are_deleted(monkeypatch):
    monkeypatch.setattr("closient_auth.models.usage.BATCH_SIZE", 2)
    family = uuid4()
    ApiKeyUsage.objects.add({(family, HOUR + number): Count(1) for number in range(6)})
    assert ApiKeyUsage.objects.prune(to_moment(HOUR + 5)) == 5
    assert get_row(family, HOUR + 5) == (1, 0, 0, 0)
    assert ApiKeyUsage.objects.prune(to_moment(HOUR + 5)) == 0


def test_rows_of_deleted_keys_are_deleted(acme, monkeypatch):
    monkeypatch.setattr("closient_auth.models.usage.BATCH_SIZE", 2)
    kept = [make_key(organization=acme)[0].family for _ in range(3)]
    lost = [uuid4() for _ in range(4)]
    ApiKeyUsage.objects.add({(family, HOUR + number): Count(1) for family in kept + lost for number in range(3)})
    assert ApiKeyUsage.objects.prune_orphans() == 12
    assert {*ApiKeyUsage.objects.values_list("family", flat=True)} == {*kept}
    assert ApiKeyUsage.objects.count() == 9


def test_without_time_zones_the_hours_are_in_utc(db, settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "Europe/Berlin"
    # Summer time ends, and two hours have one local time.
    hour, family = to_hour(datetime(2026, 10, 25, 0, tzinfo=UTC)), uuid4()
    ApiKeyUsage.objects.add({(family, hour): Count(1), (family, hour + 1): Count(2)})
    start = datetime(2026, 10, 25, tzinfo=UTC)
    points = read_history([family], start, start + timedelta(hours=2), interval="hour")[family]
    assert points == [Point(start, 1, 0), Point(start + timedelta(hours=1), 2, 0)]


def test_the_text_of_a_row():
    moment = timezone.now().replace(2026, 3, 5, 13, 0)
    assert str(ApiKeyUsage(family="f", hour=moment, requests=7)) == "f 2026-03-05 13:00: 7"
