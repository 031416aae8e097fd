"""Set the headers of responses from frameworks that have no hook for them."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from closient_auth.core.responses import SENDS_HEADERS, send_headers


@sync_and_async_middleware
def ResponseHeadersMiddleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Set ``Cache-Control``, ``Vary`` and the ``RateLimit`` headers that ``OrganizationAuth`` decided for a response.

    Add it to ``MIDDLEWARE`` for django-ninja. It authenticates nobody.
    """
    if iscoroutinefunction(get_response):
        return _get_async_middleware(get_response)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        setattr(request, SENDS_HEADERS, True)
        response: HttpResponseBase = get_response(request)
        send_headers(request, response)
        return response

    return middleware


def _get_async_middleware(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    async def middleware(request: HttpRequest) -> HttpResponseBase:
        setattr(request, SENDS_HEADERS, True)
        response = await get_response(request)
        send_headers(request, response)
        return response

    return middleware
