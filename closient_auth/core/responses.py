"""Headers of a response, and work after it."""

from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.db import connections, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers

# Attributes of Django's request: the headers for its response, and whether somebody will set them.
HEADERS = "_closient_auth_headers"
SENDS_HEADERS = "_closient_auth_sends_headers"
# From this time before its end on, each response tells the client when its key expires.
EXPIRY_NOTICE = timedelta(days=30)


def get_headers(request: HttpRequest) -> dict[str, str]:
    """Return the headers that ``send_headers()`` will set on the response to this request."""
    headers: dict[str, str] = vars(request).setdefault(HEADERS, {})
    return headers


def send_headers(request: HttpRequest, response: HttpResponseBase) -> None:
    """Set the headers of ``get_headers()`` on the response. ``Vary`` is added to that of the view."""
    headers = dict(get_headers(request))
    patch_vary_headers(response, filter(None, headers.pop("Vary", "").split(", ")))
    for name, value in headers.items():
        response[name] = value


def vary_on(headers: MutableMapping[str, str], name: str) -> None:
    """Add a request header to the response's ``Vary`` header."""
    named = [part.strip() for part in headers.get("Vary", "").split(",") if part.strip()]
    if name.lower() not in map(str.lower, named):
        headers["Vary"] = ", ".join([*named, name])


def get_expiry_headers(expires_at: datetime) -> dict[str, str]:
    """Return the header ``X-API-Key-Expires`` for a key that expires within 30 days: the time in UTC (ISO 8601)."""
    is_soon = expires_at <= timezone.now() + EXPIRY_NOTICE
    return {"X-API-Key-Expires": format_utc(expires_at)} if is_soon else {}


def format_utc(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC, such as ``2030-01-31T12:00:00Z``, whatever ``USE_TZ`` is."""
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def forbid_storing(headers: MutableMapping[str, str], request: HttpRequest) -> None:
    """Keep the response out of every cache.

    Shared caches do not store responses to requests with ``Authorization`` (RFC 9111, section 3.5), but they do not know
    the API key header. Without this, a request without a key could get the cached response to a valid key.
    """
    headers["Cache-Control"] = "private, no-store"
    # A decorator around the view may still replace ``Cache-Control``; Django's cache middleware checks this first.
    request._cache_update_cache = False  # type: ignore[attr-defined]


def after_transaction(request: HttpRequest, using: str, write: Callable[[], None]) -> None:
    """Write now, or after the request if a transaction is open, such as that of ``ATOMIC_REQUESTS``.

    That transaction is rolled back for a refused request, and it would hold the lock of the row while the view runs.
    """
    connection = connections[using]
    if not connection.in_atomic_block:
        write()
        return
    close = request.close

    # Django closes the request after its transaction, and before it closes the database connections.
    def close_and_write() -> None:
        close()
        if connections[using] is connection:
            write()
        # Django's AsyncClient closes the request on another thread. If the test's transaction is still open, the row is
        # locked or not yet visible to that thread's connection.
        elif not connection.in_atomic_block:
            write()
            connections[using].close()

    request.close = close_and_write  # type: ignore[method-assign]


def without_transaction(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    """Mark the views of a class as one that ``ATOMIC_REQUESTS`` leaves alone. Decorate its ``dispatch()``.

    Such a view sends mail after a commit, and its response says whether this worked.
    """
    for alias in connections:
        transaction.non_atomic_requests(using=alias)(dispatch)
    return dispatch


def release_connections(request: HttpRequest) -> None:
    """Give the database connections back before an async view runs, which may wait long for something else.

    Django closes them only at the end of the request, and by then a pool may be exhausted. A sync view goes on with the
    connection.
    """
    match = request.resolver_match
    if match is not None and _is_async(match.func):
        close_connections()


# Each request with an API key asks about its view.
_is_async = lru_cache(maxsize=1024)(iscoroutinefunction)


def close_connections() -> None:
    """Close the database connections that outlived ``CONN_MAX_AGE``, or return them to their pool.

    Django's ``close_old_connections()`` also closes a connection in a transaction, such as that of a ``TestCase``, or one
    without autocommit.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block and connection.autocommit == connection.settings_dict["AUTOCOMMIT"]:
            connection.close_if_unusable_or_obsolete()
