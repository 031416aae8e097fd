"""Plots of the usage as shapes of an SVG. The labels are HTML beside it: inside, they would shrink with the picture."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.http import QueryDict
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from closient_auth.usage.history import Point, read_history

# The size of the drawing. The page stretches it.
WIDTH, HEIGHT = 1000, 100


class Range(NamedTuple):
    """A choice of how much history a page shows."""

    name: str
    label: Any
    length: timedelta
    interval: str = "day"


RANGES = (
    Range("24h", _("24 hours"), timedelta(hours=24), "hour"),
    Range("7d", _("7 days"), timedelta(days=7)),
    Range("30d", _("30 days"), timedelta(days=30)),
    Range("90d", _("90 days"), timedelta(days=90)),
)
MONTH = RANGES[2]


class Bar(NamedTuple):
    """Texts for the attributes of two rectangles: the admitted requests, and the refused ones on top of them."""

    x: str
    width: str
    y: str
    height: str
    refused_y: str
    refused_height: str
    label: str
    requests: int
    refused: int

    @property
    def total(self) -> int:
        return self.requests + self.refused


class Plot(NamedTuple):
    """``maximum`` is the number at the top of the plot; ``busiest`` is ``None`` without any request."""

    bars: list[Bar]
    maximum: int
    requests: int
    refused: int
    busiest: Bar | None


class Sparkline(NamedTuple):
    """The paths of the line and of the area below it, and the number of requests."""

    line: str
    area: str
    requests: int


def get_range(query: QueryDict) -> Range:
    """Return the range that a query string names; 30 days for another one."""
    return next((choice for choice in RANGES if choice.name == query.get("range")), MONTH)


def read_range(families: Collection[UUID], choice: Range) -> dict[UUID, list[Point]]:
    """Return the history of these families up to now, by family."""
    now = datetime.now(UTC)
    # The current hour or day is one of them.
    start = now - choice.length + timedelta(hours=1 if choice.interval == "hour" else 24)
    return read_history(families, start, now, interval=choice.interval)


def add_points(histories: Iterable[Sequence[Point]]) -> list[Point]:
    """Return the sum of several histories of the same intervals."""
    return [
        Point(points[0].start, sum(point.requests for point in points), sum(point.refused for point in points))
        for points in zip(*histories, strict=True)
    ]


def draw_bars(points: Sequence[Point], get_label: Callable[[Point], str]) -> Plot:
    """Draw a bar for each point."""
    maximum = max(map(_get_total, points))
    step = WIDTH / len(points)
    bars = [_draw_bar(point, number * step, step, maximum, get_label(point)) for number, point in enumerate(points)]
    requests, refused = sum(bar.requests for bar in bars), sum(bar.refused for bar in bars)
    return Plot(bars, maximum, requests, refused, max(bars, key=lambda bar: bar.total) if maximum else None)


def draw_range(points: Sequence[Point], choice: Range) -> Plot:
    """Draw the history of a range."""
    return draw_bars(points, _label_hour if choice.interval == "hour" else _label_day)


def _label_day(point: Point) -> str:
    # A day is one in UTC.
    return date_format(point.start.date(), "MONTH_DAY_FORMAT")


def _label_hour(point: Point) -> str:
    return date_format(timezone.localtime(point.start), "TIME_FORMAT")


def _draw_bar(point: Point, x: float, step: float, maximum: int, label: str) -> Bar:
    height, refused = (HEIGHT * part / max(maximum, 1) for part in (point.requests, point.refused))
    return Bar(
        x=_format(x + step * 0.15),
        width=_format(step * 0.7),
        y=_format(HEIGHT - height),
        height=_format(height),
        refused_y=_format(HEIGHT - height - refused),
        refused_height=_format(refused),
        label=label,
        requests=point.requests,
        refused=point.refused,
    )


def draw_sparkline(points: Sequence[Point]) -> Sparkline:
    """Draw a line through the points, of which there are at least two."""
    maximum = max(map(_get_total, points))
    step = WIDTH / (len(points) - 1)
    ends = (
        f"{_format(number * step)} {_format(HEIGHT - HEIGHT * _get_total(point) / max(maximum, 1))}"
        for number, point in enumerate(points)
    )
    line = f"M{' L'.join(ends)}"
    return Sparkline(line, f"{line} V{HEIGHT} H0 Z", sum(map(_get_total, points)))


def _get_total(point: Point) -> int:
    return point.requests + point.refused


def _format(number: float) -> str:
    # A template would write the decimal separator of the language.
    return f"{number:.1f}"
