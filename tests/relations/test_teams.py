"""Projects with teams of their own: a relation to the team is a relation to the organization."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from rest_framework import serializers
from rest_framework.viewsets import ModelViewSet

from closient_auth.fields import CurrentOrganizationDefault
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.memberships import Memberships
from closient_auth.mixins import OrganizationMixin
from closient_auth.models import Organization
from closient_auth.permissions import HasOrganizationPermission
from closient_auth.principals import OrganizationPrincipal
from tests.factories import make_key
from tests.models import Crew, Guild, Tool
from tests.relations.views import route, with_serializer

pytestmark = pytest.mark.django_db


class CrewMemberships(Memberships):
    """Teams with a link to their organization."""

    model = "tests.Crew"

    def get_organizations(self, user):
        return Organization.objects.filter(memberships__user=user)

    def get_permissions(self, user, organization):
        return ["organization.view_organization", "organization.contribute_organization"]


class GuildMemberships(CrewMemberships):
    """Teams with the primary key of their organization."""

    model = "tests.Guild"


class CrewSerializer(serializers.ModelSerializer):
    class Meta:
        model = Tool
        fields = ["id", "name", "crew"]
        extra_kwargs = {"crew": {"required": False}}


class GuildSerializer(CrewSerializer):
    class Meta(CrewSerializer.Meta):
        fields = ["id", "name", "guild"]
        extra_kwargs = {"guild": {"required": False}}


class UniqueSerializer(CrewSerializer):
    crew = serializers.HiddenField(default=CurrentOrganizationDefault())


class HiddenGuildSerializer(GuildSerializer):
    guild = serializers.HiddenField(default=CurrentOrganizationDefault())


class PlainTools(ModelViewSet):
    throttle_classes = []
    permission_classes = [HasOrganizationPermission]
    filter_backends = [OrganizationFilterBackend]
    organization_field = "crew__anchor"
    queryset = Tool.objects.order_by("pk")
    serializer_class = CrewSerializer


class Tools(OrganizationMixin, ModelViewSet):
    throttle_classes = []
    organization_field = "crew__anchor"
    queryset = Tool.objects.order_by("pk")
    serializer_class: Any = CrewSerializer


class GuildTools(Tools):
    organization_field = "guild"
    serializer_class = GuildSerializer


@pytest.fixture(params=[CrewMemberships, GuildMemberships])
def kind(request, settings, acme, globex):
    """Return the kind of teams with which the test runs, and their view."""
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": f"{__name__}.{request.param.__name__}"}
    if request.param is CrewMemberships:
        teams: Any = [Crew.objects.create(anchor=each, name=each.name) for each in (acme, globex)]
        return "crew", Tools, teams, 987_654_321
    teams = [Guild.objects.create(pk=each.pk, name=each.name) for each in (acme, globex)]
    return "guild", GuildTools, teams, "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def raw_key(acme):
    return make_key("csb", organization=acme)[1]


def test_without_a_cure_the_body_chooses_the_team(call, mount, raw_key, acme, globex):
    Crew.objects.create(anchor=acme, name="Acme")
    team = Crew.objects.create(anchor=globex, name="Globex")
    mount(route(PlainTools))

    response = call("/documents/", raw_key, method="post", data={"name": "Saw", "crew": team.pk})

    assert response.status_code == HTTPStatus.CREATED
    assert Tool.objects.get().crew == team


def test_team_of_another_organization(call, mount, kind, raw_key):
    name, view, (own, foreign), unknown = kind
    mount(route(view))
    tool = Tool.objects.create(name="Hammer", **{name: own})

    bodies = []
    for pk in (foreign.pk, unknown):
        for method, address in (("post", ""), ("patch", f"{tool.pk}/")):
            response = call(f"/documents/{address}", raw_key, method=method, data={"name": "Saw", name: str(pk)})
            assert response.status_code == HTTPStatus.BAD_REQUEST
            bodies.append(response.content.decode().replace(str(pk), "ID"))
    assert set(bodies) == {f'{{"{name}":["Invalid pk \\"ID\\" - object does not exist."]}}'}
    assert list(Tool.objects.values_list("name", name)) == [("Hammer", own.pk)]
    page = call("/documents/", raw_key, accept="text/html").content.decode()
    assert "Acme" in page
    assert "Globex" not in page


def test_new_row_gets_the_team(call, mount, kind, raw_key):
    name, view, (own, foreign), _ = kind
    mount(route(view))
    Tool.objects.create(name="Foreign", **{name: foreign})

    response = call("/documents/", raw_key, method="post", data={"name": "Saw"})

    assert response.json() == {"id": response.json()["id"], "name": "Saw", name: response.json()[name]}
    assert getattr(Tool.objects.get(name="Saw"), name) == own
    assert [row["name"] for row in call("/documents/", raw_key).json()] == ["Saw"]


def test_row_of_another_team_is_refused(call, mount, kind, raw_key):
    name, view, (own, foreign), _ = kind

    def perform_create(self, serializer):
        serializer.save(**{name: foreign})

    mount(route(type("Moving", (view,), {"perform_create": perform_create})))

    assert call("/documents/", raw_key, method="post", data={"name": "Saw"}).status_code == HTTPStatus.NOT_FOUND
    assert Tool.objects.count() == 0


def test_default_is_the_team(call, mount, kind, raw_key, acme):
    name, view, (own, _), _ = kind
    mount(route(with_serializer(view, UniqueSerializer if name == "crew" else HiddenGuildSerializer)))

    assert call("/documents/", raw_key, method="post", data={"name": "Saw"}).status_code == HTTPStatus.CREATED
    assert getattr(Tool.objects.get(), name) == own
    if name == "crew":
        tool = Tool.objects.create(name="Axe", crew=own)
        error = {"non_field_errors": ["The fields crew, name must make a unique set."]}
        for method, address in (("post", ""), ("patch", f"{tool.pk}/")):
            response = call(f"/documents/{address}", raw_key, method=method, data={"name": "Saw"})
            assert (response.status_code, response.json()) == (HTTPStatus.BAD_REQUEST, error)


@pytest.mark.parametrize("hidden", [False, True])
def test_organization_without_a_team(call, mount, kind, raw_key, hidden):
    name, view, (own, foreign), _ = kind
    serializer = UniqueSerializer if name == "crew" else HiddenGuildSerializer
    mount(route(with_serializer(view, serializer) if hidden else view))
    own.delete()

    response = call("/documents/", raw_key, method="post", data={"name": "Saw"})

    assert (response.status_code, response.json()) == (HTTPStatus.NOT_FOUND, {"detail": "Not found."})
    assert Tool.objects.count() == 0


def test_default_of_a_field_that_is_no_team(rf, kind, acme):
    class NameSerializer(CrewSerializer):
        name = serializers.HiddenField(default=CurrentOrganizationDefault())

    request = rf.get("/")
    request.user = OrganizationPrincipal(make_key("csb", organization=acme)[0])
    serializer = NameSerializer(data={}, context={"request": request})

    serializer.is_valid(raise_exception=True)
    assert serializer.validated_data["name"] == acme
