"""Tags for the templates of the dashboard."""

from datetime import date, datetime
from typing import Any

from django import template
from django.template.context import Context
from django.template.loader import get_template
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _

register = template.Library()


@register.simple_block_tag(takes_context=True)
def element(context: Context, content: str, name: str, **kwargs: Any) -> str:
    """Render ``elements/<name>.html`` with these arguments alone and, as ``slot``, what stands in the block."""
    found: Any = get_template(f"closient_auth/dashboard/elements/{name}.html")
    return str(found.template.render(context.new({"slot": content, **kwargs})))


@register.simple_tag
def moment(value: datetime | None, never: str = "") -> SafeString | str:
    """Show a time relative to now, with the full time in its title."""
    if value is None:
        return never
    now = timezone.now()
    if value > now:
        text = _("in %s") % timeuntil(value, now, depth=1)
    elif (now - value).total_seconds() < 60:
        text = _("less than a minute ago")
    else:
        text = _("%s ago") % timesince(value, now, depth=1)
    return _show(value, text, _format_full(value))


@register.simple_tag
def day(value: datetime | None, never: str = "") -> SafeString | str:
    """Show the day of a time, with the full time in its title."""
    return never if value is None else _show(value, date_format(_to_local(value), "DATE_FORMAT"), _format_full(value))


@register.simple_tag
def full_time(value: datetime | None, never: str = "") -> SafeString | str:
    """Show a time with its time zone."""
    return never if value is None else _show(value, _format_full(value), "")


@register.filter
def grouped(value: int) -> str:
    """Show a number with the thousands separator of the language."""
    return number_format(value, force_grouping=True)


@register.simple_tag(takes_context=True)
def query(context: Context, **kwargs: Any) -> str:
    """Return the query string of this page with other values; ``None`` removes one."""
    values = context["request"].GET.copy()
    for name, value in kwargs.items():
        values.pop(name, None)
        if value is not None:
            values[name] = value
    return f"?{values.urlencode()}"


def _show(value: date, text: str, title: str) -> SafeString:
    shown = format_html(' title="{}"', title) if title else ""
    return format_html('<time datetime="{}"{}>{}</time>', value.isoformat(), shown, text)


def _to_local(value: datetime) -> datetime:
    return timezone.localtime(value) if timezone.is_aware(value) else value


def _format_full(value: datetime) -> str:
    local = _to_local(value)
    return f"{date_format(local, 'DATETIME_FORMAT')} {local.tzname() or ''}".rstrip()
