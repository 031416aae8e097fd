"""The rate-limit headers of a response."""

from __future__ import annotations

LIMIT_HEADERS = {
    "RateLimit",
    "RateLimit-Policy",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
}


def get_limit_headers(response):
    """Return the names of all rate-limit headers in a response."""
    return {name for name in response.headers if "RateLimit" in name}
