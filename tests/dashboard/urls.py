from __future__ import annotations

from django.contrib.auth.views import LoginView
from django.urls import include, path

from tests.urls import urlpatterns as others

urlpatterns = [
    path("login/", LoginView.as_view(template_name="admin/login.html"), name="login"),
    path("settings/", include("closient_auth.dashboard.urls")),
    *others,
]
