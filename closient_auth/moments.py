"""Times as people say them, such as "2 minutes ago", with the full time in the title of the text."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timesince, timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import npgettext_lazy

MINUTE = timedelta(minutes=1)

# By the names of ``timesince()``, which returns a length that stands alone. In a sentence such as "3 days ago", some languages
# need another case, such as the German dative.
UNITS: dict[str, Any] = {
    "year": npgettext_lazy("in … or … ago", "%(num)d year", "%(num)d years", "num"),
    "month": npgettext_lazy("in … or … ago", "%(num)d month", "%(num)d months", "num"),
    "week": npgettext_lazy("in … or … ago", "%(num)d week", "%(num)d weeks", "num"),
    "day": npgettext_lazy("in … or … ago", "%(num)d day", "%(num)d days", "num"),
    "hour": npgettext_lazy("in … or … ago", "%(num)d hour", "%(num)d hours", "num"),
    "minute": npgettext_lazy("in … or … ago", "%(num)d minute", "%(num)d minutes", "num"),
}


def get_time_since(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago a moment was, in its largest unit."""
    return timesince.timesince(moment, now, time_strings=UNITS, depth=1)


def get_time_until(moment: datetime, now: datetime | None = None) -> str:
    """Return how long it takes until a moment, in its largest unit."""
    return timesince.timeuntil(moment, now, time_strings=UNITS, depth=1)


def to_local(moment: datetime) -> datetime:
    """Return a time in the current time zone. Without ``USE_TZ``, it already is."""
    return timezone.localtime(moment) if timezone.is_aware(moment) else moment


def format_full(moment: datetime) -> str:
    """Return a time in the format of the language, with its time zone."""
    local = to_local(moment)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname() or ''}".rstrip()


def format_exact(moment: datetime) -> str:
    """Return a time with its seconds and its time zone."""
    return " ".join(split_exact(moment))


def split_exact(moment: datetime) -> tuple[str, str]:
    """Return the date, and the time with its seconds and its time zone."""
    local = to_local(moment)
    return date_format(local, "Y-m-d"), date_format(local, "H:i:s T").rstrip()


def show_moment(moment: datetime | None, never: str = "") -> SafeString | str:
    """Return a time relative to now, or ``never``."""
    if moment is None:
        return never
    now = timezone.now()
    left = moment - now
    if left >= MINUTE:
        text = _("in %s") % _join(get_time_until(moment, now))
    elif left > timedelta(0):
        text = _("in less than a minute")
    elif left > -MINUTE:
        text = _("just now")
    else:
        text = _("%s ago") % _join(get_time_since(moment, now))
    return mark_up(moment, text, format_full(moment))


def show_expiry(moment: datetime | None, never: str = "") -> SafeString | str:
    """Return when something expires or has expired, or ``never``."""
    now = timezone.now()
    if moment is None or moment > now:
        return show_moment(moment, never)
    if now - moment < MINUTE:
        text = _("expired just now")
    else:
        text = _("expired %s ago") % _join(get_time_since(moment, now))
    return mark_up(moment, text, format_full(moment))


def mark_up(moment: datetime, text: str, title: str = "") -> SafeString:
    """Return a text about a time for a page."""
    shown = format_html(' title="{}"', title) if title else ""
    return format_html('<time datetime="{}"{}>{}</time>', moment.isoformat(), shown, text)


def _join(text: str) -> str:
    # Django's non-breaking spaces would keep a narrow column from wrapping.
    return text.replace("\xa0", " ")
