from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import generics, mixins, viewsets
from rest_framework.permissions import IsAuthenticated

from tenancy.models import Membership, Organization
from tracker.models import Project, Report, Tag
from tracker.permissions import IsOrganizationMember
from tracker.serializers import OrganizationSerializer, ProjectSerializer, ReportSerializer, TagSerializer


class OrganizationList(generics.ListCreateAPIView):
    """The organizations of the user. Whoever creates one is its owner."""

    serializer_class = OrganizationSerializer

    def get_queryset(self):
        return Organization.objects.of(self.request.user)

    def perform_create(self, serializer):
        organization = serializer.save()
        organization.memberships.create(user=self.request.user, role=Membership.Role.OWNER, date_joined=timezone.now())


class OrganizationRows:
    """Rows of the organization in the URL."""

    permission_classes = [IsAuthenticated, IsOrganizationMember]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    owner_actions = []

    @property
    def organization_id(self):
        return get_object_or_404(Organization, name=self.kwargs["organization_name"]).pk

    def filter_queryset(self, queryset):
        return super().filter_queryset(queryset).filter(organization=self.organization_id)

    def perform_create(self, serializer):
        serializer.save(organization_id=self.organization_id)


class ProjectViewSet(OrganizationRows, viewsets.ModelViewSet):
    queryset = Project.objects.all()
    serializer_class = ProjectSerializer
    owner_actions = ["destroy"]


class TagViewSet(
    OrganizationRows, mixins.ListModelMixin, mixins.CreateModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet
):
    queryset = Tag.objects.all()
    serializer_class = TagSerializer
    owner_actions = ["destroy"]


class ReportViewSet(OrganizationRows, viewsets.ModelViewSet):
    queryset = Report.objects.prefetch_related("tags")
    serializer_class = ReportSerializer

    @property
    def project(self):
        return get_object_or_404(Project, pk=self.kwargs["project_id"], organization=self.organization_id)

    def filter_queryset(self, queryset):
        return queryset.filter(project=self.project)

    def perform_create(self, serializer):
        serializer.save(project=self.project)
