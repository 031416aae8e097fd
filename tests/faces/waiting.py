"""Async views that wait for each other: they respond when all ``TOGETHER`` requests have arrived, or failed before."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from adrf.views import APIView
from django.core.signals import got_request_exception
from django.http import HttpRequest, JsonResponse
from django.urls import path
from ninja import NinjaAPI
from rest_framework.response import Response

from closient_auth.contrib.django import organization_permission_required
from closient_auth.contrib.ninja import OrganizationAuth, protect
from closient_auth.models import ApiKey
from closient_auth.permissions import HasOrganizationPermission

TOGETHER = 20
PATIENCE = 60

arrived: Counter[str] = Counter()
failed: list[object] = []


def note_failure(sender: object, **kwargs: object) -> None:
    failed.append(sender)


got_request_exception.connect(note_failure)


async def meet(request: Any) -> dict[str, Any]:
    arrived[request.path] += 1
    deadline = time.monotonic() + PATIENCE
    while arrived[request.path] + len(failed) < TOGETHER and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    return {"together": arrived[request.path]}


@organization_permission_required()
async def view(request: HttpRequest) -> JsonResponse:
    return JsonResponse(await meet(request))


@organization_permission_required()
async def holding_view(request: HttpRequest) -> JsonResponse:
    """Hold a database connection while it waits, as every async view would without the release after the gate."""
    await ApiKey.objects.aexists()
    return JsonResponse(await meet(request))


class View(APIView):  # type: ignore[misc]
    permission_classes = [HasOrganizationPermission]

    async def get(self, request: Any) -> Response:
        return Response(await meet(request))


api = protect(NinjaAPI(auth=OrganizationAuth(), urls_namespace="waiting"))


@api.get("")
async def operation(request: HttpRequest) -> Any:
    return await meet(request)


urlpatterns = [
    path("decorator/", view),
    path("holding/", holding_view),
    path("adrf/", View.as_view()),
    path("ninja/", api.urls),
]
