from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from closient_auth.api import serializers
from closient_auth.api.base import OrganizationScopedViewSet
from closient_auth.models import Membership
from closient_auth.models.addresses import get_address_field
from closient_auth.roles import Permission


class MembershipViewSet(OrganizationScopedViewSet):
    tag, noun, nouns, verbs = "members", "a member", "members", {"destroy": "Remove"}
    operations = {"destroy": {"responses": {200: serializers.RemovalSerializer}}}
    serializer_class = serializers.MembershipSerializer
    filter_serializer_class = serializers.MembershipFilterSerializer
    kind = "member"
    required_permissions = {
        "list": Permission.VIEW_ORGANIZATION,
        "retrieve": Permission.VIEW_ORGANIZATION,
        "partial_update": Permission.MANAGE_MEMBERS,
        # Every member may leave. ``Membership.remove()`` checks who may remove others.
        "destroy": Permission.VIEW_ORGANIZATION,
    }

    def get_queryset(self) -> QuerySet[Membership]:
        memberships = Membership.objects.filter(organization=self.organization)
        return memberships.select_related("user", "organization").order_by("created_at", "pk")

    def filter_rows(self, rows: Any, *, q: str = "", **filters: Any) -> Any:
        matches = Q()
        for name in (get_user_model().USERNAME_FIELD, get_address_field()):
            if q and name:
                matches |= Q(**{f"user__{name}__icontains": q})
        return super().filter_rows(rows.filter(matches), **filters)

    def partial_update(self, request: Request, **kwargs: str) -> Response:
        """Change the role of the member."""
        membership = self.get_object()
        if role := self.get_values(partial=True).get("role"):
            membership.change_role(role, by=self.actor)
        return Response(self.get_serializer(membership).data)

    def destroy(self, request: Request, **kwargs: str) -> Response:
        """Remove a member, or leave. Return the active keys of this member, so you can revoke them."""
        live_keys = self.get_object().remove(by=self.actor).select_related("created_by").order_by("pk")
        return Response(serializers.RemovalSerializer({"live_keys": live_keys}).data)
