"""Views of documents: by the pattern with a filter backend, and with ``OrganizationMixin``."""

from __future__ import annotations

from typing import Any

from django.urls import include, path
from rest_framework import serializers
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ModelViewSet

from closient_auth.filters import OrganizationFilterBackend
from closient_auth.mixins import OrganizationMixin
from closient_auth.organizations import get_organization
from closient_auth.permissions import HasOrganizationPermission
from tests.models import Document, Folder


class DocumentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Document
        fields = ["id", "title", "folder", "tags"]


class FolderSerializer(serializers.ModelSerializer):
    class Meta:
        model = Folder
        fields = ["id", "name"]


class PlainViewSet(ModelViewSet):
    """The pattern without the mixin: the holes are here."""

    # The headers of the throttle differ for each response.
    throttle_classes = []
    permission_classes = [HasOrganizationPermission]
    filter_backends = [OrganizationFilterBackend]
    queryset: Any = Document.objects.order_by("pk")
    serializer_class: Any = DocumentSerializer

    def perform_create(self, serializer):
        serializer.save(organization=get_organization(self.request))


class DocumentViewSet(OrganizationMixin, ModelViewSet):
    throttle_classes = []
    queryset: Any = Document.objects.order_by("pk")
    serializer_class: Any = DocumentSerializer


class FolderViewSet(OrganizationMixin, ModelViewSet):
    throttle_classes = []
    queryset: Any = Folder.objects.order_by("pk")
    serializer_class: Any = FolderSerializer


def route(viewset):
    """Return the URL patterns of documents at ``/documents/``, and of folders as targets of hyperlinks."""
    router = SimpleRouter()
    router.register("documents", viewset, basename="document")
    router.register("folders", FolderViewSet, basename="folder")
    return path("", include(router.urls))


def with_serializer(base, serializer, **attributes):
    """Return a subclass of the viewset with this serializer."""
    return type(f"{base.__name__}With{serializer.__name__}", (base,), {"serializer_class": serializer, **attributes})
