"""Operations of django-ninja and controllers of django-ninja-extra."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI
from ninja_extra import NinjaExtraAPI, api_controller, route
from ninja_extra.schemas import response as ninja_extra_response

from closient_auth.contrib.ninja import OrganizationAuth, protect
from tests.faces import bodies
from tests.faces.face import Face

METHODS = ["GET", "POST"]
# This module returns ``None`` for any unknown attribute, and coverage fails on that when it is started again.
vars(ninja_extra_response).setdefault("__path__", ())

api = protect(NinjaAPI(auth=OrganizationAuth(), urls_namespace="faces", docs_url=None, openapi_url=None))
async_api = protect(NinjaAPI(auth=OrganizationAuth(), urls_namespace="async-faces", docs_url=None, openapi_url=None))
extra_api = protect(NinjaExtraAPI(urls_namespace="extra-faces", docs_url=None, openapi_url=None))
async_extra_api = protect(NinjaExtraAPI(urls_namespace="async-extra-faces", docs_url=None, openapi_url=None))


@api.api_operation(METHODS, "view/")
def view(request: HttpRequest) -> Any:
    return bodies.describe(request)


@api.api_operation(METHODS, "open/", auth=OrganizationAuth(publishable=True))
def opened(request: HttpRequest) -> Any:
    return bodies.describe(request)


@api.get("billing/", auth=OrganizationAuth(bodies.BILLING))
def billing(request: HttpRequest) -> Any:
    return bodies.describe(request)


@api.get("organizations/{organization_id}/")
def named(request: HttpRequest, organization_id: str) -> Any:
    return bodies.describe(request)


@api.get("errors/{status}/")
def failing(request: HttpRequest, status: int) -> Any:
    raise bodies.ERRORS[status]("No.")


@async_api.api_operation(METHODS, "view/")
async def aview(request: HttpRequest) -> Any:
    return await bodies.adescribe(request)


@async_api.api_operation(METHODS, "open/", auth=OrganizationAuth(publishable=True))
async def aopened(request: HttpRequest) -> Any:
    return await bodies.adescribe(request)


@async_api.get("billing/", auth=OrganizationAuth(bodies.BILLING))
async def abilling(request: HttpRequest) -> Any:
    return await bodies.adescribe(request)


@async_api.get("organizations/{organization_id}/")
async def anamed(request: HttpRequest, organization_id: str) -> Any:
    return await bodies.adescribe(request)


@async_api.get("errors/{status}/")
async def afailing(request: HttpRequest, status: int) -> Any:
    raise bodies.ERRORS[status]("No.")


@api_controller("", auth=OrganizationAuth())
class Controller:
    @route.generic("view/", methods=METHODS)
    def view(self, request: HttpRequest) -> Any:
        return bodies.describe(request)

    @route.generic("open/", methods=METHODS, auth=OrganizationAuth(publishable=True))
    def opened(self, request: HttpRequest) -> Any:
        return bodies.describe(request)

    @route.get("billing/", auth=OrganizationAuth(bodies.BILLING))
    def billing(self, request: HttpRequest) -> Any:
        return bodies.describe(request)

    @route.get("organizations/{organization_id}/")
    def named(self, request: HttpRequest, organization_id: str) -> Any:
        return bodies.describe(request)

    @route.get("errors/{status}/")
    def failing(self, request: HttpRequest, status: int) -> Any:
        raise bodies.ERRORS[status]("No.")


@api_controller("", auth=OrganizationAuth())
class AsyncController:
    @route.generic("view/", methods=METHODS)
    async def view(self, request: HttpRequest) -> Any:
        return await bodies.adescribe(request)

    @route.generic("open/", methods=METHODS, auth=OrganizationAuth(publishable=True))
    async def opened(self, request: HttpRequest) -> Any:
        return await bodies.adescribe(request)

    @route.get("billing/", auth=OrganizationAuth(bodies.BILLING))
    async def billing(self, request: HttpRequest) -> Any:
        return await bodies.adescribe(request)

    @route.get("organizations/{organization_id}/")
    async def named(self, request: HttpRequest, organization_id: str) -> Any:
        return await bodies.adescribe(request)

    @route.get("errors/{status}/")
    async def failing(self, request: HttpRequest, status: int) -> Any:
        raise bodies.ERRORS[status]("No.")


extra_api.register_controllers(Controller)
async_extra_api.register_controllers(AsyncController)

FACES = [
    Face(
        name,
        (path("", each.urls),),
        apps=("ninja_extra",) if "extra" in name else (),
        middleware=("closient_auth.middleware.ResponseHeadersMiddleware",),
        is_async=name.startswith("async"),
        passes_login_required=False,
    )
    for name, each in {
        "ninja": api,
        "async ninja": async_api,
        "ninja-extra controller": extra_api,
        "async ninja-extra controller": async_extra_api,
    }.items()
]
