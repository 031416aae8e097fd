from django.shortcuts import get_object_or_404
from rest_framework import serializers, viewsets

from planning.models import Project, Task
from teams.models import Team
from teams.permissions import HasTeamRight


class ProjectSerializer(serializers.ModelSerializer):
    class Meta:
        model = Project
        fields = ["id", "name"]


class TaskSerializer(serializers.ModelSerializer):
    class Meta:
        model = Task
        fields = ["id", "title", "done"]


class ProjectViewSet(viewsets.ModelViewSet):
    serializer_class = ProjectSerializer
    permission_classes = [HasTeamRight]
    rights = {
        "list": "view",
        "retrieve": "view",
        "create": "plan",
        "partial_update": "plan",
        "destroy": "manage",
    }

    def get_queryset(self):
        return Project.objects.filter(team__slug=self.kwargs["slug"])

    def perform_create(self, serializer):
        serializer.save(team=get_object_or_404(Team, slug=self.kwargs["slug"]))


class TaskViewSet(viewsets.ModelViewSet):
    serializer_class = TaskSerializer
    permission_classes = [HasTeamRight]
    rights = {
        "list": "view",
        "retrieve": "view",
        "create": "plan",
        "partial_update": "plan",
        "destroy": "plan",
    }

    def get_queryset(self):
        return Task.objects.filter(project=self.get_project())

    def perform_create(self, serializer):
        serializer.save(project=self.get_project())

    def get_project(self):
        return get_object_or_404(Project, team__slug=self.kwargs["slug"], pk=self.kwargs["project"])
