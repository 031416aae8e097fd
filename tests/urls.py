from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from tests import views

router = SimpleRouter()
router.register("projects", views.ProjectViewSet)

nested_router = SimpleRouter()
nested_router.register("notes", views.NoteViewSet)

urlpatterns = [
    path("who/", views.WhoView.as_view()),
    path("open-who/", views.OpenWhoView.as_view()),
    path("public/", views.PublicView.as_view()),
    path("failing/", views.FailingView.as_view()),
    path("organization/", views.OrganizationView.as_view()),
    path("organizations/<organization_id>/", views.OrganizationView.as_view()),
    path("organizations/<organization_id>/projects/<int:project_pk>/", include(nested_router.urls)),
    path("", include(router.urls)),
    path("admin/", admin.site.urls),
]
