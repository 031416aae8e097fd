"""The address of the client."""

from typing import Any


def get_client_address(request: Any) -> str:
    """Return ``REMOTE_ADDR``."""
    return request.META.get("REMOTE_ADDR") or ""
