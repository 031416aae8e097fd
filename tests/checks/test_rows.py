"""Checks of the rows that a view returns."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.checks import ERROR, WARNING
from rest_framework.authentication import SessionAuthentication
from rest_framework.filters import SearchFilter
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated, IsAuthenticatedOrReadOnly
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ModelViewSet

from closient_auth.core.paths import get_organization_paths
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.mixins import OrganizationMixin
from closient_auth.models import Organization
from closient_auth.permissions import HasOrganizationPermission
from tests.checks.teams import Board, Card, Company, Country, Site, Team
from tests.checks.views import PlainView, extend, mix
from tests.models import Note, Project

HERE = __name__
User = get_user_model()


class CustomFilterBackend(OrganizationFilterBackend):
    pass


class ProjectList(ListAPIView[Project]):
    permission_classes = [HasOrganizationPermission]
    queryset = Project.objects.all()


class ProjectDetail(RetrieveAPIView[Project]):
    permission_classes = [HasOrganizationPermission]
    queryset = Project.objects.all()


class ProjectViewSet(ModelViewSet[Project]):
    permission_classes = [HasOrganizationPermission]
    queryset = Project.objects.all()


def routes(cls: Any) -> Any:
    router = SimpleRouter()
    router.register("rows", cls, basename="row")
    return router.urls


def test_lists_that_nothing_narrows(find, mount):
    mount(
        ProjectList.as_view(),
        ProjectDetail.as_view(),
        *routes(ProjectViewSet),
        extend(ProjectList, "Searched").as_view(filter_backends=[SearchFilter]),
        extend(ProjectList, "Narrowed", filter_backends=[SearchFilter, OrganizationFilterBackend]).as_view(),
        extend(ProjectList, "Custom", filter_backends=[CustomFilterBackend]).as_view(),
        extend(ProjectList, "Own", get_queryset=lambda view: Project.objects.none()).as_view(),
        extend(ProjectList, "Filtering", filter_queryset=lambda view, queryset: queryset.none()).as_view(),
        extend(ProjectList, "Choosing", filter_backends=property(lambda view: [CustomFilterBackend])).as_view(),
        extend(ProjectList, "Shared", permission_classes=[AllowAny]).as_view(),
        extend(ProjectList, "WithoutRows", queryset=None).as_view(),
    )

    message = find("W011")
    assert (message.level, message.msg) == (
        WARNING,
        "OrganizationFilterBackend should be one of the filter backends in: "
        f"{HERE}.ProjectList, {HERE}.ProjectViewSet, tests.checks.views.Searched.",
    )
    assert "OrganizationFilterBackend" in message.hint


class Rules(IsAuthenticated):
    """A subclass may check more than ``IsAuthenticated``."""


def test_rows_for_whoever_has_a_credential(find, mount):
    mount(
        ProjectDetail.as_view(),
        *routes(extend(ProjectViewSet, "Forgotten", permission_classes=[IsAuthenticated])),
        extend(ProjectDetail, "Readable", permission_classes=[IsAuthenticatedOrReadOnly]).as_view(),
        extend(
            ProjectDetail, "Tenants", permission_classes=[IsAuthenticated], queryset=Organization.objects.all()
        ).as_view(),
        extend(ProjectDetail, "Public", permission_classes=[AllowAny]).as_view(),
        extend(ProjectDetail, "Ruled", permission_classes=[Rules]).as_view(),
        extend(ProjectDetail, "Both", permission_classes=[IsAuthenticated, HasOrganizationPermission]).as_view(),
        extend(ProjectDetail, "Notes", permission_classes=[IsAuthenticated], queryset=Note.objects.all()).as_view(),
        extend(PlainView, "NoRows", permission_classes=[IsAuthenticated]).as_view(),
        extend(
            ProjectDetail,
            "Own",
            permission_classes=[IsAuthenticated],
            get_queryset=lambda view: Project.objects.none(),
        ).as_view(),
        extend(
            ProjectDetail,
            "Keyless",
            permission_classes=[IsAuthenticated],
            authentication_classes=[SessionAuthentication],
        ).as_view(),
    )

    message = find("W018")
    assert message.level == WARNING
    assert message.msg.endswith(
        ": " + ", ".join(f"tests.checks.views.{name}" for name in ("Forgotten", "Notes", "Readable", "Tenants")) + "."
    )


@pytest.mark.parametrize(
    ("model", "team"), [(Team, Team), (Board, Team), (Card, Team), (Company, Company), (Site, Company)]
)
def test_rows_of_teams_for_whoever_has_a_credential(find, run, mount, teams, model, team):
    teams(team)
    cls = extend(ProjectDetail, "Rows", permission_classes=[IsAuthenticated], queryset=model.objects.all())
    mount(cls.as_view())
    find("W018")

    mount(extend(cls, "Own", get_queryset=lambda view: model.objects.none()).as_view())
    assert run() == []

    (path,) = get_organization_paths(model)
    mount(mix(OrganizationMixin, extend(cls, "Path", organization_field=path)).as_view())
    assert run() == []


def test_mixin_without_a_path(find, mount):
    """The mixin reads the default path."""
    mount(mix(OrganizationMixin, extend(ProjectDetail, "Notes", queryset=Note.objects.all())).as_view())

    assert "should be a path from tests.Note to an organization, not 'organization', in: " in find("E011").msg


@pytest.mark.parametrize("model", [User, Company, Country])
def test_rows_of_no_organization(run, mount, teams, model):
    """Users may be in several organizations, and a company is not the model of the teams here."""
    mount(
        extend(
            ProjectDetail, "Rows", permission_classes=[IsAuthenticated], queryset=model._default_manager.all()
        ).as_view()
    )

    assert run() == []


def test_list_with_the_mixin(run, mount):
    mount(mix(OrganizationMixin, ProjectList).as_view())

    assert run() == []


@pytest.mark.parametrize("queryset", [object(), [], type("Rows", (), {"model": "shop.Product"})()])
def test_queryset_that_is_none(run, mount, queryset):
    mount(extend(ProjectDetail, "Rows", permission_classes=[IsAuthenticated], queryset=queryset).as_view())

    assert run() == []


def test_viewset_whose_list_is_not_served(run, mount):
    mount(ProjectViewSet.as_view({"get": "retrieve"}))

    assert run() == []


@pytest.mark.parametrize(
    ("queryset", "path"),
    [
        (Project.objects, None),
        (Project.objects.all(), "organization_id"),
        (Note.objects.all(), "project__organization"),
        (Organization.objects.all(), "pk"),
        (None, "organisation"),
        (Project.objects.all(), property(lambda view: "organisation")),
    ],
)
def test_path_that_leads_to_an_organization(run, mount, queryset, path):
    attributes = {} if path is None else {"organization_field": path}
    mount(
        extend(ProjectList, "List", queryset=queryset, **attributes).as_view(filter_backends=[CustomFilterBackend]),
        extend(ProjectDetail, "Detail", queryset=queryset, **attributes).as_view(),
    )

    assert run() == []


@pytest.mark.parametrize(
    ("queryset", "path", "choices"),
    [
        (Project.objects, "organisation", "Choices are: "),
        (Note.objects.all(), "organization", "Choices are: id, project, project_id, text"),
        (Note.objects.all(), "project__organisation", "Unsupported lookup 'organisation'"),
        (Organization.objects.all(), "created_at", "Django's error: "),
    ],
)
@pytest.mark.parametrize("cls", [ProjectDetail, ProjectViewSet])
def test_path_that_leads_nowhere(find, mount, cls, queryset, path, choices):
    """The path is reported once for all routes of a viewset."""
    cls = extend(cls, "Typo", queryset=queryset, organization_field=path, filter_backends=[CustomFilterBackend])
    mount(*(routes(cls) if issubclass(cls, ModelViewSet) else [cls.as_view()]))

    message = find("E011")
    assert (message.level, message.msg) == (
        ERROR,
        f"organization_field should be a path from {queryset.model._meta.label} to an organization, not {path!r}, "
        "in: tests.checks.views.Typo.",
    )
    assert choices in message.hint


def test_default_path_matters_where_the_filter_follows_it(run, find, mount):
    """Rows that all organizations share have no path, and the permission needs none."""
    cls = extend(ProjectDetail, "Shared", queryset=Note.objects.all())
    mount(cls.as_view())
    assert run() == []

    mount(cls.as_view(filter_backends=[OrganizationFilterBackend]))
    find("E011")


def test_declared_path_matters_where_the_permission_follows_it(run, find, mount):
    cls = extend(ProjectDetail, "Typo", organization_field="organisation")
    mount(cls.as_view(permission_classes=[AllowAny]))
    assert run() == []

    mount(cls.as_view())
    find("E011")


def test_property_of_the_model_is_for_the_permission_alone(run, find, mount, monkeypatch):
    monkeypatch.setattr(Note, "owner", property(lambda note: note.project.organization), raising=False)
    cls = extend(ProjectDetail, "Notes", queryset=Note.objects.all(), organization_field="owner")
    mount(cls.as_view())
    assert run() == []

    mount(cls.as_view(filter_backends=[OrganizationFilterBackend]))
    find("E011")
