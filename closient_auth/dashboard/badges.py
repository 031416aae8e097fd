"""The badge of a key: its state in a word or two, with a colour."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils.translation import gettext, ngettext

from closient_auth.models import ApiKey
from closient_auth.models.api_keys import KeyState
from closient_auth.moments import get_time_until

# A key that expires within this time should be rotated soon.
SOON = timedelta(days=14)
# A key that nobody has used for this time after its creation was perhaps never needed.
NEW = timedelta(days=7)

KINDS = {KeyState.REVOKED: "bad", KeyState.EXPIRED: "off", KeyState.USER_INACTIVE: "off"}


class Badge(NamedTuple):
    """``kind`` is the CSS class of the colour: ``good``, ``warn``, ``bad`` or ``off``."""

    kind: str
    text: Any


def get_badge(api_key: ApiKey, now: datetime) -> Badge:
    """Return the badge of a key. Load the key with its holders and its successor."""
    state, end = api_key.get_state(now), api_key.expires_at
    if state != KeyState.ACTIVE:
        return Badge(KINDS[state], state.label)
    if end is not None and hasattr(api_key, "successor"):
        return Badge("warn", gettext("Replaced, ends in %s") % get_time_until(end, now))
    if end is not None and end <= now + SOON:
        return Badge("warn", _describe_end(end, now))
    if api_key.last_used is None and api_key.created_at <= now - NEW:
        return Badge("off", gettext("Never used"))
    return Badge("good", state.label)


def _describe_end(end: datetime, now: datetime) -> str:
    # ``get_time_until()`` would say "1 week" for up to 13 days.
    if days := round((end - now) / timedelta(days=1)):
        return ngettext("Expires in %d day", "Expires in %d days", days) % days
    return gettext("Expires in %s") % get_time_until(end, now)
