"""The checks read each route once and judge each view class once, however many routes there are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.core.checks.registry import registry
from django.db.models import QuerySet
from django.urls import URLPattern
from django.urls.resolvers import RoutePattern
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.generics import ListCreateAPIView
from rest_framework.viewsets import ModelViewSet

from closient_auth.filters import OrganizationFilterBackend
from closient_auth.permissions import HasOrganizationPermission
from tests.checks.teams import Teams
from tests.checks.views import VIEW, extend
from tests.models import Note, Project

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


class CountingFilterSet(filters.FilterSet):  # type: ignore[misc]
    @classmethod
    def get_fields(cls):
        counts["filters"] += 1
        return super().get_fields()


class CountingBackend(filters.DjangoFilterBackend):  # type: ignore[misc]
    filterset_base = CountingFilterSet


class CountingTeams(Teams):
    def get_model(self):
        counts["teams"] += 1
        return super().get_model()


class CountingRelation(serializers.PrimaryKeyRelatedField[Any]):
    def bind(self, field_name, parent):
        counts["relations"] += 1
        super().bind(field_name, parent)


def make_nested_class(number):
    name = f"Nested{number}"
    row: Any = type("Row", (serializers.Serializer,), {"project": CountingRelation(queryset=Project.objects.all())})
    fields = {"__module__": __name__, "rows": row(many=True)}
    return extend(
        ListCreateAPIView,
        name,
        permission_classes=[HasOrganizationPermission],
        organization_field="project__organization",
        queryset=Note.objects.all(),
        filter_backends=[OrganizationFilterBackend, CountingBackend],
        filterset_fields=["project"],
        serializer_class=type(f"{name}Serializer", (serializers.Serializer,), fields),
    )


def test_thousand_nested_routes(run_own, mount, settings):
    """Each class builds its serializer and its filters once, and each model looks for its organization once."""
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": f"{__name__}.CountingTeams"}
    classes = [make_nested_class(number) for number in range(50)]
    mount(*(CountingPattern(RoutePattern(f"{n}/<project_pk>/"), classes[n % 50].as_view()) for n in range(1_000)))
    counts.clear()

    messages = run_own()

    ids = Counter(message.id.removeprefix("closient_auth.") for message in messages)
    assert ids == {"W029": 50, "W030": 1, "W031": 1}
    found_teams = counts.pop("teams")
    assert counts == {"routes": 1_000, "relations": 50, "filters": 50}

    # The rows of two models, however many views have them.
    mount(CountingPattern(RoutePattern("<project_pk>/"), classes[0].as_view()))
    counts.clear()
    run_own()
    assert counts["teams"] == found_teams
