from __future__ import annotations

from django.urls import include, path

from tests.served import views

urlpatterns = [
    path("state/", views.StateView.as_view()),
    path("dying/", views.DyingView.as_view()),
    path("", include("tests.urls")),
]
