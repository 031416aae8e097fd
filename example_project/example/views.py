from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.views import defaults
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from example.middleware import UNAVAILABLE, database_unavailable


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
