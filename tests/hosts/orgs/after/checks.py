"""The system checks know that the host's own rows are organizations."""

from types import ModuleType

import pytest
from django.core.checks import run_checks
from django.urls import path
from rest_framework import serializers, viewsets
from rest_framework.permissions import IsAuthenticated

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.mixins import OrganizationMixin
from closient_auth.permissions import HasOrganizationPermission
from closient_auth.throttling import ApiKeyRateThrottle
from tenancy.models import Organization
from tracker.models import Project, Report, Tag
from tracker.serializers import ProjectSerializer, ReportSerializer, TagSerializer
from tracker.views import ProjectViewSet, ReportViewSet, TagViewSet

LIST = {"get": "list", "post": "create"}


@pytest.fixture
def find(settings):
    """Return a function to get the ids of the messages about a view at a route."""

    def find(view, route="<str:organization_name>"):
        urls = ModuleType("urls_of_the_test")
        urls.urlpatterns = [path(route, view)]
        settings.ROOT_URLCONF = urls
        found = [message for message in run_checks() if view.cls.__name__ in message.msg]
        return sorted(message.id.removeprefix("closient_auth.") for message in found)

    return find


class OpenProjectSerializer(serializers.ModelSerializer):
    class Meta:
        model = Project
        fields = ["id", "name", "organization"]


class OpenReportSerializer(serializers.ModelSerializer):
    class Meta:
        model = Report
        fields = ["id", "title", "project"]


class BareViewSet(viewsets.ModelViewSet):
    """A view without the mixin."""

    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [HasOrganizationPermission]
    throttle_classes = [ApiKeyRateThrottle]
    filter_backends = [OrganizationFilterBackend]
    queryset = Project.objects.all()
    serializer_class = ProjectSerializer
    organization_url_kwarg = "organization_name"
    organization_field = "organization"


class MixedViewSet(OrganizationMixin, BareViewSet):
    pass


@pytest.mark.parametrize("viewset", [ProjectViewSet, TagViewSet, ReportViewSet])
def test_views_of_the_host(find, viewset):
    """Only the reports have a project in their URL."""
    is_nested = viewset is ReportViewSet
    assert find(viewset.as_view(LIST), "<str:organization_name>") == (["E015"] if is_nested else [])
    route = "<str:organization_name>/<uuid:project_id>"
    assert find(viewset.as_view(LIST), route) == ([] if is_nested else ["W031"])


OWN = {"permission_classes": [IsAuthenticated]}
REPORTS = {"queryset": Report.objects.all(), "organization_field": "project__organization"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"filter_backends": []}, ["W011"]),
        (OWN, ["W018"]),
        ({**OWN, "filter_backends": []}, ["W018"]),
        ({**OWN, "queryset": Tag.objects.all(), "serializer_class": TagSerializer}, ["W018"]),
        ({**OWN, **REPORTS, "serializer_class": TagSerializer}, ["W018"]),
        ({**OWN, "queryset": Organization.objects.all(), "serializer_class": TagSerializer}, ["W018"]),
    ],
)
def test_rows(find, changes, expected):
    """The reports lead to an organization of the host by their project."""
    assert [id for id in find(BareViewSet.as_view(LIST, **changes)) if id in ("W011", "W018")] == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"serializer_class": OpenProjectSerializer}, ["W016"]),
        ({**REPORTS, "serializer_class": OpenReportSerializer}, ["W016"]),
        ({**REPORTS, "serializer_class": ReportSerializer}, ["W029"]),
    ],
)
def test_fields(find, changes, expected):
    assert find(BareViewSet.as_view(LIST, **changes)) == expected
    assert find(MixedViewSet.as_view(LIST, **changes)) == []


def test_parents_in_the_url(find):
    route = "<str:organization_name>/<uuid:project_id>"
    changes = {**REPORTS, "serializer_class": serializers.ModelSerializer}

    assert find(BareViewSet.as_view(LIST, **changes), route) == ["W031"]
    cure = {"parent_lookup_kwargs": {"project_id": "project__pk"}}
    assert find(MixedViewSet.as_view(LIST, **changes, **cure), route) == []
