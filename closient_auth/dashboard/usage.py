"""The usage of keys: what the pages show of the limits and of the history."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import router
from django.http import Http404, QueryDict
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf
from closient_auth.core.rates import DAY, MINUTE, get_windows
from closient_auth.dashboard.frame import OrganizationPage
from closient_auth.dashboard.plots import Plot, add_points, draw_bars
from closient_auth.limits.counter import read_windows
from closient_auth.limits.windows import StoreUnavailable
from closient_auth.models import ApiKey
from closient_auth.roles import Permission
from closient_auth.usage.history import Point, read_history


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


def get_range(query: QueryDict) -> Range:
    """Return the range that a query string names; 30 days for another one."""
    return next((choice for choice in RANGES if choice.name == query.get("range")), MONTH)


def read_range(families: Collection[UUID], choice: Range) -> dict[UUID, list[Point]]:
    """Return the history of these families up to now, by family."""
    now = datetime.now(UTC)
    # The current hour or day is one of them.
    start = now - choice.length + timedelta(hours=1 if choice.interval == "hour" else 24)
    return read_history(families, start, now, interval=choice.interval)


def draw_range(points: Sequence[Point], choice: Range) -> Plot:
    """Draw the history of a range."""
    return draw_bars(points, _label_hour if choice.interval == "hour" else _label_day)


def _label_day(point: Point) -> str:
    # A day is one in UTC.
    return date_format(point.start.date(), "MONTH_DAY_FORMAT")


def _label_hour(point: Point) -> str:
    return date_format(timezone.localtime(point.start), "TIME_FORMAT")


def read_limits(api_key: ApiKey) -> list[dict[str, Any]] | None:
    """Return the state of each limit of a key, or ``None`` if it is unavailable. This counts no request."""
    try:
        states = read_windows(str(api_key.family), get_windows(api_key))
    except StoreUnavailable:
        return None
    labels = {MINUTE: _("This minute"), DAY: _("Today")}
    return [
        {"label": labels[state.window.period], "count": state.count, "limit": state.window.limit} for state in states
    ]


class UsagePage(OrganizationPage):
    title = _("Usage")
    template_name = "closient_auth/dashboard/usage.html"
    tab = "usage"
    permission = Permission.MANAGE_API_KEYS

    def enter(self) -> None:
        super().enter()
        if not conf.USAGE_HISTORY:
            raise Http404

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        choice = get_range(self.request.GET)
        keys = ApiKey.objects.using(router.db_for_write(ApiKey)).filter(organization=self.organization)
        # The last key of a rotation stands for all of them.
        newest = {api_key.family: api_key for api_key in keys.order_by("created_at", "pk")}
        histories = read_range(newest, choice)
        rows = [_add_up(newest[family], points, self.get_url) for family, points in histories.items()]
        rows = [row for row in rows if row["total"]]
        rows.sort(key=lambda row: (-row["total"], row["api_key"].name, row["api_key"].pk))
        plot = draw_range(add_points(histories.values()), choice) if rows else None
        context = {"plot": plot, "rows": self.paginate(rows), "ranges": RANGES, "range": choice}
        return super().get_context_data(**context, **kwargs)


def _add_up(api_key: ApiKey, points: Sequence[Point], get_url: Callable[..., str]) -> dict[str, Any]:
    requests, refused = sum(point.requests for point in points), sum(point.refused for point in points)
    url = get_url("key", pk=str(api_key.pk))
    return {"api_key": api_key, "requests": requests, "refused": refused, "total": requests + refused, "url": url}
