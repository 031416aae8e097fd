"""Views for the tests of the checks. ``extend`` makes variants of them."""

from __future__ import annotations

from typing import Any

from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from closient_auth.permissions import HasOrganizationPermission

HERE = __name__
VIEW, BILLING = "organization.view_organization", "organization.manage_billing"


class PlainView(APIView):
    def get(self, request):
        return Response()

    def post(self, request):
        return Response()


class PermissionView(PlainView):
    permission_classes = [HasOrganizationPermission]


class SilentView(PlainView):
    permission_classes = []


class ChoosingView(SilentView):
    def get_permissions(self):
        return [HasOrganizationPermission()]


@api_view(["GET"])
@permission_classes([])
def silent_view(request):
    return Response()


class ReportViewSet(ViewSet):
    permission_classes = [HasOrganizationPermission]
    required_permissions = {"list": VIEW}

    def list(self, request):
        return Response()

    def destroy(self, request, pk):
        return Response()

    @action(methods=["post"], detail=True)
    def publish(self, request, pk):
        return Response()

    @action(detail=False, permission_classes=[])
    def forgotten(self, request):
        return Response()

    @action(detail=False, permission_classes=[AllowAny])
    def public(self, request):
        return Response()


def extend(cls: Any, name: str, **attributes: object) -> Any:
    """Return a subclass with this name, because the messages name views by class."""
    return type(name, (cls,), attributes)


def mix(*bases: Any) -> Any:
    """Return a view with these bases, in this order."""
    return type("Mixed", bases, {})


def routes(**attributes):
    router = SimpleRouter()
    router.register("reports", extend(ReportViewSet, "Reports", **attributes), basename="report")
    return router.urls
