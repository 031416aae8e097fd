"""Read ``settings.CLOSIENT_AUTH``. Other modules should use ``conf``."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from django.conf import settings

_T = TypeVar("_T")


class AppSettings:
    """The settings in ``settings.CLOSIENT_AUTH``, with types and defaults.

    Values are not cached, so ``override_settings`` works without a signal receiver.
    """

    @property
    def user_settings(self) -> Mapping[str, Any]:
        """Return the dictionary in the project's settings, or an empty one."""
        return getattr(settings, "CLOSIENT_AUTH", {})

    def _get(self, name: str, default: _T) -> _T:
        value: _T = self.user_settings.get(name, default)
        return value

    @property
    def HEADER(self) -> str:
        """The name of the request header with the API key."""
        return self._get("HEADER", "X-API-Key")

    @property
    def RATE_LIMIT_PER_MINUTE(self) -> int:
        """Requests per minute for keys with a limit of 0; 0 here means unlimited."""
        return self._get("RATE_LIMIT_PER_MINUTE", 300)

    @property
    def RATE_LIMIT_PER_DAY(self) -> int:
        """Requests per day for keys with a limit of 0; 0 here means unlimited."""
        return self._get("RATE_LIMIT_PER_DAY", 10_000)

    @property
    def PUBLISHABLE_RATE_LIMIT_PER_MINUTE(self) -> int:
        """Requests per minute for publishable keys with a limit of 0; 0 here means unlimited."""
        return self._get("PUBLISHABLE_RATE_LIMIT_PER_MINUTE", 100)

    @property
    def RATE_LIMIT_FAIL_OPEN(self) -> bool:
        """During a cache outage, allow requests without limits (``True``) or respond with 503 (``False``)."""
        return self._get("RATE_LIMIT_FAIL_OPEN", True)

    @property
    def LAST_USED_INTERVAL(self) -> int:
        """Minimum seconds between two updates of a key's ``last_used``; 0 updates it on every authenticated request."""
        return self._get("LAST_USED_INTERVAL", 0)

    @property
    def EXTRA_ROLE_PERMISSIONS(self) -> Mapping[str, Iterable[str]]:
        """The project's own permissions by role, such as ``{"editor": ["offers.publish"]}``."""
        return self._get("EXTRA_ROLE_PERMISSIONS", {})


conf = AppSettings()
