"""Checks of the relations with which a request body names rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import WARNING
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import CreateAPIView, GenericAPIView, ListAPIView, UpdateAPIView
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.viewsets import ModelViewSet

from closient_auth import fields
from closient_auth.mixins import OrganizationMixin
from closient_auth.models import Organization
from closient_auth.permissions import HasOrganizationPermission, SessionOnly
from tests.checks.teams import Card, Country, Sale
from tests.checks.views import extend, mix
from tests.models import Note, Project

HERE = __name__
VIEWS = "tests.checks.views"


def make(field: Any, name: str = "Body", **attributes: Any) -> Any:
    """Return a serializer class with one field ``row``."""
    return type(name, (serializers.Serializer,), {"__module__": HERE, "row": field, **attributes})


class ModelRow(serializers.ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = ["project"]


class OwnRow(ModelRow):
    serializer_related_field = fields.OrganizationRelatedField


class ChosenRow(ModelRow):
    """The checks should not run ``get_fields()`` of a project, because it may send a query."""

    def get_fields(self):
        raise AssertionError


class BrokenRow(ModelRow):
    class Meta(ModelRow.Meta):
        fields = ["unknown"]


class NarrowedField(serializers.PrimaryKeyRelatedField[Any]):
    def get_queryset(self):
        return Project.objects.none()


class NamedField(serializers.SlugRelatedField[Any]):
    """A relation of a project."""


class Endless(serializers.CharField):
    """A field of a project that breaks the rules of REST framework."""

    @property
    def child(self):
        return self


class NoteCreation(CreateAPIView[Note]):
    permission_classes: Any = [HasOrganizationPermission]
    serializer_class: Any = make(serializers.PrimaryKeyRelatedField(queryset=Project.objects.all()))


def test_relation_to_the_rows_of_everybody(find, mount):
    mount(NoteCreation.as_view())

    message = find("W029")
    assert (message.level, message.msg) == (
        WARNING,
        f"The field 'row' of {HERE}.Body should accept only rows of the request's organization in: {HERE}.NoteCreation.",
    )
    assert (
        "closient_auth.fields.OrganizationRelatedField(queryset=..., organization_field='organization')" in message.hint
    )
    assert "closient_auth.mixins.OrganizationMixin" in message.hint


@pytest.mark.parametrize(
    ("field", "name", "cure"),
    [
        (
            serializers.PrimaryKeyRelatedField(queryset=Project.objects),
            "row",
            "RelatedField(queryset=..., {}='organization')",
        ),
        (
            serializers.PrimaryKeyRelatedField(queryset=Note.objects.all(), many=True),
            "row",
            "OrganizationRelatedField(queryset=..., {}='project__organization')",
        ),
        (
            serializers.SlugRelatedField(queryset=Project.objects.all(), slug_field="name"),
            "row",
            "OrganizationSlugRelatedField(slug_field=..., queryset=..., {}='organization')",
        ),
        (
            NamedField(queryset=Project.objects.all(), slug_field="name", many=True),
            "row",
            "OrganizationSlugRelatedField(slug_field=..., queryset=..., {}='organization')",
        ),
        (
            serializers.HyperlinkedRelatedField(queryset=Project.objects.all(), view_name="project"),
            "row",
            "OrganizationHyperlinkedRelatedField(view_name=..., queryset=..., {}='organization')",
        ),
        (
            serializers.PrimaryKeyRelatedField(queryset=Organization.objects.all()),
            "row",
            "OrganizationRelatedField(queryset=..., {}='pk')",
        ),
        (
            serializers.PrimaryKeyRelatedField(queryset=Card.objects.all()),
            "row",
            "OrganizationRelatedField(queryset=..., {}='board__team__organization')",
        ),
        (
            serializers.PrimaryKeyRelatedField(queryset=Sale.objects.all()),
            "row",
            "OrganizationRelatedField(queryset=..., {}='organization')",
        ),
        (
            serializers.ListField(child=serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())),
            "row",
            "OrganizationRelatedField(queryset=..., {}='organization')",
        ),
        (ModelRow(), "row.project", "OrganizationRelatedField(queryset=..., {}='organization')"),
        (make(ModelRow(many=True), "Lines")(), "row.row.project", "OrganizationRelatedField("),
    ],
)
def test_relations_of_each_kind(find, mount, teams, field, name, cure):
    mount(extend(NoteCreation, "Creation", serializer_class=make(field)).as_view())

    message = find("W029")
    assert message.msg.startswith(f"The field {name!r} of {HERE}.Body should accept ")
    assert f"closient_auth.fields.{cure.format('organization_field')}".replace(
        "fields.Rel", "fields.OrganizationRel"
    ) in (message.hint)


def test_relations_of_a_model(find, mount):
    """The field of a model on the way to the organization belongs to W016, if the view has that way."""
    attributes = {"queryset": Project.objects.all(), "get_queryset": lambda view: Project.objects.none()}
    mount(extend(NoteCreation, "Creation", serializer_class=ModelRow, **attributes).as_view())

    assert "The field 'project' of" in find("W029").msg


def test_field_is_reported_once(find, mount):
    attributes = {"queryset": Note.objects.all(), "organization_field": "project__organization"}
    mount(extend(NoteCreation, "Creation", serializer_class=ModelRow, **attributes).as_view())

    find("W016")


def test_validation_is_too_late(find, mount):
    serializer = make(
        serializers.PrimaryKeyRelatedField(queryset=Project.objects.all()), validate_row=lambda self, row: row
    )
    mount(extend(NoteCreation, "Creation", serializer_class=serializer).as_view())

    find("W029")


@pytest.mark.parametrize(
    "attributes",
    [
        {"permission_classes": [IsAuthenticated]},
        {"authentication_classes": [SessionAuthentication]},
        {"get_permissions": lambda view: [IsAuthenticated()]},
    ],
)
def test_views_that_organizations_share(find, mount, attributes):
    mount(extend(NoteCreation, "Creation", **attributes).as_view())

    find("W029")


def test_views_with_one_serializer(find, mount):
    serializer = make(serializers.PrimaryKeyRelatedField(queryset=Project.objects.all()))
    attributes = {"serializer_class": serializer, "get_queryset": lambda view: Note.objects.none()}
    cls = extend(ModelViewSet, "Notes", permission_classes=[HasOrganizationPermission], **attributes)
    mount(
        cls.as_view({"get": "list", "post": "create"}),
        cls.as_view({"put": "update"}),
        extend(NoteCreation, "Creation", serializer_class=serializer).as_view(),
        extend(UpdateAPIView, "Update", permission_classes=[HasOrganizationPermission], **attributes).as_view(),
    )

    assert find("W029").msg.endswith(f" in: {VIEWS}.Creation, {VIEWS}.Notes, {VIEWS}.Update.")


@pytest.mark.parametrize(
    "field",
    [
        serializers.PrimaryKeyRelatedField(read_only=True),
        serializers.PrimaryKeyRelatedField(queryset=Country.objects.all()),
        serializers.PrimaryKeyRelatedField(queryset=Project.objects.none()),
        serializers.PrimaryKeyRelatedField(queryset=[1, 2]),  # type: ignore[arg-type]
        serializers.HiddenField(default=fields.CurrentOrganizationDefault()),
        serializers.IntegerField(),
        NarrowedField(),
        NarrowedField(many=True),
        fields.OrganizationRelatedField(queryset=Project.objects.all()),
        fields.OrganizationRelatedField(queryset=Project.objects.all(), many=True),
        fields.OrganizationSlugRelatedField(queryset=Project.objects.all(), slug_field="name"),
        fields.OrganizationHyperlinkedRelatedField(queryset=Project.objects.all(), view_name="project"),
        OwnRow(),
        OwnRow(many=True),
        ModelRow(read_only=True),
        ChosenRow(),
        BrokenRow(),
        Endless(),
    ],
)
def test_field_that_names_no_foreign_row(run, mount, field):
    mount(extend(NoteCreation, "Creation", serializer_class=make(field)).as_view())

    assert run() == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"permission_classes": [AllowAny]},
        {"permission_classes": [IsAuthenticated], "authentication_classes": [SessionAuthentication]},
        {"permission_classes": [IsAuthenticated, SessionOnly]},
        {"http_method_names": ["get"]},
        {"http_method_names": []},
        {"get_serializer": lambda view: None},
        {"serializer_class": None},
        {"serializer_class": property(lambda view: ModelRow)},
    ],
)
def test_view_that_is_not_known_to_take_a_row(run, mount, attributes):
    mount(extend(NoteCreation, "Creation", **attributes).as_view())

    assert run() == []


def test_view_that_chooses_its_serializer(find, mount):
    """It is likely to use the serializer that it declares, too."""
    cls = extend(NoteCreation, "Creation", serializer_class=ModelRow, get_serializer_class=lambda view: ModelRow)
    mount(cls.as_view())

    assert find("W029").msg.startswith(f"The field 'project' of {HERE}.ModelRow ")


@pytest.mark.parametrize("method", ["__init__", "get_fields"])
def test_declared_relation_of_a_serializer_with_code_of_its_own(find, run, mount, method):
    row = serializers.PrimaryKeyRelatedField(queryset=Project.objects.all())

    def fail(*args, **kwargs):
        raise AssertionError

    attributes: dict[str, Any] = {method: fail, "names": serializers.IntegerField()}
    mount(extend(NoteCreation, "Creation", serializer_class=make(row, **attributes)).as_view())
    assert find("W029").msg.startswith(f"The field 'row' of {HERE}.Body ")

    own = fields.OrganizationRelatedField(queryset=Project.objects.all())
    mount(extend(NoteCreation, "Creation", serializer_class=make(own, **attributes)).as_view())
    assert run() == []


class ColumnSerializer(serializers.ModelSerializer[Note]):
    row = serializers.IntegerField(source="project_id")

    class Meta:
        model = Note
        fields = ["row", "text"]


def test_column_of_a_foreign_key(find, mount):
    """A plain number field accepts any id."""
    # The view filters by another path itself, so the field is not the way to its organization.
    mount(extend(NoteCreation, "Creation", serializer_class=ColumnSerializer, organization_field="owner").as_view())

    message = find("W029")
    assert message.msg.startswith(f"The field 'row' of {HERE}.ColumnSerializer ")
    cure = "OrganizationRelatedField(source='project', queryset=..., organization_field='organization')"
    assert cure in message.hint


def test_view_that_reads(run, mount):
    mount(extend(ListAPIView, "List", **_copy(get_queryset=lambda view: Note.objects.none())).as_view())

    assert run() == []


def test_view_with_the_mixin(run, mount):
    mount(mix(OrganizationMixin, NoteCreation).as_view())

    assert run() == []


def test_views_of_the_project_alone(find, mount):
    """A method that the project wrote takes a body, too."""
    mount(extend(GenericAPIView, "Own", **_copy(post=lambda view, request: None)).as_view())

    find("W029")


def _copy(**attributes):
    return {name: vars(NoteCreation)[name] for name in ("permission_classes", "serializer_class")} | attributes
