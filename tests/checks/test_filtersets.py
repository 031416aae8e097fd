"""Checks of the filters of django-filter."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.core.checks import WARNING
from django_filters import rest_framework as filters
from rest_framework.authentication import SessionAuthentication
from rest_framework.filters import SearchFilter
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.views import APIView

from closient_auth.contrib.django_filters import (
    OrganizationDjangoFilterBackend,
    OrganizationModelChoiceFilter,
    OrganizationModelMultipleChoiceFilter,
)
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.mixins import OrganizationMixin
from closient_auth.permissions import HasOrganizationPermission
from tests.checks.teams import Board, Country, Sale
from tests.checks.views import extend, mix
from tests.models import Note, Project

HERE = __name__
VIEWS = "tests.checks.views"


def make(choice: Any, **attributes: Any) -> Any:
    """Return a filter set with one filter ``row``."""
    return type("Rows", (filters.FilterSet,), {"__module__": HERE, "row": choice, **attributes})


OPEN = make(filters.ModelChoiceFilter(queryset=Project.objects.all()))


class NoteList(ListAPIView[Note]):
    permission_classes: Any = [HasOrganizationPermission]
    organization_field = "project__organization"
    queryset: Any = Note.objects.all()
    filter_backends: Any = [OrganizationFilterBackend, filters.DjangoFilterBackend]


class OwnBackend(filters.DjangoFilterBackend):  # type: ignore[misc]
    """The backend of a project."""


class ChoosingBackend(filters.DjangoFilterBackend):  # type: ignore[misc]
    def get_filterset_class(self, view, queryset=None):
        raise AssertionError


class NarrowingBackend(filters.DjangoFilterBackend):  # type: ignore[misc]
    def get_filterset(self, request, queryset, view):
        raise AssertionError


class OwnOrganizationBackend(OrganizationDjangoFilterBackend):
    pass


class NarrowedFilter(filters.ModelChoiceFilter):  # type: ignore[misc]
    def get_queryset(self, request):
        raise AssertionError


def choose(request):
    raise AssertionError


def test_filter_with_the_rows_of_everybody(find, mount):
    mount(
        extend(NoteList, "List", filterset_class=OPEN).as_view(),
        extend(NoteList, "Other", filterset_class=OPEN).as_view(),
        extend(NoteList, "Third").as_view(),
    )

    message = find("W030")
    assert (message.level, message.msg) == (
        WARNING,
        f"The filter 'row' of {HERE}.Rows should offer only rows of the request's organization in: {VIEWS}.List, {VIEWS}.Other.",
    )
    assert "OrganizationDjangoFilterBackend of closient_auth.contrib.django_filters" in message.hint
    assert "OrganizationModelChoiceFilter(queryset=..., organization_field='organization')" in message.hint


@pytest.mark.parametrize(
    ("choice", "cure"),
    [
        (filters.ModelChoiceFilter(queryset=Note.objects), "ChoiceFilter(queryset=..., {}='project__organization')"),
        (
            filters.ModelMultipleChoiceFilter(queryset=Board.objects.all()),
            "MultipleChoiceFilter(queryset=..., {}='team__organ",
        ),
        (
            filters.ModelChoiceFilter(queryset=Sale.objects.all()),
            "ChoiceFilter(queryset=..., {}='organization')",
        ),
    ],
)
def test_filters_of_each_kind(find, mount, teams, choice, cure):
    mount(extend(NoteList, "List", filterset_class=make(choice)).as_view())

    assert f"OrganizationModel{cure.format('organization_field')}" in find("W030").hint


@pytest.mark.parametrize("cls", [filters.AllValuesFilter, filters.AllValuesMultipleFilter])
def test_filter_whose_choices_are_all_values(find, run, mount, cls):
    """The choices are values in the rows of every organization."""
    mount(extend(NoteList, "List", filterset_class=make(cls(field_name="text"))).as_view())
    assert find("W030").hint.startswith("Use OrganizationDjangoFilterBackend of closient_auth.contrib.django_filters")

    rows = {"queryset": Country.objects.all(), "get_queryset": lambda view: Country.objects.none()}
    mount(extend(NoteList, "List", filterset_class=make(cls(field_name="id")), **rows).as_view())
    assert "closient_auth.W030" not in [message.id for message in run()]


@pytest.mark.parametrize(
    ("queryset", "fields", "names"),
    [
        (Note.objects.all(), ["project", "text"], ["project"]),
        (Note.objects.all(), {"project": ["exact", "in", "isnull"]}, ["project", "project__in"]),
        (Sale.objects.all(), ["buyer", "boards", "country"], ["buyer", "boards"]),
    ],
)
def test_filters_that_the_view_names(run, mount, teams, queryset, fields, names):
    attributes = {"queryset": queryset, "get_queryset": lambda view: queryset, "filterset_fields": fields}
    mount(extend(NoteList, "List", filter_backends=[OwnBackend], **attributes).as_view())

    assert [message.msg for message in run() if message.id != "closient_auth.E011"] == [
        f"The filter {name!r} of filterset_fields should offer only rows of the request's organization in: {VIEWS}.List."
        for name in names
    ]


@pytest.mark.parametrize(
    "attributes",
    [
        {"permission_classes": [IsAuthenticated], "get_queryset": lambda view: Note.objects.none()},
        {"authentication_classes": [SessionAuthentication]},
        {"filter_backends": [OrganizationFilterBackend, OwnBackend]},
        {"filter_backends": (OrganizationFilterBackend, SearchFilter, filters.DjangoFilterBackend)},
        {"queryset": None},
    ],
)
def test_views_that_organizations_share(find, mount, attributes):
    mount(extend(NoteList, "List", filterset_class=OPEN, **attributes).as_view())

    find("W030")


def test_mixin_does_not_know_the_filters(find, mount):
    mount(mix(OrganizationMixin, extend(NoteList, "List", filterset_class=OPEN)).as_view())

    find("W030")


@pytest.mark.parametrize(
    "choice",
    [
        filters.ModelChoiceFilter(queryset=choose),
        filters.ModelMultipleChoiceFilter(queryset=choose),
        filters.ModelChoiceFilter(queryset=Country.objects.all()),
        filters.ModelChoiceFilter(),
        filters.CharFilter(),
        NarrowedFilter(queryset=Project.objects.all()),
        OrganizationModelChoiceFilter(queryset=Project.objects.all()),
        OrganizationModelMultipleChoiceFilter(queryset=Project.objects.all()),
    ],
)
def test_filter_without_foreign_rows(run, mount, choice):
    mount(extend(NoteList, "List", filterset_class=make(choice)).as_view())

    assert run() == []


@pytest.mark.parametrize("name", ["__init__", "filters", "form", "get_form_class"])
def test_filter_set_that_may_choose_the_rows(run, mount, name):
    filterset = extend(OPEN, "Chosen", __module__=HERE, **{name: property(choose)})
    mount(extend(NoteList, "List", filterset_class=filterset).as_view())

    assert run() == []


@pytest.mark.parametrize("filterset", [property(choose), object(), None])
def test_filter_set_that_is_none(run, mount, filterset):
    mount(extend(NoteList, "List", filterset_class=filterset).as_view())

    assert run() == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"permission_classes": [AllowAny]},
        {
            "permission_classes": [IsAuthenticated],
            "authentication_classes": [SessionAuthentication],
        },
        {"filter_backends": [OrganizationFilterBackend]},
        {"filter_backends": [OrganizationFilterBackend, OrganizationDjangoFilterBackend]},
        {"filter_backends": [OrganizationFilterBackend, OwnOrganizationBackend]},
        {"filter_backends": [OrganizationFilterBackend, ChoosingBackend]},
        {"filter_backends": [OrganizationFilterBackend, NarrowingBackend]},
        {"filter_backends": [OrganizationFilterBackend, lambda: None]},
        {"filter_backends": property(lambda view: [filters.DjangoFilterBackend])},
    ],
)
def test_view_that_is_not_known_to_offer_rows(run, mount, attributes):
    mount(extend(NoteList, "List", filterset_class=OPEN, **attributes).as_view())

    assert run() == []


@pytest.mark.parametrize(
    ("queryset", "fields"),
    [
        (Note.objects.all(), ["unknown"]),
        (Note.objects.all(), property(lambda view: ["project"])),
        (None, ["project"]),
    ],
)
def test_fields_that_make_no_filter(run, mount, queryset, fields):
    mount(extend(NoteList, "List", queryset=queryset, filterset_fields=fields).as_view())

    assert run() == []


def test_view_that_filters_nothing(run, mount):
    mount(extend(APIView, "Plain", permission_classes=[HasOrganizationPermission], filterset_class=OPEN).as_view())

    assert run() == []


def test_project_without_the_package():
    """The checks never import django-filter."""
    code = (
        "import sys, django; django.setup()\n"
        "from django.core.checks import run_checks\n"
        "run_checks(); sys.exit('django_filters' in sys.modules)"
    )

    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
