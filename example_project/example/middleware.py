from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse

logger = logging.getLogger("example")

UNAVAILABLE = (OperationalError, InterfaceError)
RETRY_AFTER = 5


class DatabaseUnavailableMiddleware:
    """
    Answer 503 while the database is away, in whichever view that shows.

    A client that got a 401 instead would throw its good key away; one that got a 500 would not know that it may retry.
    An exception handler of REST framework would see only the views that are written with it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return database_unavailable(exception) if isinstance(exception, UNAVAILABLE) else None


def database_unavailable(exception: BaseException) -> HttpResponse:
    """Return the 503, and say in the log what it hides from the client."""
    logger.error("database=unavailable error=%s: %s", type(exception).__name__, exception)
    return JsonResponse(
        {"detail": "The service is unavailable for a moment. Try again.", "code": "database_unavailable"},
        status=503,
        headers={"Retry-After": str(RETRY_AFTER), "Cache-Control": "no-store"},
    )
