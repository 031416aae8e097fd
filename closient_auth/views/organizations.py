from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from closient_auth.models import AuditEntry, Membership, Organization
from closient_auth.models.addresses import get_address_field
from closient_auth.organizations import get_organization
from closient_auth.principals import OrganizationPrincipal
from closient_auth.roles import Permission
from closient_auth.serializers import (
    AuditEntrySerializer,
    AuditFilterSerializer,
    MembershipFilterSerializer,
    MembershipSerializer,
    OrganizationSerializer,
    RemovalSerializer,
)
from closient_auth.views.base import ManagementViewSet, OrganizationScopedViewSet


class OrganizationsViewSet(ManagementViewSet):
    """The organizations of a user, or the organization of a business key."""

    serializer_class = OrganizationSerializer
    creates = "organization"

    def get_queryset(self) -> QuerySet[Organization]:
        if isinstance(self.user, OrganizationPrincipal):
            organizations = Organization.objects.filter(pk=self.user.organization.pk)
        else:
            organizations = Organization.objects.filter(memberships__user=self.user.pk)
        return organizations.order_by("name", "pk")

    def create(self, request: Request, **kwargs: str) -> Response:
        values = self.get_validated().validated_data
        organization = Organization.objects.create_organization(owner=self.user, **values)
        return Response(self.get_serializer(organization).data, status=status.HTTP_201_CREATED)


class OrganizationViewSet(OrganizationScopedViewSet):
    serializer_class = OrganizationSerializer
    required_permissions = {
        "retrieve": Permission.VIEW_ORGANIZATION,
        "partial_update": Permission.DELETE_ORGANIZATION,
        "destroy": Permission.DELETE_ORGANIZATION,
    }

    def get_object(self) -> Organization:
        return get_organization(self.request)

    def partial_update(self, request: Request, **kwargs: str) -> Response:
        organization = self.get_object()
        organization.rename(**self.get_validated(partial=True).validated_data, by=self.user)
        return Response(self.get_serializer(organization).data)

    def destroy(self, request: Request, **kwargs: str) -> Response:
        """Delete the organization with its members, invitations and keys."""
        self.get_object().delete(by=self.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MembershipViewSet(OrganizationScopedViewSet):
    serializer_class = MembershipSerializer
    filter_serializer_class = MembershipFilterSerializer
    required_permissions = {
        "list": Permission.VIEW_ORGANIZATION,
        "retrieve": Permission.VIEW_ORGANIZATION,
        "partial_update": Permission.MANAGE_MEMBERS,
        # Every member may leave. ``Membership.remove()`` checks who may remove others.
        "destroy": Permission.VIEW_ORGANIZATION,
    }

    def get_queryset(self) -> QuerySet[Membership]:
        memberships = Membership.objects.filter(organization=get_organization(self.request))
        return memberships.select_related("user", "organization").order_by("created_at", "pk")

    def filter_rows(self, rows: QuerySet[Membership]) -> QuerySet[Membership]:
        filters = self.get_filters()
        if "role" in filters:
            rows = rows.filter(role=filters["role"])
        if text := filters.get("q"):
            matches = Q(**{f"user__{get_user_model().USERNAME_FIELD}__icontains": text})
            if address_field := get_address_field():
                matches |= Q(**{f"user__{address_field}__icontains": text})
            rows = rows.filter(matches)
        return rows

    def partial_update(self, request: Request, **kwargs: str) -> Response:
        """Change the role of the member."""
        membership = self.get_object()
        if role := self.get_validated(partial=True).validated_data.get("role"):
            membership.change_role(role, by=self.user)
        return Response(self.get_serializer(membership).data)

    def destroy(self, request: Request, **kwargs: str) -> Response:
        """Remove a member, or leave. Return the active keys of this member, so you can revoke them."""
        live_keys = self.get_object().remove(by=self.user)
        return Response(RemovalSerializer({"live_keys": live_keys.select_related("created_by").order_by("pk")}).data)


class AuditViewSet(OrganizationScopedViewSet):
    """The audit log of the organization, newest first."""

    serializer_class = AuditEntrySerializer
    filter_serializer_class = AuditFilterSerializer
    required_permissions = Permission.MANAGE_MEMBERS

    def get_queryset(self) -> QuerySet[AuditEntry]:
        entries = AuditEntry.objects.filter(organization_id=get_organization(self.request).pk)
        return entries.order_by("-created_at", "pk")

    def filter_rows(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        lookups = {"since": "created_at__gte", "until": "created_at__lt"}
        return rows.filter(**{lookups.get(name, name): value for name, value in self.get_filters().items()})
