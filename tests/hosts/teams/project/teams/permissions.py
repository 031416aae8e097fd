from django.shortcuts import get_object_or_404
from rest_framework.permissions import BasePermission

from teams.models import Team


class HasTeamRight(BasePermission):
    """Admit members of the team in the URL whose roles have the right that the view asks for in ``rights``."""

    def has_permission(self, request, view):
        if not request.user.is_authenticated:
            return False
        team = get_object_or_404(Team.objects.of(request.user), slug=view.kwargs["slug"])
        return view.action is None or view.rights[view.action] in team.get_rights(request.user)
