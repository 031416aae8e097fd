"""The reasons for which a request is refused, with their HTTP status and text."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

# By code: the HTTP status and the text for the client.
REFUSALS: Mapping[str, tuple[int, Any]] = {
    "organization_required": (400, _("Set the X-Organization header to the id or slug of your organization.")),
    "invalid_api_key": (401, _("Invalid API key.")),
    "not_authenticated": (401, _("Authentication credentials were not provided.")),
    "api_key_required": (403, _("Send this request with the API key that you want to revoke.")),
    "network_not_allowed": (403, _("This API key cannot be used from this network.")),
    "origin_not_allowed": (403, _("This API key cannot be used on this web page.")),
    "organization_suspended": (403, _("This organization is suspended. Contact support.")),
    "user_key_not_allowed": (403, _("This organization does not accept this user key.")),
    "csrf_failed": (403, _("CSRF verification failed.")),
    "permission_denied": (403, _("You do not have permission to perform this action.")),
    "person_required": (403, _("Keys of an organization cannot make this request. Use a user key, or sign in.")),
    "publishable_key_refused": (403, _("Publishable keys cannot make this request. Use a business or user key.")),
    "session_required": (403, _("API keys cannot make this request. Sign in as a user.")),
    "not_found": (404, _("Not found.")),
    "conflict": (409, _("Another request changed this at the same time. Reload it and try again.")),
    "throttled": (429, _("Request was throttled.")),
    "limits_unavailable": (503, _("The service is temporarily unavailable. Try again.")),
}
# The value of the header ``WWW-Authenticate`` (RFC 9110, section 11.6.1).
CHALLENGE = "ApiKey"


class Refused(Exception):
    """The request is refused.

    ``code`` is a key of ``REFUSALS``; ``detail`` replaces its text. ``extra`` are more fields of the response body.
    ``wait`` is the number of seconds after which the client may try again, or ``None``. ``headers`` are added to the response.
    """

    def __init__(
        self, code: str, detail: Any = None, *, wait: int | None = None, headers: Mapping[str, str] = {}, **extra: Any
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.wait, self.extra = code, detail, wait, extra
        self._headers = headers

    @property
    def status(self) -> int:
        """The HTTP status."""
        return REFUSALS[self.code][0]

    @property
    def body(self) -> dict[str, Any]:
        """The fields of the response body."""
        body = {"detail": str(self.detail or REFUSALS[self.code][1])}
        # REST framework's body of a 404 has no code. A body of its own would tell a foreign organization from an object.
        return {**body, **({} if self.status == 404 else {"code": self.code}), **self.extra}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        headers = {**self._headers, **({"WWW-Authenticate": CHALLENGE} if self.status == 401 else {})}
        return headers if self.wait is None else {**headers, "Retry-After": str(self.wait)}
