"""Moments as people say them, such as "2 minutes ago"; the exact time is in the title of the text."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _


def show_moment(moment: datetime) -> str:
    """Return the exact time, with seconds and the time zone. Without ``USE_TZ`` there is no time zone."""
    return " ".join(split_moment(moment))


def split_moment(moment: datetime) -> tuple[str, str]:
    """Return the exact date and the exact time."""
    local = _localize(moment)
    return date_format(local, "Y-m-d"), date_format(local, "H:i:s T").rstrip()


def show_past(moment: datetime | None) -> str:
    """Return how long ago something was, or "Never"."""
    if moment is None:
        return _("Never")
    if timezone.now() - moment < timedelta(minutes=1):
        return _mark_up(moment, _("just now"))
    return _mark_up(moment, _("%s ago") % _join(timesince(moment, depth=1)))


def show_expiry(moment: datetime | None) -> str:
    """Return when something expires or has expired, or "Never"."""
    if moment is None:
        return _("Never")
    left = moment - timezone.now()
    if left <= timedelta(0):
        return _mark_up(moment, _("expired %s ago") % _join(timesince(moment, depth=1)))
    if left < timedelta(minutes=1):
        return _mark_up(moment, _("in less than a minute"))
    return _mark_up(moment, _("in %s") % _join(timeuntil(moment, depth=1)))


def _localize(moment: datetime) -> datetime:
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def _join(text: str) -> str:
    # Django's non-breaking spaces would keep a narrow column from wrapping.
    return text.replace("\xa0", " ")


def _mark_up(moment: datetime, text: str) -> str:
    exact = date_format(_localize(moment), "DATETIME_FORMAT")
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, text)
