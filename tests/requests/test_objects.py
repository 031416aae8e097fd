"""Rows of another organization return 404, by every kind of view."""

from __future__ import annotations

from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from django.shortcuts import get_object_or_404
from django.urls import path
from rest_framework.exceptions import NotFound
from rest_framework.generics import RetrieveUpdateDestroyAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ReadOnlyModelViewSet

from closient_auth.filters import OrganizationFilterBackend
from closient_auth.models import Organization
from closient_auth.permissions import HasOrganizationPermission
from closient_auth.principals import OrganizationPrincipal
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.models import Note, Project
from tests.views import NoteSerializer, ProjectSerializer

pytestmark = pytest.mark.django_db

NEVER_WAS = 999_999


class ByPermission(RetrieveUpdateDestroyAPIView[Project]):
    """The queryset is not filtered, so only the object permission separates the tenants."""

    # The throttle's headers differ for each response.
    throttle_classes = []
    permission_classes = [HasOrganizationPermission]
    queryset = Project.objects.all()
    serializer_class = ProjectSerializer


class ByFilter(ByPermission):
    filter_backends = [OrganizationFilterBackend]


class ByColumn(ByPermission):
    organization_field = "organization_id"


class ById(ByPermission):
    organization_field = "organization__id"


class ByPk(ByFilter):
    organization_field = "organization__pk"


class NoteByPermission(RetrieveUpdateDestroyAPIView[Note]):
    throttle_classes = []
    permission_classes = [HasOrganizationPermission]
    organization_field = "project__organization"
    queryset = Note.objects.all()
    serializer_class = NoteSerializer


class NoteByFilter(NoteByPermission):
    filter_backends = [OrganizationFilterBackend]


@pytest.fixture
def rows(acme, globex):
    """Return projects and notes of both organizations, by model."""
    projects = [Project.objects.create(organization=organization, name="A") for organization in (acme, globex)]
    notes = [Note.objects.create(project=project, text="N") for project in projects]
    return {Project: projects, Note: notes}


def credentials(organization):
    owner = MembershipFactory.create(organization=organization, role="owner").user
    return [
        {"raw_key": make_key("csb", organization=organization)[1]},
        {"raw_key": make_key("csu", user=owner)[1]},
        {"user": owner},
    ]


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
@pytest.mark.parametrize(
    ("view", "model", "field"),
    [
        (ByPermission, Project, "name"),
        (ByFilter, Project, "name"),
        (ByColumn, Project, "name"),
        (ById, Project, "name"),
        (ByPk, Project, "name"),
        (NoteByPermission, Note, "text"),
        (NoteByFilter, Note, "text"),
    ],
)
def test_foreign_row_answers_as_one_that_never_was(call, mount, acme, rows, view, model, field, method):
    mount(path("<pk>/", view.as_view()))
    own, foreign = rows[model]

    for credential in credentials(acme):
        there = call(f"/{foreign.pk}/", method=method, data={field: "changed"}, **credential)
        nowhere = call(f"/{NEVER_WAS}/", method=method, data={field: "changed"}, **credential)
        assert there.status_code == nowhere.status_code == HTTPStatus.NOT_FOUND
        assert (there.content, str(there.headers)) == (nowhere.content, str(nowhere.headers))
        assert call(f"/{own.pk}/", **credential).status_code == HTTPStatus.OK
    assert getattr(model.objects.get(pk=foreign.pk), field) != "changed"


@pytest.mark.parametrize("view", [ByPermission, ByFilter, ByColumn, ById, ByPk])
def test_own_row_can_be_changed_and_deleted(call, mount, acme, rows, view):
    mount(path("<pk>/", view.as_view()))
    own, foreign = rows[Project]
    _, raw_key = make_key("csb", organization=acme)

    assert call(f"/{own.pk}/", raw_key, method="patch", data={"name": "B"}).json()["name"] == "B"
    assert call(f"/{own.pk}/", raw_key, method="delete").status_code == HTTPStatus.NO_CONTENT
    assert list(Project.objects.all()) == [foreign]


class ByObject(APIView):
    """A view with objects other than model instances."""

    permission_classes = [HasOrganizationPermission]

    def get(self, request, slug):
        organization = Organization.objects.filter(slug=slug).first()
        self.check_object_permissions(request, SimpleNamespace(organization=organization))
        return Response()


class ByHand(APIView):
    throttle_classes = []
    permission_classes = [HasOrganizationPermission]

    def get(self, request, pk):
        project = get_object_or_404(Project, pk=pk)
        self.check_object_permissions(request, project)
        return Response(project.name)


def test_row_that_a_view_looks_up_itself(call, mount, acme, rows):
    mount(path("<int:pk>/", ByHand.as_view()))
    own, foreign = rows[Project]
    _, raw_key = make_key("csb", organization=acme)

    assert call(f"/{own.pk}/", raw_key).json() == own.name
    there, nowhere = call(f"/{foreign.pk}/", raw_key), call(f"/{NEVER_WAS}/", raw_key)
    assert (there.status_code, there.content, str(there.headers)) == (404, nowhere.content, str(nowhere.headers))


def test_object_that_is_no_row(call, mount, acme, globex):
    mount(path("<slug>/", ByObject.as_view()))
    _, raw_key = make_key("csb", organization=acme)

    answers = [call(f"/{slug}/", raw_key) for slug in (acme.slug, globex.slug, "never-was")]

    assert [answer.status_code for answer in answers] == [HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.NOT_FOUND]
    assert [answer.json() for answer in answers[1:]] == [{"detail": "Not found."}] * 2


def test_list_and_creation_keep_to_the_organization(call, acme, rows):
    for credential in credentials(acme):
        assert [row["id"] for row in call("/projects/", **credential).json()] == [rows[Project][0].pk]
        data = {"name": "B", "organization": str(rows[Project][1].organization_id)}
        created = call("/projects/", method="post", data=data, **credential)
        Project.objects.get(pk=created.json()["id"], organization=acme).delete()
    assert Project.objects.count() == 2


def test_nested_route(call, acme, globex, rows):
    (own_project, foreign_project), (own_note, foreign_note) = rows[Project], rows[Note]
    _, raw_key = make_key("csb", organization=acme)

    def get(organization, project, note=""):
        return call(f"/organizations/{organization.slug}/projects/{project.pk}/notes/{note and f'{note.pk}/'}", raw_key)

    assert [row["id"] for row in get(acme, own_project).json()] == [own_note.pk]
    assert get(acme, own_project, own_note).json() == {"id": own_note.pk, "text": "N"}
    assert get(acme, foreign_project).json() == []
    assert get(acme, foreign_project, foreign_note).status_code == HTTPStatus.NOT_FOUND
    assert get(globex, foreign_project, foreign_note).status_code == HTTPStatus.NOT_FOUND
    assert get(globex, own_project, own_note).status_code == HTTPStatus.NOT_FOUND


def test_superuser_sees_the_rows_of_the_organization_that_they_name(call, acme, rows):
    superuser = UserFactory.create(is_superuser=True)

    assert [row["id"] for row in call("/projects/", user=superuser, x_organization="acme").json()] == [
        rows[Project][0].pk
    ]
    response = call(f"/projects/{rows[Project][1].pk}/", user=superuser, x_organization="acme")
    assert response.status_code == HTTPStatus.NOT_FOUND


def test_the_organization_itself_as_the_object(call, mount, acme, globex):
    class OrganizationDetail(ReadOnlyModelViewSet[Organization]):
        permission_classes = [HasOrganizationPermission]
        filter_backends = [OrganizationFilterBackend]
        organization_field = "pk"
        queryset = Organization.objects.all()

        def get_serializer(self, instance, **kwargs):
            return type("Data", (), {"data": str(instance)})()

    mount(path("<pk>/", OrganizationDetail.as_view({"get": "retrieve"})))
    _, raw_key = make_key("csb", organization=acme)

    assert call(f"/{acme.pk}/", raw_key).json() == str(acme)
    assert call(f"/{globex.pk}/", raw_key).status_code == HTTPStatus.NOT_FOUND


def test_path_that_ends_early_leads_nowhere(rf, acme):
    """A path with a missing object at any step leads to no organization."""
    request = Request(rf.get("/"))
    principal: Any = OrganizationPrincipal(make_key("csb", organization=acme)[0])
    request.user, request.auth, view = principal, None, APIView()
    view.organization_field = "order__project__organization"  # type: ignore[attr-defined]
    orders = [None, SimpleNamespace(project=None), SimpleNamespace(project=Project())]

    for order in orders:
        with pytest.raises(NotFound):
            HasOrganizationPermission().has_object_permission(request, view, SimpleNamespace(order=order))
    own = SimpleNamespace(order=SimpleNamespace(project=Project(organization=acme)))
    assert HasOrganizationPermission().has_object_permission(request, view, own)


def test_misspelt_path_is_an_error_and_no_pass(call, mount, acme, rows):
    class Misspelt(ByPermission):
        organization_field = "organisation"

    mount(path("<pk>/", Misspelt.as_view()))

    with pytest.raises(AttributeError, match="organisation"):
        call(f"/{rows[Project][0].pk}/", make_key("csb", organization=acme)[1])
