"""Checks of the parents in the URLs of nested routes."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import WARNING
from django.test import override_settings
from django.urls import include, path, re_path
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import action
from rest_framework.generics import (
    CreateAPIView,
    GenericAPIView,
    ListAPIView,
    ListCreateAPIView,
    RetrieveUpdateDestroyAPIView,
)
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.versioning import URLPathVersioning
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet
from rest_framework_nested.routers import NestedSimpleRouter

from closient_auth.checks import check_views
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.mixins import OrganizationMixin
from closient_auth.models import Membership
from closient_auth.permissions import HasOrganizationPermission, SessionOnly
from tests.checks.teams import Board, Card, Country, Sale, Team
from tests.checks.views import extend, mix
from tests.models import Note, Project

HERE = __name__
VIEWS = "tests.checks.views"


class TextSerializer(ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = ["text"]


ATTRIBUTES: dict[str, Any] = {
    "permission_classes": [HasOrganizationPermission],
    "filter_backends": [OrganizationFilterBackend],
    "organization_field": "project__organization",
    "queryset": Note.objects.all(),
    "serializer_class": TextSerializer,
}


def own(base: Any, name: str = "Notes", **attributes: Any) -> Any:
    return extend(base, name, **{**ATTRIBUTES, **attributes})


def mixed(base: Any, **attributes: Any) -> Any:
    """Return a view with the mixin. These attributes stand before those of the mixin."""
    return extend(mix(OrganizationMixin, own(base)), "Mixed", **attributes)


def of(model: Any) -> dict[str, Any]:
    """Return the attributes of a view that filters the rows of a model itself."""
    rows = model._default_manager.all()
    return {"queryset": rows, "get_queryset": lambda view: rows, "organization_field": None, "filter_backends": []}


def test_parent_that_nobody_checks(find, mount):
    mount(path("projects/<int:pk>/notes", own(ListCreateAPIView).as_view()))

    message = find("W031")
    assert (message.level, message.msg) == (
        WARNING,
        f"The argument 'pk' of the URL should name only rows of the request's organization in: {VIEWS}.Notes.",
    )
    assert (
        "closient_auth.mixins.OrganizationMixin with parent_lookup_kwargs = {'pk': 'project__pk'}, or" in message.hint
    )
    assert "organization_url_kwarg = 'pk' if the argument names the organization" in message.hint
    assert "silence this check" in message.hint


def test_viewset_of_a_nested_router(find, run, mount):
    def routes(cls):
        projects = SimpleRouter()
        projects.register("projects", ReadOnlyModelViewSet, basename="project")
        notes = NestedSimpleRouter(projects, "projects", lookup="project")
        notes.register("notes", cls, basename="note")
        return notes.urls

    mount(*routes(own(ModelViewSet)))
    assert "The argument 'project_pk' of the URL" in find("W031").msg

    mount(*routes(own(ReadOnlyModelViewSet)))
    assert run() == []

    mount(*routes(mixed(ModelViewSet, parent_lookup_kwargs={"project_pk": "project__pk"})))
    assert run() == []


@pytest.mark.parametrize(
    ("route", "names"),
    [
        (path("<a_pk>/", include([path("<uuid>/<format>", own(CreateAPIView).as_view())])), ["a_pk", "uuid"]),
        (path("<str:locale>/<int:year>/<token>", own(CreateAPIView).as_view()), []),
        (re_path(r"^(?P<project>\d+)/(?:notes)$", own(CreateAPIView).as_view()), ["project"]),
        (path("<project_pk>/<pk>", own(RetrieveUpdateDestroyAPIView).as_view()), ["project_pk"]),
        (path("<pk>/<id>", own(RetrieveUpdateDestroyAPIView, lookup_url_kwarg="id").as_view()), ["pk"]),
        (path("<slug>/<id>", own(RetrieveUpdateDestroyAPIView, lookup_field="slug").as_view()), ["id"]),
        (path("<pk>/<id>", own(GenericAPIView, post=lambda *args, **kwargs: None).as_view()), ["id"]),
        (path("<pk>", own(ModelViewSet).as_view({"get": "list", "post": "create"})), ["pk"]),
        (path("<pk>", own(ModelViewSet).as_view({"post": "create"}, detail=False)), ["pk"]),
        (
            path("<org>/<organization_id>", own(CreateAPIView, organization_url_kwarg="org").as_view()),
            ["organization_id"],
        ),
    ],
)
def test_names_of_parents(run, mount, route, names):
    mount(route)

    assert [message.msg for message in run()] == [
        f"The argument {name!r} of the URL should name only rows of the request's organization in: {VIEWS}.Notes."
        for name in names
    ]


@pytest.mark.parametrize(
    ("argument", "model", "parent"),
    [
        ("project_id", Note, "project"),
        ("board_pk", Sale, "boards"),
        ("pk", Board, "team"),
        ("parent_pk", Card, "parent"),
        ("pk", Card, "board"),
    ],
)
def test_parents_of_models(find, mount, teams, argument, model, parent):
    mount(path(f"<{argument}>/rows", own(CreateAPIView, **of(model)).as_view()))

    assert f"parent_lookup_kwargs = {{'{argument}': '{parent}__pk'}}" in find("W031").hint


def test_model_of_the_serializer(find, mount):
    mount(path("<pk>/notes", own(CreateAPIView, queryset=None).as_view()))

    find("W031")


@pytest.mark.parametrize(
    "attributes",
    [
        {"permission_classes": [IsAuthenticated], "get_queryset": lambda view: Note.objects.none()},
        {"authentication_classes": [SessionAuthentication]},
    ],
)
def test_views_that_organizations_share(find, mount, attributes):
    mount(path("<pk>/notes", own(CreateAPIView, **attributes).as_view()))

    find("W031")


@pytest.mark.parametrize("model", [Project, Team, Country, Membership])
def test_model_without_a_parent(run, mount, teams, model):
    mount(path("<pk>/rows", own(CreateAPIView, **of(model)).as_view()))

    assert run() == []


class Publishing(ModelViewSet[Note]):
    @action(methods=["post"], detail=True)
    def publish(self, request, pk):
        raise AssertionError

    def archive(self, request, pk):
        raise AssertionError


def routes(cls, prefix="notes"):
    router = SimpleRouter()
    router.register(prefix, cls, basename="note")
    return router.urls


@pytest.mark.parametrize(
    "patterns",
    [
        [path("notes", own(ListCreateAPIView).as_view())],
        [path("notes/<pk>", own(RetrieveUpdateDestroyAPIView).as_view())],
        [path("notes/<id>", own(RetrieveUpdateDestroyAPIView, lookup_url_kwarg="id").as_view())],
        [path("notes/<text>", own(RetrieveUpdateDestroyAPIView, lookup_field="text").as_view())],
        [path("notes/<pk>/publish", own(GenericAPIView, post=lambda *args, **kwargs: None).as_view())],
        [path("<organization_id>/notes", own(CreateAPIView).as_view())],
        [path("<org>/notes", own(CreateAPIView, organization_url_kwarg="org").as_view())],
        [path("notes.<format>", own(CreateAPIView).as_view())],
        [path("<version>/notes", own(CreateAPIView, versioning_class=URLPathVersioning).as_view())],
        [path("<version>/notes", own(CreateAPIView).as_view())],
        [path("notes", own(CreateAPIView).as_view(), {"project_pk": 1})],
        routes(own(Publishing)),
        [path("notes/<pk>", own(Publishing).as_view({"post": "archive"}))],
        [path("notes/<pk>", own(Publishing).as_view({"put": "update"}))],
        routes(own(ModelViewSet), prefix="<organization_id>/notes"),
    ],
)
def test_route_without_a_parent(run, mount, patterns):
    mount(*patterns)

    assert run() == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"permission_classes": [AllowAny]},
        {"permission_classes": [IsAuthenticated, SessionOnly]},
        {"http_method_names": ["get", "head", "options"]},
        {"queryset": None, "serializer_class": None},
    ],
)
def test_view_that_is_not_known_to_write(run, mount, attributes):
    mount(path("<pk>/notes", own(ListCreateAPIView, **attributes).as_view()))

    assert run() == []


def test_view_with_the_mixin(run, find, mount):
    cls = mixed(ListCreateAPIView, parent_lookup_kwargs={"pk": "project__pk"})
    mount(path("<lang>/<pk>/notes", cls.as_view()))
    assert run() == []

    mount(path("<pk>/notes", own(ListCreateAPIView).as_view()))
    find("W031")


def test_plain_view(run, mount):
    """A view without a model says nothing about the rows that it writes."""
    mount(path("<pk>", extend(APIView, "Plain", permission_classes=[HasOrganizationPermission], post=print).as_view()))

    assert run() == []


def test_pattern_that_is_not_valid():
    """Django raises an error of its own. The checks still know the view."""
    view = own(CreateAPIView).as_view()
    with override_settings(ROOT_URLCONF=(re_path("(?P<pk>", view), path("<pk>/notes", view))):
        messages = check_views()

    assert [message.id for message in messages] == ["closient_auth.W031"]


def test_setting_that_names_no_class(mount, settings):
    """The paths of the models are not known, and the first request reports the error."""
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": "nowhere.Teams"}
    mount(path("<pk>/notes", own(CreateAPIView).as_view()))

    assert "closient_auth.W031" not in {message.id for message in check_views()}


@pytest.mark.parametrize("base", [ListAPIView, ListCreateAPIView])
@pytest.mark.parametrize("model", [Note, Project])
def test_argument_that_the_mixin_ignores(find, run, mount, base, model):
    """Whatever the URL says, the view lists the rows of the only organization of the user."""
    field = "project__organization" if model is Note else "organization"
    attributes = {"queryset": model.objects.all(), "organization_field": field}
    mount(path("shops/<slug:shop>/rows", mixed(base, **attributes).as_view()))
    assert find("W031").msg.startswith("The argument 'shop' of the URL ")

    mount(path("shops/<slug:shop>/rows", mixed(base, **attributes, organization_url_kwarg="shop").as_view()))
    assert run() == []


@pytest.mark.parametrize("method", ["initial", "get_queryset", "filter_queryset"])
def test_mixin_beside_a_method_that_may_read_the_argument(run, mount, method):
    attributes: dict[str, Any] = {method: lambda *args: None}
    mount(path("<int:year>/notes", mixed(ListAPIView, **attributes).as_view()))

    assert run() == []


@pytest.mark.parametrize("method", ["initial", "check_permissions"])
def test_view_that_may_check_its_parent(run, mount, method):
    attributes: dict[str, Any] = {method: lambda *args: None}
    mount(path("<pk>/notes", own(CreateAPIView, **attributes).as_view()))

    assert run() == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"project_pk": "project__pk"}, "No URL of the view has an argument 'project_pk'."),
        ({"pk": "projekt__pk"}, "Note has no field named 'projekt'."),
        ({"pk": "project__pkk"}, "Unsupported lookup 'pkk' for ForeignKey or join on the field not permitted."),
        ({"pk": "text"}, "'text' is not a foreign key."),
        ({"pk": None}, "Write it as {'product_pk': 'product__pk'}."),
        ({1: "project__pk"}, "Write it as {'product_pk': 'product__pk'}."),
        ("project__pk", "Write it as {'product_pk': 'product__pk'}."),
        (None, "Write it as {'product_pk': 'product__pk'}."),
    ],
)
def test_parent_lookups_that_do_not_fit(run, mount, value, problem):
    mount(path("<pk>/notes", mixed(ListCreateAPIView, parent_lookup_kwargs=value).as_view()))

    messages = {message.id: message for message in run()}
    assert messages["closient_auth.E015"].hint == problem
    assert repr(value) in messages["closient_auth.E015"].msg
    # Without the mixin, these names mean nothing.
    mount(path("projects/notes", own(ListCreateAPIView, parent_lookup_kwargs=value).as_view()))
    assert run() == []


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (["project"], []),
        (("notes__project", "organization"), []),
        ({"seler"}, ["seler"]),
        ([None, "notez__project"], [None, "notez__project"]),
        ("project", ["project"]),
        (None, [None]),
    ],
)
def test_shared_fields(run, mount, value, names):
    rows = {"organization_field": "organization", "queryset": Project.objects.all()}
    attributes: dict[str, Any] = {} if value == ["project"] else rows
    mount(path("rows", mixed(ListCreateAPIView, **attributes, shared_fields=value).as_view()))

    text = "shared_fields names {!r}, which is not a relation of tests.Project, in: "
    assert [message.msg.partition(VIEWS)[0] for message in run()] == list(map(text.format, names))


def test_misspelt_attribute_of_the_mixin(find, mount):
    attributes: dict[str, Any] = {"get_queryset": lambda view: None}
    cls = mixed(ListCreateAPIView, parent_lookups_kwargs={"pk": "project__pk"}, **attributes)
    mount(path("<pk>/notes", cls.as_view()))

    assert find("W017").hint == "Did you mean 'parent_lookup_kwargs'?"


def test_mixin_without_a_model(run, mount):
    cls = extend(GenericAPIView, "Plain", permission_classes=[HasOrganizationPermission], serializer_class=None)
    mount(mix(OrganizationMixin, cls).as_view())

    assert run() == []
