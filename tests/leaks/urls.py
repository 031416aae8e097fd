from __future__ import annotations

from django.contrib import messages
from django.core.cache import cache
from django.urls import include, path
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.leaks.sinks import logger


class StaffView(APIView):
    permission_classes = [IsAdminUser]

    def get(self, request: Request) -> Response:
        return Response()


class BrokenView(APIView):
    def get(self, request: Request) -> Response:
        raise RuntimeError("The view is broken.")


class LeakyView(APIView):
    """Leak the key everywhere, to prove that the tests find a leak."""

    def get(self, request: Request) -> Response:
        raw_key = request.headers["X-API-Key"]
        logger.debug("key=%s", raw_key)
        messages.info(request._request, raw_key)
        request.session["key"] = raw_key
        cache.set("key", raw_key)
        response = Response({"key": raw_key}, headers={"X-Key": raw_key})
        response.set_cookie("key", raw_key)
        return response


class LeakyBrokenView(APIView):
    def get(self, request: Request) -> Response:
        text = request.headers["X-API-Key"]
        raise RuntimeError(f"The view is broken after {len(text)} characters.")


urlpatterns = [
    path("staff/", StaffView.as_view()),
    path("broken/", BrokenView.as_view()),
    path("leaky/", LeakyView.as_view()),
    path("leaky-broken/", LeakyBrokenView.as_view()),
    path("account/", include("closient_auth.urls")),
    path("settings/", include("closient_auth.dashboard.urls")),
    path("", include("tests.urls")),
]
