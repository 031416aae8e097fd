from django.urls import path

from tracker.views import OrganizationList, ProjectViewSet, ReportViewSet, TagViewSet

LIST = {"get": "list", "post": "create"}
DETAIL = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("organizations", OrganizationList.as_view(), name="api-organizations"),
    path("organizations/<str:organization_name>/projects", ProjectViewSet.as_view(LIST), name="api-projects"),
    path(
        "organizations/<str:organization_name>/projects/<uuid:pk>", ProjectViewSet.as_view(DETAIL), name="api-project"
    ),
    path(
        "organizations/<str:organization_name>/projects/<uuid:project_id>/reports",
        ReportViewSet.as_view(LIST),
        name="api-reports",
    ),
    path(
        "organizations/<str:organization_name>/projects/<uuid:project_id>/reports/<uuid:pk>",
        ReportViewSet.as_view(DETAIL),
        name="api-report",
    ),
    path("organizations/<str:organization_name>/tags", TagViewSet.as_view(LIST), name="api-tags"),
    path(
        "organizations/<str:organization_name>/tags/<uuid:pk>",
        TagViewSet.as_view({"delete": "destroy"}),
        name="api-tag",
    ),
]
