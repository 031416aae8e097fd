from django.urls import path

from planning.api import ProjectViewSet, TaskViewSet

LIST = {"get": "list", "post": "create"}
DETAIL = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("", ProjectViewSet.as_view(LIST)),
    path("<int:pk>/", ProjectViewSet.as_view(DETAIL)),
    path("<int:project>/tasks/", TaskViewSet.as_view(LIST)),
    path("<int:project>/tasks/<int:pk>/", TaskViewSet.as_view(DETAIL)),
]
