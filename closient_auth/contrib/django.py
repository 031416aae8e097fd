"""Require API keys, roles and limits in views of Django itself: functions and classes, sync and async."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.handlers.exception import response_for_exception
from django.db import connections
from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from closient_auth.core.access import admitted
from closient_auth.core.gate import Gate
from closient_auth.core.refusals import Refused
from closient_auth.core.responses import SENDS_HEADERS, send_headers

_View = TypeVar("_View", bound=Callable[..., Any])

# With these, Django answers a request. It does so outside the view, where the headers of the gate would be lost.
ANSWERS = (Http404, PermissionDenied, BadRequest)


def organization_permission_required(
    permission: str | None = None, *, publishable: bool = False
) -> Callable[[_View], _View]:
    """Require a permission in the organization of the request, for a view of Django.

    The caller is an API key, or a user with a session. A session needs a CSRF token for unsafe methods only, so refuse GET in
    a view that writes. By default, safe methods require ``view_organization`` and other
    methods ``contribute_organization``. ``publishable=True`` opens the view to publishable keys, for safe methods.

    In the view, ``request.user`` is the key's user or principal, and ``get_organization(request)`` returns the
    organization. A refused request gets a JSON body with ``detail`` and ``code``. An async view holds no database
    connection when it begins.

    Decorate a function, the result of ``as_view()``, or the ``dispatch`` method of a class with ``method_decorator``.
    """
    if callable(permission):
        raise TypeError("Call the decorator: write @organization_permission_required().")
    gate = Gate(permission, publishable)

    def decorator(view: _View) -> _View:
        if isinstance(view, type):
            raise TypeError(
                f"Decorate {view.__qualname__} with "
                'method_decorator(organization_permission_required(...), name="dispatch").'
            )
        wrapper: Any = _wrap_async(view, gate) if _is_async(view) else _wrap_sync(view, gate)
        # The gate asks for the token of a session itself, and a key needs none.
        wrapper.csrf_exempt = True
        # ``LoginRequiredMiddleware`` would redirect a request with a key to the login page.
        wrapper.login_required = False
        wrapper.closient_auth_gate = gate
        return cast(_View, wrapper)

    return decorator


def _is_async(view: Any) -> bool:
    # ``method_decorator`` passes a ``partial`` of the bound method. The ``dispatch`` of an async class view is a sync
    # function that returns a coroutine.
    instance = getattr(getattr(view, "func", view), "__self__", None)
    return iscoroutinefunction(view) or getattr(instance, "view_is_async", False)


def _wrap_sync(view: Callable[..., Any], gate: Gate) -> Callable[..., Any]:
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        setattr(request, SENDS_HEADERS, True)
        try:
            gate.admit(request, kwargs)
            with admitted(request, kwargs):
                response = view(request, *args, **kwargs)
        except (Refused, *ANSWERS) as error:
            response = _respond(request, error)
        return _send_headers(request, response)

    return wrapper


def _wrap_async(view: Callable[..., Any], gate: Gate) -> Callable[..., Any]:
    @wraps(view)
    async def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        setattr(request, SENDS_HEADERS, True)
        try:
            await gate.aadmit(request, kwargs)
            with admitted(request, kwargs):
                response = await view(request, *args, **kwargs)
        except (Refused, *ANSWERS) as error:
            response = await sync_to_async(_respond)(request, error)
        return _send_headers(request, response)

    return wrapper


def _respond(request: HttpRequest, error: Exception) -> HttpResponseBase:
    # ``ATOMIC_REQUESTS`` rolls back only if the exception leaves the view.
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
            connection.set_rollback(True)
    if isinstance(error, Refused):
        return JsonResponse(error.body, status=error.status)
    return response_for_exception(request, error)


def _send_headers(request: HttpRequest, response: Any) -> Any:
    # Django reports a view that returns something else.
    if isinstance(response, HttpResponseBase):
        send_headers(request, response)
    return response
