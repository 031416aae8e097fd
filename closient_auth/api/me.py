from collections.abc import Iterable
from typing import Any

from rest_framework import status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from closient_auth.actors import acting
from closient_auth.api import serializers
from closient_auth.api.base import ApiViewSet
from closient_auth.core.rates import get_windows
from closient_auth.decorators import publishable
from closient_auth.exceptions import ApiKeyRequired
from closient_auth.limits.counter import read_windows
from closient_auth.limits.windows import StoreUnavailable
from closient_auth.memberships import Member, get_memberships
from closient_auth.models import ApiKey, Organization
from closient_auth.models.restrictions import filter_open
from closient_auth.principals import OrganizationPrincipal
from closient_auth.roles import KEY_RULES


@publishable
class MeViewSet(ApiViewSet):
    tag, noun = "me", "the current credential"
    serializer_class = serializers.MeSerializer
    permission_classes = [IsAuthenticated]

    def retrieve(self, request: Request, **kwargs: str) -> Response:
        """Return the identity of this credential, its rate limits, and its permissions in each organization.

        For a publishable key, `key` is null: everybody who opens a page can read its key, and should not learn from it how
        many requests the page gets.
        """
        me: dict[str, Any] = {"type": "organization", "username": None}
        if isinstance(self.user, OrganizationPrincipal):
            me["organizations"] = [_describe(self.user.organization, None, self.user.permissions)]
        else:
            api_key = self.actor.api_key
            members = get_memberships().find(self.user, within=filter_open(Organization.objects.all(), api_key))
            members.sort(key=lambda member: (member.organization.name.casefold(), member.organization.pk))
            organizations = [_describe_member(member, api_key) for member in members]
            me = {"type": "user", "username": self.user.get_username(), "organizations": organizations}
        alone = filter_open(Organization.objects.owned_alone_by(self.user), self.actor.api_key).order_by("name", "pk")
        key = None
        if isinstance(request.auth, ApiKey) and not KEY_RULES[request.auth.prefix].is_public:
            key = _describe_key(request.auth)
        return Response(self.get_serializer({**me, "key": key, "organizations_owned_alone": alone}).data)


class OwnKeyViewSet(ApiViewSet):
    tag, noun, verbs = "me", "the current key", {"destroy": "Revoke"}
    permission_classes = [IsAuthenticated]
    # An attacker could otherwise use up the rate limit of a leaked key to prevent its revocation.
    throttle_classes = []
    # Whoever finds a leaked key is elsewhere.
    closient_auth_unrestricted = True

    def destroy(self, request: Request, **kwargs: str) -> Response:
        """Revoke the API key of this request, for example after you found it in a log.

        Publishable keys are refused: they are public, so any visitor of a page could revoke its key.
        """
        if not isinstance(request.auth, ApiKey):
            raise ApiKeyRequired
        with acting(self.actor):
            request.auth.revoke()
        return Response(status=status.HTTP_204_NO_CONTENT)


def _describe_member(member: Member, api_key: ApiKey | None) -> dict[str, Any]:
    permissions = member.organization.get_effective_permissions(member.get_permissions(), api_key)
    return _describe(member.organization, member.role, permissions)


def _describe(organization: Organization, role: str | None, permissions: Iterable[str]) -> dict[str, Any]:
    slug = get_memberships().get_slug(organization)
    return {"organization": organization, "slug": slug, "role": role, "permissions": sorted(permissions)}


def _describe_key(api_key: ApiKey) -> dict[str, Any]:
    names = ("id", "prefix", "hint", "name", "expires_at", "permissions", "restricted_to_id")
    key = {name: getattr(api_key, name) for name in names}
    try:
        return {**key, "limits": read_windows(str(api_key.family), get_windows(api_key))}
    except StoreUnavailable:
        return {**key, "limits": None}
