from django.contrib import admin
from django.urls import include, path

from planning.views import budget, team_page

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/teams/", include("teams.urls")),
    path("api/teams/<str:slug>/projects/", include("planning.urls")),
    path("teams/<str:slug>/", team_page),
    path("teams/<str:slug>/budget/", budget),
]
