"""Checks of the serializer fields that choose the organization of a row."""

from __future__ import annotations

import pytest
from django.core.checks import WARNING
from rest_framework import serializers
from rest_framework.generics import DestroyAPIView, ListAPIView, ListCreateAPIView, UpdateAPIView
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from closient_auth.fields import CurrentOrganizationDefault, OrganizationRelatedField
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.mixins import OrganizationMixin
from closient_auth.models import Organization
from closient_auth.permissions import HasOrganizationPermission
from tests.checks.teams import Board, Card, Company, Sale
from tests.checks.views import extend, mix
from tests.models import Note, Project

HERE = __name__
VIEWS = "tests.checks.views"


class OpenSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = "__all__"


class RenamedSerializer(serializers.Serializer[Project]):
    company = serializers.PrimaryKeyRelatedField(source="organization", queryset=Organization.objects.all())


class IdSerializer(serializers.Serializer[Project]):
    organization_id = serializers.UUIDField()


class NoteSerializer(serializers.ModelSerializer[Note]):
    class Meta:
        model = Note
        fields = "__all__"


class NamesSerializer(OpenSerializer):
    class Meta(OpenSerializer.Meta):
        fields = ["name"]  # type: ignore[assignment]


class ReadOnlySerializer(OpenSerializer):
    class Meta(OpenSerializer.Meta):
        read_only_fields = ["organization"]


class HiddenSerializer(OpenSerializer):
    organization = serializers.HiddenField(default=None)


class BrokenSerializer(OpenSerializer):
    class Meta(OpenSerializer.Meta):
        fields = ["unknown"]  # type: ignore[assignment]


class ChoosingSerializer(OpenSerializer):
    """The checks should not run ``get_fields()`` of a project, because it may send a query."""

    def get_fields(self):
        raise AssertionError


class ConstructedSerializer(OpenSerializer):
    def __init__(self, *args, **kwargs):
        raise AssertionError


class ValidatingSerializer(OpenSerializer):
    def validate_organization(self, organization):
        return organization


class NarrowedField(serializers.PrimaryKeyRelatedField[Organization]):
    def get_queryset(self):
        return Organization.objects.none()


class NarrowedSerializer(OpenSerializer):
    organization = NarrowedField()


class BoardSerializer(serializers.ModelSerializer[Board]):
    class Meta:
        model = Board
        fields = ["team"]


class TeamIdSerializer(serializers.ModelSerializer[Board]):
    team_id = serializers.IntegerField()

    class Meta:
        model = Board
        fields = ["team_id"]


class CardSerializer(serializers.ModelSerializer[Card]):
    class Meta:
        model = Card
        fields = ["board"]


class SaleSerializer(serializers.ModelSerializer[Sale]):
    class Meta:
        model = Sale
        fields = ["buyer"]


class DefaultedSerializer(OpenSerializer):
    organization = serializers.HiddenField(default=CurrentOrganizationDefault())


class OwnSerializer(OpenSerializer):
    organization = OrganizationRelatedField(queryset=Organization.objects.all(), organization_field="pk")


class ManyOwnSerializer(OpenSerializer):
    organization = OrganizationRelatedField(queryset=Organization.objects.all(), organization_field="pk", many=True)


class ProjectList(ListCreateAPIView[Project]):
    permission_classes = [HasOrganizationPermission]
    filter_backends = [OrganizationFilterBackend]
    queryset = Project.objects.all()
    serializer_class = OpenSerializer


def own(base, **attributes):
    """Return a view with the attributes of ``ProjectList`` and the methods of another base class."""
    names = ("permission_classes", "filter_backends", "queryset", "serializer_class")
    return extend(base, "Own", **{name: vars(ProjectList)[name] for name in names}, **attributes)


@pytest.mark.parametrize("base", [ListCreateAPIView, UpdateAPIView])
def test_body_that_says_whose_a_row_is(find, mount, base):
    mount(own(base).as_view())

    message = find("W016")
    assert (message.level, message.msg) == (
        WARNING,
        f"The field 'organization' of {HERE}.OpenSerializer should be read-only in: {VIEWS}.Own.",
    )
    assert "get_organization(request) in perform_create(), or with HiddenField(" in message.hint
    assert "default=CurrentOrganizationDefault()" in message.hint
    assert "OrganizationRelatedField of closient_auth.fields" in message.hint
    assert "validate_organization()" in message.hint


def test_viewset_is_named_once(find, mount):
    cls = own(ModelViewSet)
    mount(cls.as_view({"get": "list", "post": "create"}), cls.as_view({"put": "update"}))

    find("W016")


@pytest.mark.parametrize(
    ("serializer", "path", "name"),
    [
        (RenamedSerializer, "organization", "company"),
        (IdSerializer, "organization", "organization_id"),
        (OpenSerializer, "organization_id", "organization"),
    ],
)
def test_field_by_another_name(find, mount, serializer, path, name):
    mount(extend(ProjectList, "List", serializer_class=serializer, organization_field=path).as_view())

    assert f"The field {name!r} of" in find("W016").msg


def test_field_on_the_way_to_the_organization(find, mount):
    attributes = {"queryset": Note.objects.all(), "organization_field": "project__organization"}
    mount(extend(ProjectList, "Notes", serializer_class=NoteSerializer, **attributes).as_view())

    message = find("W016")
    assert "OrganizationRelatedField" in message.hint
    assert message.msg == f"The field 'project' of {HERE}.NoteSerializer should be read-only in: {VIEWS}.Notes."
    assert "validate_project()" in message.hint


@pytest.mark.parametrize(
    ("serializer", "attributes", "name"),
    [
        (BoardSerializer, {"organization_field": "team__organization"}, "team"),
        (BoardSerializer, {"organization_field": "team"}, "team"),
        (BoardSerializer, {}, "team"),
        (TeamIdSerializer, {}, "team_id"),
        (CardSerializer, {"organization_field": "board__team__organization"}, "board"),
    ],
)
def test_field_on_the_way_through_a_team(run, mount, teams, serializer, attributes, name):
    """Without ``organization_field``, the view filters the rows itself."""
    queryset = (Card if serializer is CardSerializer else Board).objects.all()
    attributes = {"queryset": queryset, "get_queryset": lambda view: queryset, **attributes}
    if attributes.get("organization_field") == "team":
        teams(Company)
    mount(extend(ProjectList, "List", serializer_class=serializer, filter_backends=[], **attributes).as_view())

    found = {message.id: message.msg for message in run()}
    assert found.keys() == {"closient_auth.W016"}
    assert found["closient_auth.W016"].startswith(f"The field {name!r} of {HERE}.{serializer.__name__} should be ")


def test_default_path_is_the_only_one_where_it_exists(find, mount, teams):
    """The other relation to an organization, such as a buyer, belongs to another rule."""
    mount(extend(ProjectList, "List", queryset=Sale.objects.all(), serializer_class=SaleSerializer).as_view())

    assert "The field 'buyer' of" in find("W029").msg


@pytest.mark.parametrize("serializer", [DefaultedSerializer, OwnSerializer, ManyOwnSerializer])
def test_field_of_this_package(run, mount, serializer):
    mount(extend(ProjectList, "List", serializer_class=serializer).as_view())

    assert run() == []


def test_view_with_the_mixin(run, mount):
    mount(mix(OrganizationMixin, ProjectList).as_view())

    assert run() == []


def test_validation_that_silences_this_rule_alone(find, mount):
    """The form still lists the organizations."""
    mount(extend(ProjectList, "List", serializer_class=ValidatingSerializer).as_view())

    find("W029")


def test_path_that_only_a_request_knows(find, mount):
    mount(extend(ProjectList, "List", organization_field=property(lambda view: "organization")).as_view())

    find("W029")


@pytest.mark.parametrize(
    "serializer",
    [
        NamesSerializer,
        ReadOnlySerializer,
        HiddenSerializer,
        BrokenSerializer,
        ChoosingSerializer,
        ConstructedSerializer,
        NarrowedSerializer,
        serializers.BaseSerializer,
        property(lambda view: OpenSerializer),
        None,
    ],
)
def test_serializer_that_is_not_known_to_take_it(run, mount, serializer):
    mount(extend(ProjectList, "List", serializer_class=serializer).as_view())

    assert run() == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"permission_classes": [AllowAny]},
        {"http_method_names": ["get", "head", "options"]},
        {"get_serializer": lambda view, *args, **kwargs: NamesSerializer(*args, **kwargs)},
    ],
)
def test_view_that_is_not_known_to_ask_it(run, mount, attributes):
    mount(extend(ProjectList, "List", **attributes).as_view())

    assert run() == []


@pytest.mark.parametrize("base", [ListAPIView, DestroyAPIView])
def test_view_without_a_body(run, mount, base):
    mount(own(base).as_view())

    assert run() == []


def test_viewset_that_serves_reading_alone(run, mount):
    mount(own(ModelViewSet).as_view({"get": "list", "delete": "destroy"}))

    assert run() == []


def test_view_that_rest_framework_reads_no_serializer_of(run, mount):
    mount(own(APIView, post=lambda view, request: None).as_view())

    assert run() == []
