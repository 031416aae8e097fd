"""The plots, and the page with the usage of all keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from closient_auth.plots import add_points, draw_bars, draw_sparkline
from closient_auth.usage.history import Point
from tests.dashboard.pages import get_names, use
from tests.factories import make_key

START = datetime(2026, 11, 1, tzinfo=UTC)
USAGE = "/settings/o/acme/usage/"


def make_points(*counts):
    return [Point(START + timedelta(days=number), *count) for number, count in enumerate(counts)]


def test_bars_stand_on_each_other():
    plot = draw_bars(make_points((30, 10), (0, 0), (20, 0), (0, 5)), lambda point: f"{point.start:%d}")

    assert (plot.maximum, plot.requests, plot.refused) == (40, 50, 15)
    assert [bar.label for bar in plot.bars] == ["01", "02", "03", "04"]
    assert [(bar.y, bar.height) for bar in plot.bars] == [
        ("25.0", "75.0"),
        ("100.0", "0.0"),
        ("50.0", "50.0"),
        ("100.0", "0.0"),
    ]
    assert [(bar.refused_y, bar.refused_height) for bar in plot.bars] == [
        ("0.0", "25.0"),
        ("100.0", "0.0"),
        ("50.0", "0.0"),
        ("87.5", "12.5"),
    ]
    assert [(bar.x, bar.width) for bar in plot.bars][:2] == [("37.5", "175.0"), ("287.5", "175.0")]
    assert plot.busiest is plot.bars[0]


def test_nothing_to_draw():
    plot = draw_bars(make_points((0, 0), (0, 0)), str)

    assert (plot.maximum, plot.busiest, {bar.height for bar in plot.bars}) == (0, None, {"0.0"})
    assert draw_sparkline(make_points((0, 0), (0, 0))).line == "M0.0 100.0 L1000.0 100.0"


def test_a_sparkline_goes_from_edge_to_edge():
    sparkline = draw_sparkline(make_points((0, 0), (3, 1), (2, 0)))

    assert sparkline.line == "M0.0 100.0 L500.0 0.0 L1000.0 50.0"
    assert sparkline.area == "M0.0 100.0 L500.0 0.0 L1000.0 50.0 V100 H0 Z"
    assert sparkline.requests == 6


def test_histories_are_added():
    assert add_points([make_points((1, 2), (3, 4)), make_points((10, 20), (30, 40))]) == make_points((11, 22), (33, 44))


@pytest.fixture
def used(acme):
    now = datetime.now(UTC)
    busy, quiet, unused = (make_key(organization=acme, name=name)[0] for name in ("Busy", "Quiet", "Unused"))
    use(busy, now, 1000, 50)
    use(busy, now - timedelta(days=40), 9999)
    use(quiet, now, 10)
    use(make_key(name="Foreign")[0], now, 777)
    return busy, quiet, unused


@pytest.mark.django_db
def test_the_page_adds_up_the_keys(owner, used):
    text = owner.get(USAGE).text

    assert "1,010 requests, 50 refused by a limit." in text
    assert get_names(text) == ["Busy", "Quiet"]
    assert "Foreign" not in text
    assert 'data-label="Requests">1,000</td><td class="ca-number" data-label="Refused">50</td>' in text


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "requests", "bars"), [("24h", 1010, 24), ("90d", 11009, 90)])
def test_the_page_has_ranges(owner, used, name, requests, bars):
    plot = owner.get(USAGE, {"range": name}).context["plot"]

    assert (plot.requests, len(plot.bars)) == (requests, bars)


@pytest.mark.django_db
def test_a_rotated_key_is_one_row_with_its_last_name(owner, used, people):
    busy, *_ = used
    successor, _ = busy.rotate(grace=timedelta(days=1))
    successor.change(name="Busy again")
    text = owner.get(USAGE).text

    assert get_names(text) == ["Busy again", "Quiet"]
    assert f'href="/settings/o/acme/keys/{successor.pk}/"' in text


@pytest.mark.django_db
def test_without_requests_the_page_says_so(owner):
    assert "No requests in this time" in owner.get(USAGE).text


@pytest.mark.django_db
def test_the_page_takes_as_many_queries_for_many_keys(owner, acme, used):
    owner.get(USAGE)
    with CaptureQueriesContext(connection) as few:
        owner.get(USAGE)
    for number in range(30):
        use(make_key(organization=acme, name=f"K{number}")[0], datetime.now(UTC), 5)
    with CaptureQueriesContext(connection) as many:
        text = owner.get(USAGE).text

    assert len(many) == len(few)
    assert len(get_names(text)) == 25
