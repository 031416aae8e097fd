from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.host import views

VIEWS = {
    "bare": views.Bare.as_view(),
    "token": views.Token.as_view(),
    "token-throttled": views.TokenThrottled.as_view(),
    "drf-api-key": views.DrfApiKey.as_view(),
    "drf-api-key-throttled": views.DrfApiKeyThrottled.as_view(),
    "knox": views.Knox.as_view(),
    "knox-throttled": views.KnoxThrottled.as_view(),
    "simple-api-key": views.SimpleApiKey.as_view(),
    "simple-api-key-throttled": views.SimpleApiKeyThrottled.as_view(),
    "closient": views.Closient.as_view(),
    "closient-slow": views.ClosientSlow.as_view(),
}


def serve(request: HttpRequest, name: str) -> HttpResponse:
    return VIEWS[name](request)


# Django tries one pattern after the other, so with a pattern for each view the last one would cost most.
urlpatterns = [path("<slug:name>", serve)]
