"""The only reader of ``settings.CLOSIENT_AUTH``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from django.conf import settings

_T = TypeVar("_T")


class AppSettings:
    """
    Shadow ``settings.CLOSIENT_AUTH`` with types and defaults.

    Nothing is cached, so ``override_settings`` works without a signal receiver.
    """

    @property
    def user_settings(self) -> Mapping[str, Any]:
        """What the host wrote."""
        return getattr(settings, "CLOSIENT_AUTH", {})

    def _get(self, name: str, default: _T) -> _T:
        value: _T = self.user_settings.get(name, default)
        return value

    @property
    def HEADER(self) -> str:
        """The request header that carries the key."""
        return self._get("HEADER", "X-API-Key")

    @property
    def RATE_LIMIT_PER_MINUTE(self) -> int:
        """Requests a minute where a key says 0; 0 here is unlimited."""
        return self._get("RATE_LIMIT_PER_MINUTE", 300)

    @property
    def RATE_LIMIT_PER_DAY(self) -> int:
        """Requests a day where a key says 0; 0 here is unlimited."""
        return self._get("RATE_LIMIT_PER_DAY", 10_000)

    @property
    def PUBLISHABLE_RATE_LIMIT_PER_MINUTE(self) -> int:
        """Requests a minute where a publishable key says 0; 0 here is unlimited."""
        return self._get("PUBLISHABLE_RATE_LIMIT_PER_MINUTE", 100)

    @property
    def RATE_LIMIT_FAIL_OPEN(self) -> bool:
        """While the cache is away: let requests pass unlimited (True) or answer 503 (False)."""
        return self._get("RATE_LIMIT_FAIL_OPEN", True)

    @property
    def LAST_USED_INTERVAL(self) -> int:
        """Write ``last_used`` at most once in this many seconds a key; 0 writes at each authenticated request."""
        return self._get("LAST_USED_INTERVAL", 0)

    @property
    def EXTRA_ROLE_PERMISSIONS(self) -> Mapping[str, Iterable[str]]:
        """The host's own permissions by role: ``{"editor": ["offers.publish"]}``."""
        return self._get("EXTRA_ROLE_PERMISSIONS", {})


conf = AppSettings()
