from collections.abc import Mapping
from typing import Any

from django.db import router, transaction
from django.db.models import QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from closient_auth.api import serializers
from closient_auth.api.base import ApiViewSet, OrganizationScopedViewSet
from closient_auth.memberships import get_memberships
from closient_auth.models import Organization
from closient_auth.models.restrictions import filter_open
from closient_auth.principals import OrganizationPrincipal
from closient_auth.roles import Permission


class OrganizationsViewSet(ApiViewSet):
    """The organizations of a user, or the organization of a business key."""

    tag, noun, nouns = "organizations", "an organization", "your organizations"
    serializer_class = serializers.OrganizationSerializer
    kind = "organization"
    role_actions = ("create",)

    def get_queryset(self) -> QuerySet[Organization]:
        own: Any
        if isinstance(self.user, OrganizationPrincipal):
            own = Organization.objects.filter(pk=self.user.organization.pk)
        else:
            own = get_memberships().find_organizations(self.user)
        return filter_open(own, self.actor.api_key).order_by("name", "pk")

    def create(self, request: Request, **kwargs: str) -> Response:
        organization = Organization.objects.create_organization(owner=self.user, by=self.actor, **self.get_values())
        return Response(self.get_serializer(organization).data, status=status.HTTP_201_CREATED)


class OrganizationViewSet(OrganizationScopedViewSet):
    tag, noun = "organizations", "an organization"
    serializer_class = serializers.OrganizationSerializer
    kind = "organization"
    role_actions = ("destroy",)
    required_permissions = {
        "retrieve": Permission.VIEW_ORGANIZATION,
        # The body decides.
        "partial_update": Permission.VIEW_ORGANIZATION,
        "destroy": Permission.DELETE_ORGANIZATION,
    }

    def get_object(self) -> Organization:
        return self.organization

    def get_serializer_class(self) -> Any:
        if self.action != "partial_update":
            return self.serializer_class
        # A project with teams of its own names them itself.
        uses_roles = get_memberships().uses_roles
        return serializers.OrganizationChangeSerializer if uses_roles else serializers.OrganizationPolicySerializer

    def partial_update(self, request: Request, **kwargs: str) -> Response:
        """Change the name or slug, or whether user keys are allowed. The latter needs `organization.manage_api_keys`."""
        organization = self.get_object()
        names = set(request.data) if isinstance(request.data, Mapping) else set()
        if not get_memberships().uses_roles:
            self.require(Permission.MANAGE_API_KEYS)
        elif not (self.allows(Permission.MANAGE_API_KEYS) and names == {"user_keys_allowed"}):
            self.require(Permission.DELETE_ORGANIZATION)
        values = self.get_values(partial=True)
        with transaction.atomic(using=router.db_for_write(Organization)):
            if "user_keys_allowed" in values:
                organization.allow_user_keys(values.pop("user_keys_allowed"), by=self.actor)
            if values:
                organization.rename(**values, by=self.actor)
        return Response(self.get_serializer(organization).data)

    def destroy(self, request: Request, **kwargs: str) -> Response:
        """Delete the organization with its members, invitations and keys."""
        self.get_object().delete(by=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)
