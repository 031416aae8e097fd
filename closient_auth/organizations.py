"""Find the organization of a request and its permissions there."""

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
NO_ORGANIZATION = _("You are not a member of any organization.")


@dataclass(frozen=True, slots=True)
class Access:
    """The organization of a request and its permissions there; ``is_superuser`` grants all permissions."""

    organization: Organization
    permissions: frozenset[str] = frozenset()
    is_superuser: bool = False

    def allows(self, permission: str) -> bool:
        """Return whether the request has this permission in the organization."""
        return self.is_superuser or permission in self.permissions


def get_organization(request: Request | HttpRequest) -> Organization:
    """
    Return the organization of the request, computed once for each request.

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
        known = state["closient_auth_access"] = request.user, _find_access(request)
        # A removed member loses access on the next request; a cached response would ignore that.
        forbid_storing(request)
    return known[1]


def get_organization_field(view: Any) -> str:
    """Return the ORM lookup path from the view's objects to their organization."""
    return getattr(view, "organization_field", "organization")


def _find_access(request: Any) -> Access:
    user, names = request.user, _get_names(request)
    if isinstance(user, OrganizationPrincipal):
        if not all(user.organization.is_named(name) for name in names):
            raise NotFound
        return Access(user.organization, user.permissions)
    # Django's ``AllowAllUsersModelBackend`` accepts the session of a deactivated user.
    if not user or not user.is_authenticated or not user.is_active:
        raise NotAuthenticated
    # A user key has the permissions of its user's membership only. Superuser status is ignored.
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
    # Read from the primary database: a lagging replica would return the old role of a demoted member.
    memberships = Membership.objects.using(router.db_for_write(Membership)).select_related("organization")
    memberships = memberships.filter(user_id=user.pk)
    if names:
        memberships = memberships.filter(organization__in=_named(names))
    found = list(memberships[:2])
    if names and not found:
        raise NotFound
    if len(found) != 1:
        # Do not ask users without a membership to name an organization: any name would return 404.
        raise OrganizationRequired(None if found or is_superuser else NO_ORGANIZATION)
    return found[0]


def _named(names: list[str]) -> OrganizationQuerySet:
    organizations = Organization.objects.using(router.db_for_write(Organization))
    for name in names:
        organizations = organizations.named(name)
    return organizations
