from typing import Any

from django.db.models import QuerySet
from django.utils.http import quote_etag
from rest_framework.request import Request
from rest_framework.response import Response

from closient_auth.api import serializers
from closient_auth.api.base import OrganizationScopedViewSet
from closient_auth.models import ApiKey, Membership
from closient_auth.models.api_keys import ApiKeyQuerySet
from closient_auth.roles import Permission


class MembershipViewSet(OrganizationScopedViewSet):
    tag, noun, nouns = "members", "a member", "members"
    verbs = {"destroy": "Remove", "offboarding": "Preview the removal of"}
    operations = {
        "partial_update": {"responses": {200: serializers.RoleChangeSerializer}},
        "destroy": {"responses": {200: serializers.RemovalSerializer}},
        "offboarding": {"responses": {200: serializers.OffboardingSerializer}},
    }
    serializer_class = serializers.MembershipSerializer
    filter_serializer_class = serializers.MembershipFilterSerializer
    kind = "member"
    role_actions = ("list", "retrieve", "partial_update", "destroy", "offboarding")
    required_permissions = {
        "list": Permission.VIEW_ORGANIZATION,
        "retrieve": Permission.VIEW_ORGANIZATION,
        "partial_update": Permission.MANAGE_MEMBERS,
        # Every member may leave. ``Membership.remove()`` checks who may remove others.
        "destroy": Permission.VIEW_ORGANIZATION,
        "offboarding": Permission.MANAGE_MEMBERS,
    }

    def get_queryset(self) -> QuerySet[Membership]:
        memberships = Membership.objects.filter(organization=self.organization)
        return memberships.select_related("user", "organization").order_by("created_at", "pk")

    def filter_rows(self, rows: Any, *, q: str = "", **filters: Any) -> Any:
        return super().filter_rows(rows.matching(q), **filters)

    def partial_update(self, request: Request, **kwargs: str) -> Response:
        """Change the role of the member. After a demotion, `live_keys` are the active keys that the member created."""
        membership, live_keys = self.get_object(), ApiKey.objects.none()
        if role := self.get_values(partial=True).get("role"):
            live_keys = membership.change_role(role, by=self.actor)
        membership.live_keys = _list(live_keys)
        return Response(serializers.RoleChangeSerializer(membership).data)

    def destroy(self, request: Request, **kwargs: str) -> Response:
        """Remove a member, or leave. `live_keys` are the active keys that the member created, so you can revoke them.

        The body can name some of these keys as `revoke_keys`, a list of ids: they are revoked in the same transaction. With
        the `ETag` of the preview in `If-Match`, the response is a 409 if anything in the preview has changed.
        """
        membership = self.get_object()
        # Compression on the way makes a weak ETag of it, and people forget the quotes.
        shown = request.META.get("HTTP_IF_MATCH", "*").strip().removeprefix("W/").strip('"')
        may_see_keys = self.allows(Permission.MANAGE_API_KEYS)
        serializer = serializers.RemovalSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        revoke_keys = serializer.validated_data.get("revoke_keys", [])
        live_keys = membership.remove(by=self.actor, revoke_keys=revoke_keys, shown=None if shown == "*" else shown)
        return Response(serializers.RemovalSerializer({"live_keys": _list(live_keys) if may_see_keys else []}).data)

    def offboarding(self, request: Request, **kwargs: str) -> Response:
        """Show what the removal of a member ends, and what it leaves for a decision.

        `user_keys` lose this organization, `live_keys` go on working, and nobody can accept the `invitations` any more.
        """
        self.require(Permission.MANAGE_API_KEYS)
        offboarding = self.get_object().preview_offboarding()
        data = serializers.OffboardingSerializer(offboarding, context=self.get_serializer_context()).data
        return Response(data, headers={"ETag": quote_etag(offboarding.etag)})


def _list(live_keys: ApiKeyQuerySet) -> list[ApiKey]:
    return list(live_keys.select_related("created_by").order_by("pk"))
