from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission

from tenancy.models import Membership


class IsOrganizationMember(BasePermission):
    """Allow the members of the organization in the URL; the view's ``owner_actions`` are only for owners."""

    def has_permission(self, request, view):
        memberships = Membership.objects.joined().filter(
            user=request.user, organization__name=view.kwargs["organization_name"]
        )
        roles = set(memberships.values_list("role", flat=True))
        if not roles:
            raise NotFound
        return Membership.Role.OWNER in roles or view.action not in view.owner_actions
