from __future__ import annotations

import logging
import re
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse

logger = logging.getLogger("example")

UNAVAILABLE = (OperationalError, InterfaceError)
RETRY_AFTER = 5

ORGANIZATION = "HTTP_X_ORGANIZATION"
API_KEY = "HTTP_X_API_KEY"


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


class BrowserOrganizationMiddleware:
    """
    Let a person name an organization in the browsable API with ``?organization=slug``, as a browser sends no header.

    The parameter is a name and grants nothing: the views check the membership as for the header. A form of another site
    could use it as well, but ``SessionAuthentication`` refuses such a form for want of the CSRF token. Programs use the
    header: the parameter does not count beside one, beside an API key, or unless the client asks for HTML.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        names = request.GET.getlist("organization")
        is_browser = "text/html" in request.headers.get("Accept", "") and not {ORGANIZATION, API_KEY} & set(
            request.META
        )
        # What a header could not hold is ignored, and so are two names: the views then ask for one.
        if is_browser and len(names) == 1 and re.fullmatch(r"[-\w]{1,255}", names[0], re.ASCII):
            request.META[ORGANIZATION] = names[0]
        return self.get_response(request)
