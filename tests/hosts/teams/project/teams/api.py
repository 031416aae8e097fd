from django.contrib.auth import get_user_model
from django.shortcuts import get_object_or_404
from rest_framework import mixins, serializers, viewsets
from rest_framework.response import Response

from teams.models import RIGHTS, Team
from teams.permissions import HasTeamRight


class TeamSerializer(serializers.ModelSerializer):
    class Meta:
        model = Team
        fields = ["id", "name", "slug"]


class RolesSerializer(serializers.Serializer):
    roles = serializers.MultipleChoiceField(choices=list(RIGHTS))


class MyTeamsViewSet(mixins.ListModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet):
    """The teams of the person who asks. Everyone may found a team."""

    serializer_class = TeamSerializer

    def get_queryset(self):
        return Team.objects.of(self.request.user)

    def perform_create(self, serializer):
        serializer.save().set_roles(self.request.user, ["admin"])


class TeamViewSet(viewsets.ModelViewSet):
    serializer_class = TeamSerializer
    permission_classes = [HasTeamRight]
    rights = {"retrieve": "view", "partial_update": "manage", "destroy": "manage"}
    lookup_field = "slug"

    def get_queryset(self):
        return Team.objects.of(self.request.user)


class MemberViewSet(viewsets.ViewSet):
    permission_classes = [HasTeamRight]
    rights = {"list": "view", "update": "manage", "destroy": "manage"}

    def list(self, request, slug):
        members = self.get_team().members.filter(left_at=None).select_related("user").prefetch_related("roles")
        described = {member.user.username: sorted(map(str, member.roles.all())) for member in members}
        return Response([{"user": user, "roles": roles} for user, roles in sorted(described.items())])

    def update(self, request, slug, username):
        serializer = RolesSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = get_object_or_404(get_user_model(), username=username)
        self.get_team().set_roles(user, serializer.validated_data["roles"])
        return Response({"user": username, "roles": sorted(serializer.validated_data["roles"])})

    def destroy(self, request, slug, username):
        team = self.get_team()
        team.remove(get_object_or_404(team.members, user__username=username, left_at=None).user)
        return Response(status=204)

    def get_team(self):
        return get_object_or_404(Team, slug=self.kwargs["slug"])
