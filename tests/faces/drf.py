"""REST framework: function views and class views."""

from __future__ import annotations

from typing import Any

from rest_framework.decorators import api_view, permission_classes
from rest_framework.exceptions import ParseError
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.decorators import publishable, required_permissions
from closient_auth.permissions import HasOrganizationPermission
from tests.faces import bodies
from tests.faces.face import Face, get_patterns

# REST framework leaves Django's ``BadRequest`` to Django.
ERRORS = {**bodies.ERRORS, 400: ParseError}


@api_view(["GET", "POST"])
@permission_classes([HasOrganizationPermission])
def view(request: Any, /, **kwargs: str) -> Response:
    return Response(bodies.describe(request))


@publishable
@api_view(["GET", "POST"])
@permission_classes([HasOrganizationPermission])
def opened(request: Any) -> Response:
    return Response(bodies.describe(request))


@required_permissions(bodies.BILLING)
@api_view(["GET"])
@permission_classes([HasOrganizationPermission])
def billing(request: Any) -> Response:
    return Response(bodies.describe(request))


@api_view(["GET"])
@permission_classes([HasOrganizationPermission])
def failing(request: Any, status: int) -> Response:
    raise ERRORS[status]("No.")


class View(APIView):
    permission_classes = [HasOrganizationPermission]

    def get(self, request: Any, **kwargs: str) -> Response:
        return Response(bodies.describe(request))

    def post(self, request: Any) -> Response:
        return Response(bodies.describe(request))


@publishable
class Opened(View):
    pass


class Billing(View):
    required_permissions = bodies.BILLING


class Failing(View):
    def get(self, request: Any, **kwargs: Any) -> Response:
        raise ERRORS[kwargs["status"]]("No.")


FACES = [
    Face("REST framework function", get_patterns(view, opened, billing, failing)),
    Face(
        "REST framework class",
        get_patterns(View.as_view(), Opened.as_view(), Billing.as_view(), Failing.as_view()),
    ),
]
