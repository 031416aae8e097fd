"""Which organization a request is about, and what it may do there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import router
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotAuthenticated, NotFound
from rest_framework.request import Request

from closient_auth.exceptions import OrganizationRequired
from closient_auth.headers import forbid_storing, get_view, vary_on
from closient_auth.models import ApiKey, Membership, Organization
from closient_auth.models.organizations import OrganizationQuerySet
from closient_auth.principals import OrganizationPrincipal

HEADER = "X-Organization"
URL_KWARG = "organization_id"
NO_ORGANIZATION = _("You are a member of no organization.")


@dataclass(frozen=True, slots=True)
class Access:
    """An organization, and what the request may do in it."""

    organization: Organization
    permissions: frozenset[str] = frozenset()
    is_superuser: bool = False

    def allows(self, permission: str) -> bool:
        return self.is_superuser or permission in self.permissions


def get_organization(request: Request | HttpRequest) -> Organization:
    """
    Return the organization that the request is about; computed once for each request.

    A business or publishable key has one. For people it is what the URL says (the view's ``organization_url_kwarg``),
    else the ``X-Organization`` header (id or slug), else their only membership.

    Raise ``NotAuthenticated`` (401) without a credential, ``OrganizationRequired`` (400) where nothing says which, and
    ``NotFound`` for one that does not exist, is not the key's, has not the user as a member, or where URL and header
    disagree. Outside a REST framework view the caller says ``Vary: X-Organization``.
    """
    return get_access(request).organization


def get_access(request: Request | HttpRequest) -> Access:
    """Return the organization with what the request may do in it. Raises as ``get_organization()`` does."""
    # REST framework copies its request to ask about other methods, and the copies share the context.
    state: dict[str, tuple[object, Access]] = getattr(request, "parser_context", vars(request))
    known = state.get("closient_auth_access")
    # Django's own request outlives both: a middleware asks for the session's user, then a view takes a key.
    if known is None or known[0] is not request.user:
        vary_on(request, HEADER)
        known = state["closient_auth_access"] = request.user, _find_access(request)
        # A removal acts on the next request, and no cache asks about that.
        forbid_storing(request)
    return known[1]


def get_organization_field(view: Any) -> str:
    """Return the path from one of the view's objects to its organization, in the ORM's notation."""
    return getattr(view, "organization_field", "organization")


def _find_access(request: Any) -> Access:
    user, names = request.user, _get_names(request)
    if isinstance(user, OrganizationPrincipal):
        if not all(user.organization.is_named(name) for name in names):
            raise NotFound
        return Access(user.organization, user.permissions)
    # Django's ``AllowAllUsersModelBackend`` keeps the session of a user who was deactivated.
    if not user or not user.is_authenticated or not user.is_active:
        raise NotAuthenticated
    # A key acts with its user's membership and nothing more, whoever the user is.
    is_key = isinstance(getattr(request, "auth", None), ApiKey)
    is_superuser = not is_key and getattr(user, "is_superuser", False)
    if names and is_superuser:
        return Access(_find_organization(names), is_superuser=True)
    membership = _find_membership(user, names, is_superuser)
    return Access(membership.organization, membership.permissions, is_superuser)


def _get_names(request: Any) -> list[str]:
    view = get_view(request)
    match = request.resolver_match
    kwargs = view.kwargs if view is not None else match.kwargs if match is not None else {}
    from_url = kwargs.get(getattr(view, "organization_url_kwarg", URL_KWARG))
    from_header = request.META.get(f"HTTP_{HEADER.upper().replace('-', '_')}")
    return [str(name) for name in (from_url, from_header) if name is not None]


def _find_organization(names: list[str]) -> Organization:
    organization = _named(names).first()
    if organization is None:
        raise NotFound
    return organization


def _find_membership(user: AbstractBaseUser, names: list[str], is_superuser: bool) -> Membership:
    # From the database that is written to: a demotion acts on the next request, however late a replica is.
    memberships = Membership.objects.using(router.db_for_write(Membership)).select_related("organization")
    memberships = memberships.filter(user_id=user.pk)
    if names:
        memberships = memberships.filter(organization__in=_named(names))
    found = list(memberships[:2])
    if names and not found:
        raise NotFound
    if len(found) != 1:
        # What they could name would be a 404.
        raise OrganizationRequired(None if found or is_superuser else NO_ORGANIZATION)
    return found[0]


def _named(names: list[str]) -> OrganizationQuerySet:
    organizations = Organization.objects.using(router.db_for_write(Organization))
    for name in names:
        organizations = organizations.named(name)
    return organizations
