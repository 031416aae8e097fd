"""Headers of a response, and work after it."""

from collections.abc import Callable, MutableMapping

from django.http import HttpRequest


def vary_on(headers: MutableMapping[str, str], name: str) -> None:
    """Add a request header to the response's ``Vary`` header."""
    named = [part.strip() for part in headers.get("Vary", "").split(",") if part.strip()]
    if name.lower() not in map(str.lower, named):
        headers["Vary"] = ", ".join([*named, name])


def forbid_storing(headers: MutableMapping[str, str], request: HttpRequest) -> None:
    """Keep the response out of every cache.

    Shared caches do not store responses to requests with ``Authorization`` (RFC 9111, section 3.5), but they do not know
    the API key header. Without this, a request without a key could get the cached response to a valid key.
    """
    headers["Cache-Control"] = "private, no-store"
    # A decorator around the view may still replace ``Cache-Control``; Django's cache middleware checks this first.
    request._cache_update_cache = False  # type: ignore[attr-defined]


def after_request(request: HttpRequest, callback: Callable[[], None]) -> None:
    """Call back when Django closes the request: after its transaction and before the database connections are closed."""
    close = request.close

    def close_and_call() -> None:
        close()
        callback()

    request.close = close_and_call  # type: ignore[method-assign]
