"""What the form of an API key says about its limits."""

from collections.abc import Iterable

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from closient_auth.core.rates import DAY, MINUTE, get_windows
from closient_auth.keys import KeyType
from closient_auth.models import ApiKey
from closient_auth.models.key_policies import get_max_rate_limits

WINDOWS = {"rate_limit_per_minute": MINUTE, "rate_limit_per_day": DAY}


def describe_limits(key_types: Iterable[str]) -> dict[str, str]:
    """Return the help text of each limit, with the defaults of these types and the maximum."""
    defaults = {key_type: _get_defaults(key_type) for key_type in key_types}
    texts = {}
    for name, maximum in get_max_rate_limits().items():
        found = {key_type: windows[WINDOWS[name]] for key_type, windows in defaults.items()}
        shown = ", ".join(f"{text} ({KeyType(key_type).label})" for key_type, text in found.items())
        if len(set(found.values())) == 1:
            shown = next(iter(found.values()))
        text = _("0 uses the default: %s.") % shown
        texts[name] = f"{text} {_('The maximum is %s.') % _show(maximum)}" if maximum else text
    return texts


def _get_defaults(key_type: str) -> dict[int, str]:
    limits = {window.period: window.limit for window in get_windows(ApiKey(prefix=key_type))}
    return {period: _show(limits[period]) if period in limits else _("no limit") for period in WINDOWS.values()}


def _show(number: int) -> str:
    return number_format(number, force_grouping=True)
