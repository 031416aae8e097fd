"""The reasons for which a request is refused, with their HTTP status and text."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

# By code: the HTTP status, and the text for the client. ``None`` leaves the text to the web framework.
REFUSALS: Mapping[str, tuple[int, Any]] = {
    "organization_required": (400, _("Set the X-Organization header to the id or slug of your organization.")),
    "invalid_api_key": (401, _("Invalid API key.")),
    "not_authenticated": (401, None),
    "api_key_required": (403, _("Send this request with the API key that you want to revoke.")),
    "publishable_key_refused": (403, _("Publishable keys cannot make this request. Use a business or user key.")),
    "session_required": (403, _("API keys cannot make this request. Sign in as a user.")),
    "not_found": (404, None),
    "conflict": (409, _("Another request changed this at the same time. Reload it and try again.")),
    "limits_unavailable": (503, _("The service is temporarily unavailable. Try again.")),
}


class Refused(Exception):
    """The request is refused. ``code`` is a key of ``REFUSALS``; ``detail`` replaces its text."""

    def __init__(self, code: str, detail: Any = None) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail
