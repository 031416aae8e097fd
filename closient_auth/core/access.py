"""Find the organization of a request and its permissions there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from closient_auth.core.refusals import Refused
from closient_auth.core.reports import report_refusal
from closient_auth.memberships import Member, get_memberships, get_organizations
from closient_auth.models import ApiKey, Organization
from closient_auth.models.actors import Actor
from closient_auth.principals import OrganizationPrincipal
from closient_auth.roles import Permission

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADER = "X-Organization"
META_NAME = "HTTP_X_ORGANIZATION"
URL_KWARG = "organization_id"
# The attribute of Django's request with the access found so far.
KNOWN = "_closient_auth_access"
# The number of organizations in a 400 response to a person who named none.
MAX_ORGANIZATIONS = 100

# By the code of a refusal, its cause in the log.
CAUSES = {"not_found": "organization", "organization_suspended": "suspended", "user_key_not_allowed": "user_key"}

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


# The request and the names of the view that the gate admitted last. A view may call another one with the same request, also
# concurrently in another task.
_admitted: ContextVar[tuple[HttpRequest, tuple[str, ...]] | None] = ContextVar("closient_auth_admitted", default=None)


@contextmanager
def admitted(request: HttpRequest, kwargs: Mapping[str, Any]) -> Iterator[None]:
    """Name the organization of the request by these arguments in this block."""
    token = _admitted.set((request, get_names(request, kwargs)))
    try:
        yield
    finally:
        _admitted.reset(token)


def get_admitted_names(request: HttpRequest) -> tuple[str, ...]:
    """Return the names of the innermost ``admitted()`` block of this request, or those in its URL and header."""
    block = _admitted.get()
    if block and block[0] is request:
        return block[1]
    match = request.resolver_match
    return get_names(request, match.kwargs if match is not None else {})


class _Known(NamedTuple):
    user: Any
    names: tuple[str, ...]
    access: Access


def get_names(request: HttpRequest, kwargs: Mapping[str, Any], url_kwarg: str = URL_KWARG) -> tuple[str, ...]:
    """Return the ids or slugs with which a request names its organization: in the URL and in ``X-Organization``."""
    named = (kwargs.get(url_kwarg), request.META.get(META_NAME))
    return tuple(str(name) for name in named if name is not None)


def get_known_access(request: HttpRequest, user: Any, names: tuple[str, ...]) -> Access | None:
    """Return the access that this user has with these names, if the request knows it already.

    The user of Django's request can change: a middleware may ask for the session's user before a view takes a key. The names
    differ if a view calls another one with the same request.
    """
    known: _Known | None = vars(request).get(KNOWN)
    return known.access if known and known.user is user and names == known.names else None


def resolve_access(request: HttpRequest, actor: Actor, user: Any, names: tuple[str, ...]) -> Access:
    """Return the access of a request's user or principal, and remember it. Raise the same errors as ``find_access()``.

    The refusal of a key for an organization that is not its own is reported.
    """
    access = get_known_access(request, user, names)
    if access is None:
        try:
            access = find_access(user, names, is_superuser=actor.is_superuser, api_key=actor.api_key)
        except Refused as refused:
            if refused.code in CAUSES and actor.api_key:
                report_refusal(request, actor.api_key, CAUSES[refused.code])
            raise
        setattr(request, KNOWN, _Known(user, names, access))
    return access


def find_access(user: Any, names: Sequence[str], *, is_superuser: bool, api_key: ApiKey | None = None) -> Access:
    """Return the access of a user or principal to the organization with all these names (ids or slugs).

    Without names, it is the organization of the key, or of the user's only membership. ``is_superuser`` says that Django's
    superuser status counts (``Actor.is_superuser``). ``api_key`` authenticated the request, if any.

    Raise ``Refused``: ``not_authenticated``; ``not_found``, also for another organization than that to which the key is
    restricted; ``organization_required`` without names for a user who does not have exactly one membership, or with names of
    several organizations; ``organization_suspended``; ``user_key_not_allowed``.
    """
    memberships = get_memberships()
    if isinstance(user, OrganizationPrincipal):
        if not all(memberships.is_named(user.organization, name) for name in names):
            raise Refused("not_found")
        return Access(user.organization, user.permissions)
    # Django's ``AllowAllUsersModelBackend`` accepts the session of a deactivated user.
    if not user or not user.is_authenticated or not user.is_active:
        raise Refused("not_authenticated")
    if names and is_superuser:
        organizations = memberships.find_named(get_organizations(), names, limit=MAX_ORGANIZATIONS)
        if not organizations:
            raise Refused("not_found")
        # The names of a project need not be unique.
        if len(organizations) != 1:
            raise _require_choice(organizations)
        return Access(organizations[0], is_superuser=True)
    found = memberships.find(user, names, limit=MAX_ORGANIZATIONS)
    restricted_to = api_key and api_key.restricted_to_id
    own = [member for member in found if restricted_to in (None, member.organization.pk)]
    if names and not own:
        raise Refused("not_found")
    # A restricted key chooses no organization for its user: it would then be allowed what the unrestricted key is not.
    if len(found) != 1 or not own:
        # Do not ask users without a membership to name an organization: any name would return 404.
        text = None if own or is_superuser else NO_ORGANIZATION
        open_to_key = [row.organization for row in own if _find_key_refusal(row.organization, api_key) is None]
        raise _require_choice(open_to_key, text)
    return _get_member_access(own[0], is_superuser, api_key)


def _get_member_access(member: Member, is_superuser: bool, api_key: ApiKey | None) -> Access:
    organization: Organization = member.organization
    if organization.suspended_at is not None and not is_superuser:
        raise Refused("organization_suspended")
    if refused := _find_key_refusal(organization, api_key):
        raise refused
    permissions = organization.get_effective_permissions(member.get_permissions(), api_key)
    return Access(organization, permissions, is_superuser)


def _require_choice(organizations: Sequence[Organization], text: Any = None) -> Refused:
    if not get_memberships().has_slugs:
        text = text or _("Set the X-Organization header to the id of your organization.")
    described = sorted(map(_describe, organizations), key=itemgetter("name"))
    return Refused("organization_required", text, organizations=described)


def _find_key_refusal(organization: Organization, api_key: ApiKey | None) -> Refused | None:
    if api_key is not None and not organization.user_keys_allowed:
        return Refused("user_key_not_allowed", _("This organization accepts no user keys."))
    if api_key is not None and api_key.is_shut_out_of(organization):
        return Refused("user_key_not_allowed", _("This organization has shut out this user key."))
    return None


def refuse_permission(request: HttpRequest, api_key: ApiKey | None, access: Access, permission: str) -> Refused:
    """Return the refusal of a request without a permission in its own organization, and report that of a key."""
    if api_key is not None:
        report_refusal(request, api_key, "permission", access.organization.pk)
    return Refused("permission_denied", required_permission=str(permission))


def get_default_permission(method: str | None) -> str:
    """Return the permission that a view requires for an HTTP method if it does not declare one."""
    return Permission.VIEW_ORGANIZATION if method in SAFE_METHODS else Permission.CONTRIBUTE_ORGANIZATION


def _describe(organization: Organization) -> dict[str, str]:
    slug = get_memberships().get_slug(organization)
    return {"id": str(organization.pk), **({} if slug is None else {"slug": slug}), "name": organization.name}
