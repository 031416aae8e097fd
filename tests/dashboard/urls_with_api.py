"""A project with the dashboard and the management API."""

from __future__ import annotations

from django.urls import include, path

from tests.dashboard.urls import urlpatterns as others

urlpatterns = [path("account/api/v1/", include("closient_auth.urls")), *others]
