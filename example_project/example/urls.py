from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from example.views import favicon, health, home

urlpatterns = [
    path("", home, name="home"),
    path("favicon.ico", favicon),
    path("products/api/v1/", include("products.urls")),
    path("billing/api/v1/", include("billing.urls")),
    path("account/api/v1/", include("closient_auth.urls")),
    path("settings/", include("closient_auth.dashboard.urls")),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("docs/", RedirectView.as_view(pattern_name="docs")),
    path("health", health),
    path("session/", include("rest_framework.urls")),
    path("admin/", admin.site.urls),
]

handler500 = "example.views.server_error"
