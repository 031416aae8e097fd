"""The organization of a request."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.request import Request

from closient_auth.core.access import (
    HEADER,
    URL_KWARG,
    Access,
    get_admitted_names,
    get_known_access,
    get_names,
    resolve_access,
)
from closient_auth.core.callers import get_actor
from closient_auth.core.responses import release_connections
from closient_auth.exceptions import raise_api_exceptions, raise_django_exceptions
from closient_auth.headers import forbid_storing, get_view, vary_on
from closient_auth.models import Organization

__all__ = [
    "Access",
    "aget_access",
    "aget_organization",
    "get_access",
    "get_organization",
    "get_organization_field",
    "organizations_owned_alone_by",
]


def get_organization(request: Request | HttpRequest) -> Organization:
    """Return the organization of the request, computed once for each request.

    A business or publishable key belongs to one organization. For a user or a user key, the view's URL argument
    (``organization_url_kwarg``) or the ``X-Organization`` header names it by id or slug. The default is the user's only
    membership.

    For a request of REST framework, raise ``NotAuthenticated`` (401) without a credential, ``OrganizationRequired`` (400) if
    the request names no organization and the user does not have exactly one membership, and ``NotFound`` (404) if the
    organization does not exist, is not the key's, does not have the user as a member, or if URL and header disagree. For a
    request of Django, raise ``PermissionDenied`` (403), ``BadRequest`` (400) and ``Http404`` instead.

    In a plain Django view without ``organization_permission_required``, add ``Vary: X-Organization`` to the response
    yourself, or use ``ResponseHeadersMiddleware``.
    """
    return get_access(request).organization


def get_access(request: Request | HttpRequest) -> Access:
    """Return the request's organization and permissions. Raise the same errors as ``get_organization()``."""
    view = get_view(request)
    django_request: HttpRequest = getattr(request, "_request", request)
    if view is not None:
        names = get_names(django_request, view.kwargs, getattr(view, "organization_url_kwarg", URL_KWARG))
    else:
        names = get_admitted_names(django_request)
    user = getattr(request, "user", None)
    if access := get_known_access(django_request, user, names):
        return access
    vary_on(request, HEADER)
    # A removed member loses access on the next request; a cached response would ignore that.
    forbid_storing(request)
    with raise_django_exceptions() if request is django_request else raise_api_exceptions():
        return resolve_access(django_request, get_actor(request), user, names)


async def aget_organization(request: Request | HttpRequest) -> Organization:
    """Return the same as ``get_organization()`` in an async view."""
    return (await aget_access(request)).organization


async def aget_access(request: Request | HttpRequest) -> Access:
    """Return the same as ``get_access()`` in an async view. It holds no database connection afterwards."""
    return await sync_to_async(_get_access_and_release)(request)


def _get_access_and_release(request: Request | HttpRequest) -> Access:
    try:
        return get_access(request)
    finally:
        release_connections(request)


def organizations_owned_alone_by(user: object) -> QuerySet[Organization]:
    """Return the organizations whose only active Owner is this user; none for other values of ``request.user``.

    Ask before you delete or deactivate a user: deleting the user raises ``LastOwnerError`` until each of them has another
    active Owner or is deleted.
    """
    return Organization.objects.owned_alone_by(user)


def get_organization_field(view: Any) -> str:
    """Return the ORM lookup path from the view's objects to their organization."""
    return getattr(view, "organization_field", "organization")
