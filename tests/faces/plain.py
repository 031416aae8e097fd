"""Views of Django itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import TemplateView, View

from closient_auth.contrib.django import organization_permission_required
from tests.faces import bodies
from tests.faces.face import Face, get_patterns

Decorator = Callable[[Any], Any]
GATES: list[Decorator] = [
    organization_permission_required(),
    organization_permission_required(publishable=True),
    organization_permission_required(bodies.BILLING),
    organization_permission_required(),
]


def view(request: HttpRequest, **kwargs: str) -> HttpResponse:
    return JsonResponse(bodies.describe(request))


def failing(request: HttpRequest, status: int) -> HttpResponse:
    raise bodies.ERRORS[status]("No.")


async def aview(request: HttpRequest, **kwargs: str) -> HttpResponse:
    return JsonResponse(await bodies.adescribe(request))


async def afailing(request: HttpRequest, status: int) -> HttpResponse:
    raise bodies.ERRORS[status]("No.")


class ClassView(View):
    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return failing(request, kwargs["status"]) if "status" in kwargs else view(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        return view(request)


class AsyncClassView(View):
    async def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return await (afailing(request, kwargs["status"]) if "status" in kwargs else aview(request))

    async def post(self, request: HttpRequest) -> HttpResponse:
        return await aview(request)


class GenericView(TemplateView):
    """A generic view calls its hooks from ``get()``, and its template from a response that is rendered later."""

    http_method_names = ["get", "post"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        if "status" in kwargs:
            raise bodies.ERRORS[kwargs["status"]]("No.")
        return bodies.describe(self.request)

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.get(request)

    def render_to_response(self, context: Any, **response_kwargs: Any) -> HttpResponse:
        return JsonResponse(context)


def decorate_functions(view: Any, failing: Any) -> list[Any]:
    return [gate(each) for gate, each in zip(GATES, [view, view, view, failing], strict=True)]


def decorate_dispatch(view: Any) -> list[Any]:
    """Decorate ``dispatch`` of a subclass for each gate."""
    views: list[Any] = [type(view.__name__, (view,), {}) for _ in GATES]
    return [method_decorator(gate, name="dispatch")(each).as_view() for gate, each in zip(GATES, views, strict=True)]


def decorate_from_outside(view: Any) -> list[Any]:
    """Decorate the results of ``as_view()``, as for the ``GraphQLView`` of a GraphQL package."""
    return [gate(csrf_exempt(view.as_view())) for gate in GATES]


FACES = [
    Face("Django function", get_patterns(*decorate_functions(view, failing))),
    Face("Django class", get_patterns(*decorate_dispatch(ClassView))),
    Face("Django generic view", get_patterns(*decorate_dispatch(GenericView))),
    Face("Django as_view() from outside", get_patterns(*decorate_from_outside(ClassView))),
    Face("Django async function", get_patterns(*decorate_functions(aview, afailing)), is_async=True),
    Face("Django async class", get_patterns(*decorate_dispatch(AsyncClassView)), is_async=True),
    Face("Django async as_view() from outside", get_patterns(*decorate_from_outside(AsyncClassView)), is_async=True),
]
