from django.urls import path

from teams.api import MemberViewSet, MyTeamsViewSet, TeamViewSet

TEAM = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("", MyTeamsViewSet.as_view({"get": "list", "post": "create"})),
    path("<str:slug>/", TeamViewSet.as_view(TEAM)),
    path("<str:slug>/members/", MemberViewSet.as_view({"get": "list"})),
    path("<str:slug>/members/<str:username>/", MemberViewSet.as_view({"put": "update", "delete": "destroy"})),
]
