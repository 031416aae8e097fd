from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Sum
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, render

from teams.models import Team


@login_required
def team_page(request, slug):
    team = get_object_or_404(Team.objects.of(request.user), slug=slug)
    return render(request, "planning/team.html", {"team": team, "rights": sorted(team.get_rights(request.user))})


def budget(request, slug):
    """Return the budgets of a team's projects, for its spreadsheet."""
    if not request.user.is_authenticated:
        return JsonResponse({"detail": "Please sign in."}, status=401)
    team = get_object_or_404(Team.objects.of(request.user), slug=slug)
    if "bill" not in team.get_rights(request.user):
        raise PermissionDenied
    return JsonResponse({"team": team.name, **team.projects.aggregate(total=Sum("budget", default=0))})
