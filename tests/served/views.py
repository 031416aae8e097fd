from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from django.db import connection
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.models import ApiKey, Membership, Organization
from tests.factories import UserFactory, make_key
from tests.models import Project


class StateView(APIView):
    """Return row counts of the database, without authentication."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def get(self, request: Request) -> Response:
        return Response(
            {
                "organizations": Organization.objects.count(),
                "members": Membership.objects.count(),
                "keys": ApiKey.objects.count(),
                "projects": Project.objects.count(),
                "used": ApiKey.objects.filter(last_used__isnull=False).count(),
            }
        )


class DyingView(APIView):
    """Create an organization with an Owner and a key; kill the process before the n-th statement (``?before=n``)."""

    def post(self, request: Request) -> Response:
        left = int(request.query_params["before"])

        def count(execute: Callable[..., Any], *args: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(*args)

        user = UserFactory.create()
        with connection.execute_wrapper(count):
            organization = Organization.objects.create_organization(name="Half", owner=user)
            make_key(organization=organization)
        return Response({"statements": int(request.query_params["before"]) - left})
