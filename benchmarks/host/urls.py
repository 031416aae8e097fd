from __future__ import annotations

from django.urls import path

from benchmarks.host import views

urlpatterns = [
    path("bare", views.Bare.as_view()),
    path("token", views.Token.as_view()),
    path("token-throttled", views.TokenThrottled.as_view()),
    path("drf-api-key", views.DrfApiKey.as_view()),
    path("drf-api-key-throttled", views.DrfApiKeyThrottled.as_view()),
    path("knox", views.Knox.as_view()),
    path("knox-throttled", views.KnoxThrottled.as_view()),
    path("simple-api-key", views.SimpleApiKey.as_view()),
    path("simple-api-key-throttled", views.SimpleApiKeyThrottled.as_view()),
    path("closient", views.Closient.as_view()),
    path("closient-slow", views.ClosientSlow.as_view()),
]
