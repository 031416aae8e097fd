"""drf-spectacular describes the fields, the mixin and the filters without a warning."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import include, path
from rest_framework import serializers
from rest_framework.routers import SimpleRouter

from closient_auth.contrib.django_filters import OrganizationDjangoFilterBackend
from closient_auth.fields import (
    CurrentOrganizationDefault,
    OrganizationHyperlinkedRelatedField,
    OrganizationRelatedField,
    OrganizationSlugRelatedField,
)
from tests.api.test_schema import describe
from tests.models import Document, Folder, Tag
from tests.relations.views import DocumentViewSet, FolderViewSet

pytestmark = pytest.mark.sqlite


class DescribedSerializer(serializers.ModelSerializer):
    folder = OrganizationRelatedField(queryset=Folder.objects.all())
    tags = OrganizationRelatedField(queryset=Tag.objects.all(), many=True)
    first_tag = OrganizationSlugRelatedField(slug_field="name", queryset=Tag.objects.all(), source="tags.0")
    link = OrganizationHyperlinkedRelatedField(
        view_name="folder-detail", queryset=Folder.objects.all(), source="folder"
    )
    organization = serializers.HiddenField(default=CurrentOrganizationDefault())

    class Meta:
        model = Document
        fields = ["id", "folder", "tags", "first_tag", "link", "organization"]


class DescribedViewSet(DocumentViewSet):
    serializer_class = DescribedSerializer
    filter_backends = [OrganizationDjangoFilterBackend]
    filterset_fields = ["folder", "tags"]


router = SimpleRouter()
router.register("documents", DescribedViewSet)
router.register("folders", FolderViewSet)
urlpatterns: Any = [
    path("", include(router.urls)),
    path(
        "folders/<int:folder_pk>/documents/",
        DescribedViewSet.as_view({"get": "list"}, parent_lookup_kwargs={"folder_pk": "folder__pk"}),
    ),
]


def test_schema():
    schema = describe(__name__)

    properties = schema["components"]["schemas"]["Described"]["properties"]
    assert {name: each.get("type") for name, each in properties.items()} == {
        "id": "integer",
        "folder": "integer",
        "tags": "array",
        "first_tag": "string",
        "link": "string",
    }
    parameters = schema["paths"]["/documents/"]["get"]["parameters"]
    assert [each["name"] for each in parameters] == ["folder", "tags"]
