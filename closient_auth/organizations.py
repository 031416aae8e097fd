"""The organization of a request."""

from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request

from closient_auth.actors import get_actor
from closient_auth.core.access import Access, find_access
from closient_auth.exceptions import raise_api_exceptions
from closient_auth.headers import forbid_storing, get_view, vary_on
from closient_auth.models import Organization

HEADER = "X-Organization"
URL_KWARG = "organization_id"


def get_organization(request: Request | HttpRequest) -> Organization:
    """Return the organization of the request, computed once for each request.

    A business or publishable key belongs to one organization. For a user or a user key, the view's URL argument
    (``organization_url_kwarg``) or the ``X-Organization`` header names it by id or slug. The default is the user's only
    membership.

    Raise ``NotAuthenticated`` (401) without a credential, ``OrganizationRequired`` (400) if the request names no
    organization and the user does not have exactly one membership, and ``NotFound`` (404) if the organization does not
    exist, is not the key's, does not have the user as a member, or if URL and header disagree.

    Outside a REST framework view, add ``Vary: X-Organization`` to the response yourself.
    """
    return get_access(request).organization


def get_access(request: Request | HttpRequest) -> Access:
    """Return the request's organization and permissions. Raise the same errors as ``get_organization()``."""
    # REST framework copies its request to check other methods, and the copies share ``parser_context``.
    state: dict[str, tuple[object, Access]] = getattr(request, "parser_context", vars(request))
    known = state.get("closient_auth_access")
    # The user of a Django request can change: a middleware may call this for the session's user before a view
    # authenticates an API key.
    if known is None or known[0] is not request.user:
        vary_on(request, HEADER)
        with raise_api_exceptions():
            access = find_access(request.user, _get_names(request), is_superuser=get_actor(request).is_superuser)
        known = state["closient_auth_access"] = request.user, access
        # A removed member loses access on the next request; a cached response would ignore that.
        forbid_storing(request)
    return known[1]


def get_organization_field(view: Any) -> str:
    """Return the ORM lookup path from the view's objects to their organization."""
    return getattr(view, "organization_field", "organization")


def _get_names(request: Any) -> list[str]:
    view = get_view(request)
    match = request.resolver_match
    kwargs = view.kwargs if view is not None else match.kwargs if match is not None else {}
    from_url = kwargs.get(getattr(view, "organization_url_kwarg", URL_KWARG))
    from_header = request.META.get(f"HTTP_{HEADER.upper().replace('-', '_')}")
    return [str(name) for name in (from_url, from_header) if name is not None]
