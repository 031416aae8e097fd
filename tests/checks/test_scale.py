"""The checks read each route once and judge each view class once, however many routes there are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.core.checks.registry import registry
from django.db.models import QuerySet
from django.urls import URLPattern
from django.urls.resolvers import RoutePattern
from rest_framework import serializers
from rest_framework.generics import ListCreateAPIView
from rest_framework.viewsets import ModelViewSet

from closient_auth.permissions import HasOrganizationPermission
from tests.checks.views import VIEW, extend
from tests.models import Project

counts: Counter[str] = Counter()


class CountingPattern(URLPattern):
    @property
    def callback(self):
        counts["routes"] += 1
        return self.view

    @callback.setter
    def callback(self, view):
        self.view = view


class CountingQuerySet(QuerySet[Project]):
    def filter(self, *args, **kwargs):
        counts["paths"] += 1
        return super().filter(*args, **kwargs)


class CountingField(serializers.CharField):
    def bind(self, field_name, parent):
        counts["serializers"] += 1
        super().bind(field_name, parent)


@pytest.fixture(autouse=True)
def empty_counts():
    counts.clear()


@pytest.fixture
def run_own(django_assert_num_queries, db):
    """Run the checks of this package without Django's own, which walk the URLconf as well."""

    def run_own():
        checks = [check for check in registry.get_checks() if check.__module__.startswith("closient_auth.")]
        with django_assert_num_queries(0):
            return [message for check in checks for message in check(app_configs=None, databases=None)]

    return run_own


def make_class(number):
    name = f"View{number}"
    fields = {"__module__": __name__, "name": CountingField()}
    return extend(
        ListCreateAPIView,
        name,
        permission_classes=[HasOrganizationPermission],
        required_permissions={"get": VIEW, "post": f"offers.{number}"},
        required_permission=VIEW,
        organization_field="organisation",
        queryset=CountingQuerySet(Project),
        serializer_class=type(f"{name}Serializer", (serializers.Serializer,), fields),
    )


def make_route(number, view):
    return CountingPattern(RoutePattern(f"{number}/"), view)


def test_thousand_routes(run_own, mount):
    classes = [make_class(number) for number in range(50)]
    mount(*(make_route(number, classes[number % 50].as_view()) for number in range(1_000)))
    counts.clear()

    messages = run_own()

    assert counts == {"routes": 1_000, "paths": 50, "serializers": 50}
    # Each class names a different unknown permission. The other messages name all classes.
    ids = Counter(message.id.removeprefix("closient_auth.") for message in messages)
    assert ids == {"E008": 50, "E011": 1, "W011": 1, "W017": 1}


def test_serializer_that_many_views_share(run_own, mount):
    """An action of a viewset counts as a view, because it may have its own arguments."""
    fields = {"__module__": __name__, "name": CountingField()}
    serializer: Any = type("SharedSerializer", (serializers.Serializer,), fields)
    cls = extend(ModelViewSet, "Shared", permission_classes=[HasOrganizationPermission], queryset=Project.objects.all())
    views = [cls.as_view({"post": "create"}, serializer_class=serializer, suffix=str(number)) for number in range(9)]
    mount(*(make_route(number, view) for number, view in enumerate(views)))

    run_own()
    assert counts["serializers"] == 1

    # A run keeps nothing for the next one.
    run_own()
    assert counts["serializers"] == 2
