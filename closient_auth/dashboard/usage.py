"""The usage of keys: what the pages show of the limits and of the history."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import router
from django.http import Http404
from django.utils.translation import gettext_lazy as _

from closient_auth.conf import conf
from closient_auth.core.rates import DAY, MINUTE, get_windows
from closient_auth.dashboard.frame import OrganizationPage
from closient_auth.limits.counter import read_windows
from closient_auth.limits.windows import StoreUnavailable
from closient_auth.models import ApiKey
from closient_auth.plots import RANGES, add_points, draw_range, get_range, read_range
from closient_auth.roles import Permission
from closient_auth.usage.history import Point


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
