from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("account/", include("accounts.urls")),
    path("organizations/", include("tenancy.urls")),
    path("api/", include("tracker.urls")),
]
