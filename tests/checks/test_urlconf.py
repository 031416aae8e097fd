"""The checks find every view in the URLconf, and no URLconf makes them fail."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.urls import include, path, re_path
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt
from rest_framework.views import APIView

from closient_auth import checks as own
from closient_auth.checks.routes import get_routes


class SilentView(APIView):
    permission_classes = []

    def get(self, request):
        return HttpResponse()


def wrap_badly(view: Any) -> Any:
    """Wrap a view like a decorator without ``functools.wraps``: only ``__wrapped__`` leads to the view."""

    class Wrapper:
        __wrapped__ = staticmethod(view)

        def __call__(self, request, *args, **kwargs):
            return view(request, *args, **kwargs)

    return Wrapper()


silent: Any = SilentView.as_view()
PATTERNS = {
    "path": [path("silent/", silent)],
    "re_path": [re_path("^silent/$", silent)],
    "include": [path("a/", include([path("b/", include([path("c/", silent)]))]))],
    "namespace": [path("a/", include(([path("b/", silent)], "shop"), namespace="eu"))],
    "i18n_patterns": i18n_patterns(path("silent/", silent)),
    "csrf_exempt": [path("silent/", csrf_exempt(silent))],
    "cache_page": [path("silent/", cache_page(60)(silent))],
    "several": [path("silent/", csrf_exempt(cache_page(60)(wrap_badly(silent))))],
    "partial": [path("silent/", functools.partial(silent, flavour="sweet"))],
}


@pytest.mark.parametrize("patterns", PATTERNS.values(), ids=PATTERNS)
def test_finds_the_view(run, mount, patterns):
    mount(*patterns)

    messages = {message.id: message.msg for message in run()}
    assert messages.pop("closient_auth.W003").endswith(": tests.checks.test_urlconf.SilentView.")
    assert messages.keys() <= {"closient_auth.W020"}


def test_passes_by_what_is_no_rest_framework_view(run, mount):
    mount(
        path("function/", lambda request: HttpResponse()),
        path("object/", functools.partial(HttpResponse, status=204)),
    )

    assert run() == []


def test_passes_by_the_packages_own_views(run, mount):
    cls: Any = type("OwnView", (SilentView,), {"__module__": "closient_auth.api.keys"})
    mount(cls.as_view())

    assert run() == []


def test_no_urlconf(run, settings):
    settings.ROOT_URLCONF = None

    assert run() == []


def test_urlconf_that_cannot_be_imported_is_told_by_django(settings):
    settings.ROOT_URLCONF = "tests.nowhere"

    assert get_routes() == []
    assert all_own_checks() == []
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        checks.run_checks(tags=[checks.Tags.urls])


def test_urlconf_without_patterns_is_told_by_django(settings):
    settings.ROOT_URLCONF = ModuleType("empty")

    assert all_own_checks() == []
    with pytest.raises(ImproperlyConfigured, match="empty"):
        checks.run_checks(tags=[checks.Tags.urls])


def test_pattern_that_is_none_is_told_by_django(settings):
    settings.ROOT_URLCONF = ("silent/",)

    assert all_own_checks() == []
    assert [message.id for message in checks.run_checks(tags=[checks.Tags.urls])] == ["urls.E004"]


def all_own_checks():
    registered = [check for check in checks.registry.registry.get_checks() if check.__module__.startswith(own.__name__)]
    assert len(registered) == 3
    return [message for check in registered for message in check(app_configs=None, databases=None)]


def test_no_query(django_assert_num_queries, run):
    # The first run includes the one query of Django's JSONField check on SQLite.
    run()
    with django_assert_num_queries(0):
        run()
