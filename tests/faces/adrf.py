"""Async views of adrf."""

from __future__ import annotations

from typing import Any

from adrf.views import APIView
from adrf.viewsets import ViewSet
from rest_framework.response import Response

from closient_auth.decorators import publishable
from closient_auth.permissions import HasOrganizationPermission
from closient_auth.roles import Permission
from tests.faces import bodies
from tests.faces.drf import ERRORS
from tests.faces.face import Face, get_patterns


class View(APIView):  # type: ignore[misc]
    permission_classes = [HasOrganizationPermission]

    async def get(self, request: Any, **kwargs: str) -> Response:
        return Response(await bodies.adescribe(request))

    async def post(self, request: Any) -> Response:
        return Response(await bodies.adescribe(request))


@publishable
class Opened(View):
    pass


class Billing(View):
    required_permissions = bodies.BILLING


class Failing(View):
    async def get(self, request: Any, **kwargs: Any) -> Response:
        raise ERRORS[kwargs["status"]]("No.")


class Things(ViewSet):  # type: ignore[misc]
    permission_classes = [HasOrganizationPermission]
    required_permissions: Any = {
        "alist": Permission.VIEW_ORGANIZATION,
        "acreate": Permission.CONTRIBUTE_ORGANIZATION,
        "aretrieve": Permission.VIEW_ORGANIZATION,
    }

    async def alist(self, request: Any, **kwargs: str) -> Response:
        return Response(await bodies.adescribe(request))

    async def acreate(self, request: Any) -> Response:
        return Response(await bodies.adescribe(request))

    async def aretrieve(self, request: Any, status: int) -> Response:
        raise ERRORS[status]("No.")


@publishable
class OpenedThings(Things):
    pass


class BillingThings(Things):
    required_permissions = bodies.BILLING


ACTIONS = {"get": "alist", "post": "acreate"}

FACES = [
    Face(
        "adrf class",
        get_patterns(View.as_view(), Opened.as_view(), Billing.as_view(), Failing.as_view()),
        is_async=True,
    ),
    Face(
        "adrf viewset",
        get_patterns(
            Things.as_view(dict(ACTIONS)),
            OpenedThings.as_view(dict(ACTIONS)),
            BillingThings.as_view(dict(ACTIONS)),
            Things.as_view({"get": "aretrieve"}),
        ),
        is_async=True,
        # Its ``as_view()`` does not set ``login_required`` as that of REST framework does.
        passes_login_required=False,
    ),
]
