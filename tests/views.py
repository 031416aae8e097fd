"""Views of the test project. A test with its own view serves it with ``mount``."""

from __future__ import annotations

from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet

from closient_auth.decorators import publishable
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.models import ApiKey
from closient_auth.organizations import get_organization
from closient_auth.permissions import HasOrganizationPermission
from tests.models import Note, Project


class WhoView(APIView):
    """Return the user and the key of the request, for any valid credential."""

    def get(self, request: Request) -> Response:
        api_key = request.auth if isinstance(request.auth, ApiKey) else None
        return Response({"user": str(request.user.pk), "key": api_key and str(api_key.pk)})

    def post(self, request: Request) -> Response:
        return self.get(request)


@publishable
class OpenWhoView(WhoView):
    """``WhoView``, also for publishable keys."""


class PublicView(APIView):
    permission_classes = [AllowAny]

    def get(self, request: Request) -> Response:
        return Response({"public": True})


class FailingView(APIView):
    """Raise an error handled by REST framework."""

    def get(self, request: Request) -> Response:
        raise ValidationError("No.")


class OrganizationView(APIView):
    """Return the slug of the request's organization; GET needs ``view_organization``."""

    permission_classes = [HasOrganizationPermission]

    def get(self, request: Request, **kwargs: str) -> Response:
        return Response({"organization": get_organization(request).slug})


class ProjectSerializer(ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["id", "name"]


class NoteSerializer(ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = ["id", "text"]


class ProjectViewSet(ModelViewSet[Project]):
    permission_classes = [HasOrganizationPermission]
    filter_backends = [OrganizationFilterBackend]
    queryset = Project.objects.order_by("pk")
    serializer_class = ProjectSerializer

    def perform_create(self, serializer: ProjectSerializer) -> None:  # type: ignore[override]
        serializer.save(organization=get_organization(self.request))


class NoteViewSet(ReadOnlyModelViewSet[Note]):
    """Notes of one project of one organization; the URL names both."""

    permission_classes = [HasOrganizationPermission]
    filter_backends = [OrganizationFilterBackend]
    organization_field = "project__organization"
    queryset = Note.objects.order_by("pk")
    serializer_class = NoteSerializer

    def get_queryset(self):
        return super().get_queryset().filter(project=self.kwargs["project_pk"])
