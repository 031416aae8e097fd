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
    Return 503 when a database error occurs in a view.

    After a 401, a client might delete a valid key. After a 500, it would not know to retry. An exception handler of
    REST framework would handle only its own views.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return database_unavailable(exception) if isinstance(exception, UNAVAILABLE) else None


def database_unavailable(exception: BaseException) -> HttpResponse:
    """Return the 503 response, and log the error."""
    logger.error("database=unavailable error=%s: %s", type(exception).__name__, exception)
    return JsonResponse(
        {"detail": "The service is temporarily unavailable. Try again later.", "code": "database_unavailable"},
        status=503,
        headers={"Retry-After": str(RETRY_AFTER), "Cache-Control": "no-store"},
    )
