"""Tags for the templates of the dashboard."""

from datetime import datetime
from typing import Any

from django import template
from django.template.context import Context
from django.template.loader import get_template
from django.utils.formats import date_format, number_format
from django.utils.safestring import SafeString

from closient_auth.moments import format_full, mark_up, show_moment, to_local

register = template.Library()
register.simple_tag(show_moment, name="moment")


@register.simple_block_tag(takes_context=True)
def element(context: Context, content: str, name: str, **kwargs: Any) -> str:
    """Render ``elements/<name>.html`` with these arguments alone and, as ``slot``, what stands in the block."""
    found: Any = get_template(f"closient_auth/dashboard/elements/{name}.html")
    return str(found.template.render(context.new({"slot": content, **kwargs})))


@register.simple_tag
def day(value: datetime | None, never: str = "") -> SafeString | str:
    """Show the day of a time, with the full time in its title."""
    if value is None:
        return never
    return mark_up(value, date_format(to_local(value), "DATE_FORMAT"), format_full(value))


@register.simple_tag
def full_time(value: datetime | None, never: str = "") -> SafeString | str:
    """Show a time with its time zone."""
    return never if value is None else mark_up(value, format_full(value))


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
