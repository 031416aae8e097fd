from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.views import defaults
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from example.demo_data import ADMIN, PASSWORD, PEOPLE
from example.middleware import UNAVAILABLE, database_unavailable

PLACES = (
    ("closient_dashboard:home", "Dashboard", "The pages of an organization's members: keys, usage, members, audit log"),
    ("products:product-list", "API in the browser", "The products of an organization, with forms"),
    ("docs", "API documentation", "All routes, with a form to send requests"),
    ("admin:index", "Admin", "The pages of the staff. Sign in as admin"),
)


def home(request: HttpRequest) -> HttpResponse:
    """Show where to go, and with DEBUG whom to sign in as."""
    places = [{"url": reverse(name), "title": title, "text": text} for name, title, text in PLACES]
    context = {"places": places, "people": get_people() if settings.DEBUG else [], "password": PASSWORD}
    return render(request, "example/home.html", context)


def get_people() -> QuerySet[Any]:
    """Return the users of the demo data with their memberships, in the order of ``PEOPLE``."""
    users = get_user_model().objects.filter(username__in=[*PEOPLE, ADMIN]).order_by("pk")
    return users.prefetch_related("closient_auth_memberships__organization")


def favicon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for this address on pages that name no icon, such as those of the admin."""
    return redirect(static("example/favicon.svg"))


@extend_schema(responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
@authentication_classes([])
@permission_classes([AllowAny])
def health(request: Request) -> Response:
    """
    Return 200 to any client while this process is running.

    It does not check the database: a database outage must not remove all processes from a load balancer.
    """
    return Response({"status": "ok"})


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the response for errors raised outside of a view, such as those of the session's own writes."""
    exception = sys.exception()
    if isinstance(exception, UNAVAILABLE):
        return database_unavailable(exception)
    return defaults.server_error(request)
