"""Async views of adrf are checked like those of REST framework."""

from __future__ import annotations

from typing import Any

import pytest
from adrf.decorators import api_view
from adrf.generics import ListAPIView, UpdateAPIView
from adrf.routers import SimpleRouter
from adrf.views import APIView
from adrf.viewsets import ModelViewSet, ViewSet
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer

from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.decorators import publishable
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.permissions import HasOrganizationPermission
from tests.checks.views import BILLING, VIEW, extend
from tests.models import Note, Project


class ProjectSerializer(ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["id", "name", "organization"]


class NoteSerializer(ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = ["text"]


class ReadOnlySerializer(ProjectSerializer):
    class Meta(ProjectSerializer.Meta):
        read_only_fields = ["organization"]


class AsyncView(APIView):  # type: ignore[misc]
    permission_classes: Any = [HasOrganizationPermission]

    async def get(self, request):
        return Response()


class ReportViewSet(ViewSet):  # type: ignore[misc]
    permission_classes = [HasOrganizationPermission]
    required_permissions: Any = {"list": VIEW, "destroy": VIEW}

    async def alist(self, request):
        return Response()

    async def adestroy(self, request, pk):
        return Response()


class ProjectViewSet(ModelViewSet):  # type: ignore[misc]
    permission_classes: Any = [HasOrganizationPermission]
    filter_backends: Any = [OrganizationFilterBackend]
    queryset = Project.objects.all()
    serializer_class: Any = ReadOnlySerializer


class OwnFilterViewSet(ProjectViewSet):
    filter_backends = []

    async def afilter_queryset(self, queryset):
        return queryset


@api_view(["GET"])
async def function_view(request):
    return Response()


def routes(cls, **attributes):
    router = SimpleRouter()
    router.register("reports", extend(cls, "Reports", **attributes), basename="report")
    return router.urls


def test_views_without_faults(run, mount):
    complete = {"alist": VIEW, "adestroy": BILLING}
    mount(
        AsyncView.as_view(),
        function_view,
        *routes(ReportViewSet, required_permissions=complete),
        *routes(ProjectViewSet),
        *routes(OwnFilterViewSet),
    )

    assert run() == []


def test_mapping_with_the_names_of_sync_actions(run, mount):
    """Without the check, each request would be a 500."""
    mount(*routes(ReportViewSet))

    messages = {message.msg for message in run()}

    assert {message.id for message in run()} == {"closient_auth.E007", "closient_auth.W013"}
    for action in ("alist", "adestroy"):
        assert f"required_permissions should name a permission for {action} in: tests.checks.views.Reports." in messages
    for action in ("list", "destroy"):
        assert any(f"names '{action}'" in message for message in messages)


@pytest.mark.parametrize("action", ["alist", "aretrieve", "acreate", "aupdate", "partial_aupdate", "adestroy"])
def test_mapping_without_an_action(find, mount, action):
    actions = ["alist", "aretrieve", "acreate", "aupdate", "partial_aupdate", "adestroy"]
    mount(*routes(ProjectViewSet, required_permissions={name: VIEW for name in actions if name != action}))

    assert f" a permission for {action} in: " in find("E007").msg


@pytest.mark.parametrize(
    ("attributes", "id"),
    [
        ({"authentication_classes": [SessionAuthentication, ApiKeyAuthentication]}, "W001"),
        ({"throttle_classes": []}, "W002"),
        ({"permission_classes": []}, "W003"),
        ({"permission_classes": [IsAdminUser]}, "W004"),
        ({"permission_classes": [IsAuthenticated], "required_permissions": VIEW}, "W005"),
        ({"permission_classes": [~HasOrganizationPermission]}, "E010"),
        ({"required_permissions": "orders.refund"}, "E008"),
        ({"required_permissions": {"get": VIEW, "acreate": VIEW}}, "W013"),
        ({"required_permissions": BILLING, "get": publishable(AsyncView.get)}, "W014"),
        ({"required_permission": VIEW}, "W017"),
    ],
)
def test_view_with_a_fault(find, mount, attributes, id):
    get = attributes.get("get")
    mount(extend(AsyncView, "View", **attributes).as_view())
    try:
        find(id)
    finally:
        if get:
            del get.closient_auth_publishable


@pytest.mark.parametrize(
    ("cls", "attributes", "id"),
    [
        (ProjectViewSet, {"filter_backends": []}, "W011"),
        (ProjectViewSet, {"serializer_class": ProjectSerializer}, "W016"),
        (ProjectViewSet, {"permission_classes": [IsAuthenticated]}, "W018"),
        (ProjectViewSet, {"organization_field": "nowhere"}, "E011"),
    ],
)
def test_viewset_with_a_fault(find, mount, cls, attributes, id):
    mount(*routes(cls, **attributes))

    find(id)


@pytest.mark.parametrize(
    ("base", "attributes", "id"),
    [(ListAPIView, {"filter_backends": []}, "W011"), (UpdateAPIView, {"serializer_class": ProjectSerializer}, "W016")],
)
def test_generic_view_with_a_fault(find, mount, base, attributes, id):
    common: dict[str, Any] = {name: value for name, value in vars(ProjectViewSet).items() if not name.startswith("_")}
    mount(path("<pk>/", extend(base, "View", **{**common, **attributes}).as_view()))

    find(id)


def test_parent_that_nobody_checks(run, find, mount):
    attributes = {"queryset": Note.objects.all(), "organization_field": "project__organization"}
    cls = extend(ProjectViewSet, "Notes", serializer_class=NoteSerializer, **attributes)
    mount(path("<pk>/", cls.as_view({"put": "aupdate"})))
    assert run() == []

    mount(path("<pk>/", cls.as_view({"get": "alist", "post": "acreate"})))
    find("W031")


def test_view_that_chooses_its_classes(run, mount):
    mount(
        extend(AsyncView, "View", permission_classes=[], get_permissions=lambda view: [IsAuthenticated()]).as_view(),
        extend(AsyncView, "Other", throttle_classes=[], get_throttles=lambda view: []).as_view(),
    )

    assert run() == []
