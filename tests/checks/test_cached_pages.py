"""``cache_page`` on views that accept API keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import WARNING
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page, never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.vary import vary_on_cookie
from rest_framework.decorators import api_view
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from closient_auth.permissions import HasOrganizationPermission
from tests.checks.test_urlconf import wrap_badly
from tests.checks.views import PermissionView, PlainView, extend

HERE = "tests.checks.test_cached_pages"


def get(self, request):
    return HttpResponse()


class MethodView(PermissionView):
    get = method_decorator(cache_page(60))(get)


class ListedView(PermissionView):
    get = method_decorator([never_cache, cache_page(60), vary_on_cookie])(get)


@method_decorator(cache_page(60), name="dispatch")
class DispatchView(PermissionView):
    pass


class InheritingView(MethodView):
    post = get


class InnerView(ListAPIView[Any]):
    """The method below ``get()`` is the cached one."""

    permission_classes = [HasOrganizationPermission]
    list = method_decorator(cache_page(60))(get)


@api_view(["GET"])
@cache_page(60)
def function_view(request):
    return HttpResponse()


CACHED = [
    path("method/", MethodView.as_view()),
    path("list/", ListedView.as_view()),
    path("dispatch/", DispatchView.as_view()),
    path("inherited/", InheritingView.as_view()),
    path("inner/", InnerView.as_view()),
    path("function/", function_view),
    path("around/", cache_page(60)(PermissionView.as_view())),
    path("around/others/", csrf_exempt(cache_page(60)(csrf_exempt(PermissionView.as_view())))),
    path("around/badly/", wrap_badly(cache_page(60)(PermissionView.as_view()))),
]


@pytest.mark.parametrize("pattern", CACHED, ids=lambda pattern: str(pattern.pattern))
def test_cached_view(find, mount, pattern):
    mount(pattern)

    message = find("W020")

    assert (message.level, message.msg.startswith("cache_page should not be used")) == (WARNING, True)


def test_the_views_are_named(find, mount):
    mount(*CACHED[:2], PlainView.as_view())

    assert find("W020").msg.endswith(f" in: {HERE}.ListedView, {HERE}.MethodView.")


def unfinished() -> Any:
    """Return a function with an empty closure cell."""
    later = HttpResponse()

    def view(self, request):
        return later

    (cell,) = view.__closure__ or ()
    del cell.cell_contents
    return view


def test_view_without_cache(run, mount):
    mount(
        PermissionView.as_view(),
        extend(PermissionView, "Decorated", get=method_decorator([never_cache, vary_on_cookie])(get)).as_view(),
        extend(PermissionView, "Unfinished", get=unfinished()).as_view(),
        # Every caller of a public view gets the same response.
        MethodView.as_view(permission_classes=[AllowAny]),
        cache_page(60)(PermissionView.as_view(permission_classes=[AllowAny])),
        # This view accepts no keys.
        extend(APIView, "KeylessView", get=MethodView.get).as_view(authentication_classes=[]),
    )

    assert run() == []
