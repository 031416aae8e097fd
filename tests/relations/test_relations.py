"""Relations of a serializer: rows of another organization are rows that never were."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.core.exceptions import FieldError, ImproperlyConfigured
from rest_framework import serializers
from rest_framework.request import Request

from closient_auth.fields import (
    OrganizationHyperlinkedRelatedField,
    OrganizationRelatedField,
    OrganizationSlugRelatedField,
)
from closient_auth.principals import OrganizationPrincipal
from tests.factories import make_key
from tests.models import Document, Folder, Tag
from tests.relations.conftest import NEVER_WAS
from tests.relations.views import (
    DocumentSerializer,
    DocumentViewSet,
    FolderSerializer,
    FolderViewSet,
    PlainViewSet,
    route,
    with_serializer,
)

pytestmark = pytest.mark.django_db


class PkSerializer(DocumentSerializer):
    folder = OrganizationRelatedField(queryset=Folder.objects.all(), required=False)
    tags = OrganizationRelatedField(queryset=Tag.objects.all(), many=True, required=False)


class PlainSlugSerializer(DocumentSerializer):
    folder = serializers.SlugRelatedField(slug_field="name", queryset=Folder.objects.all(), required=False)
    tags = serializers.SlugRelatedField(slug_field="name", queryset=Tag.objects.all(), many=True, required=False)


class SlugSerializer(DocumentSerializer):
    folder = OrganizationSlugRelatedField(slug_field="name", queryset=Folder.objects.all(), required=False)
    tags = OrganizationSlugRelatedField(slug_field="name", queryset=Tag.objects.all(), many=True, required=False)


class PlainLinkSerializer(DocumentSerializer):
    folder = serializers.HyperlinkedRelatedField(
        view_name="folder-detail", queryset=Folder.objects.all(), required=False
    )


class LinkSerializer(DocumentSerializer):
    folder = OrganizationHyperlinkedRelatedField(
        view_name="folder-detail", queryset=Folder.objects.all(), required=False
    )


class ListFieldSerializer(DocumentSerializer):
    """Relations in a list and in a dictionary, which ``create()`` takes apart."""

    folders = serializers.ListField(
        child=serializers.PrimaryKeyRelatedField(queryset=Folder.objects.all()), write_only=True, required=False
    )
    places = serializers.DictField(
        child=serializers.PrimaryKeyRelatedField(queryset=Folder.objects.all()), write_only=True, required=False
    )

    class Meta(DocumentSerializer.Meta):
        fields = [*DocumentSerializer.Meta.fields, "folders", "places"]

    def create(self, validated_data):
        folders = [*validated_data.pop("folders", []), *validated_data.pop("places", {}).values()]
        return super().create({**validated_data, "folder": folders[0]})


class FilteringField(serializers.PrimaryKeyRelatedField):
    """A field of a project with its own ``get_queryset()``, which does not know organizations."""

    def get_queryset(self):
        return Folder.objects

    def display_value(self, instance):
        return f"Choice {instance}"


class FilteringSerializer(DocumentSerializer):
    folder = FilteringField(required=False)


class FullSerializer(DocumentSerializer):
    class Meta(DocumentSerializer.Meta):
        fields = "__all__"  # type: ignore[assignment]


PLAIN = with_serializer(PlainViewSet, DocumentSerializer)
CURES = [
    pytest.param(with_serializer(PlainViewSet, PkSerializer), id="field"),
    pytest.param(with_serializer(DocumentViewSet, DocumentSerializer), id="mixin"),
    pytest.param(with_serializer(DocumentViewSet, PkSerializer), id="both"),
]


def post(**data):
    return {"path": "/documents/", "method": "post", "data": {"title": "New", **data}}


def test_without_a_cure_a_foreign_key_takes_any_row(send, mount, own, foreign):
    mount(route(PLAIN))

    assert send(**post(folder=foreign.folder.pk)).status_code == HTTPStatus.CREATED
    assert send(**post(folder=NEVER_WAS)).status_code == HTTPStatus.BAD_REQUEST
    assert Document.objects.get(title="New").folder == foreign.folder
    assert send(**post(tags=[own.tag.pk, foreign.tag.pk])).status_code == HTTPStatus.CREATED
    assert "Foreign folder" in send("/documents/", accept="text/html").content.decode()


@pytest.mark.parametrize("view", CURES)
def test_foreign_key_and_many_to_many(send, mount, compare, own, foreign, view):
    mount(route(view))

    folder_error = (400, '{"folder":["Invalid pk \\"ID\\" - object does not exist."]}')
    tags_error = (400, '{"tags":["Invalid pk \\"ID\\" - object does not exist."]}')
    assert compare(lambda pk: post(folder=pk), foreign.folder.pk) == folder_error
    assert compare(lambda pk: post(tags=[own.tag.pk, pk]), foreign.tag.pk) == tags_error
    for method in ("patch", "put"):
        assert compare(lambda pk, method=method: change(own, method, folder=pk), foreign.folder.pk) == folder_error
        assert compare(lambda pk, method=method: change(own, method, tags=[pk]), foreign.tag.pk) == tags_error

    assert send(**post(folder=own.folder.pk, tags=[own.tag.pk])).status_code == HTTPStatus.CREATED
    assert send(**change(own, "patch", folder=own.folder.pk, tags=[])).status_code == HTTPStatus.OK
    assert Document.objects.get(title="New").organization == own.organization


def change(own, method, **data):
    return {"path": f"/documents/{own.document.pk}/", "method": method, "data": {"title": "Changed", **data}}


def test_all_relations_of_a_serializer(send, mount, compare, own, foreign):
    """The relations that a ``ModelSerializer`` makes from the model."""

    class RelatedSerializer(DocumentSerializer):
        serializer_related_field = OrganizationRelatedField

    mount(route(with_serializer(PlainViewSet, RelatedSerializer)))

    for name, value, unknown in (("folder", foreign.folder.pk, NEVER_WAS), ("tags", [foreign.tag.pk], [NEVER_WAS])):
        for each in (value, unknown):
            response = send(**post(**{name: each}))
            assert response.status_code == HTTPStatus.BAD_REQUEST
            assert "object does not exist" in response.json()[name][0]
    assert send(**post(folder=own.folder.pk, tags=[own.tag.pk])).status_code == HTTPStatus.CREATED


@pytest.mark.parametrize("view", CURES)
def test_pages_list_own_rows_alone(send, mount, own, foreign, view):
    mount(route(view))

    for path in ("/documents/", f"/documents/{own.document.pk}/"):
        page = send(path, accept="text/html").content.decode()
        assert "Own folder" in page
        assert "Own tag" in page
        assert "Foreign" not in page


@pytest.mark.parametrize("view", CURES)
def test_page_of_an_error_lists_own_rows_alone(call, mount, credential, own, foreign, view):
    mount(route(view))

    page = call("/documents/", method="post", data={"folder": foreign.folder.pk}, accept="text/html", **credential)

    assert page.status_code == HTTPStatus.BAD_REQUEST
    assert "object does not exist" in page.content.decode()
    assert "Own folder" in page.content.decode()
    assert "Foreign" not in page.content.decode()


def test_without_a_cure_a_name_or_link_finds_any_row(send, mount, own, foreign):
    mount(route(with_serializer(PlainViewSet, PlainSlugSerializer)))
    assert send(**post(folder="Foreign folder")).status_code == HTTPStatus.CREATED
    mount(route(with_serializer(PlainViewSet, PlainLinkSerializer)))
    assert send(**post(folder=f"/folders/{foreign.folder.pk}/")).status_code == HTTPStatus.CREATED
    assert Document.objects.filter(title="New", folder=foreign.folder).count() == 2


@pytest.mark.parametrize(
    "view",
    [
        with_serializer(PlainViewSet, SlugSerializer),
        with_serializer(DocumentViewSet, PlainSlugSerializer),
        with_serializer(DocumentViewSet, SlugSerializer),
    ],
)
def test_slug(send, mount, compare, own, foreign, view):
    mount(route(view))
    unknown = "Unknown folder"

    status, body = compare(lambda name: post(folder=name), "Foreign folder", unknown)
    assert (status, body) == (400, '{"folder":["Object with name=ID does not exist."]}')
    status, body = compare(lambda name: post(tags=[name]), "Foreign tag", unknown)
    assert (status, body) == (400, '{"tags":["Object with name=ID does not exist."]}')
    assert send(**post(folder="Own folder", tags=["Own tag"])).json()["folder"] == "Own folder"
    assert "Foreign" not in send("/documents/", accept="text/html").content.decode()


def test_name_that_two_organizations_use(send, mount, own, foreign):
    """Without a cure, ``get()`` finds two rows."""
    Folder.objects.filter(pk=foreign.folder.pk).update(name="Own folder")
    mount(route(with_serializer(PlainViewSet, PlainSlugSerializer)))
    with pytest.raises(Folder.MultipleObjectsReturned):
        send(**post(folder="Own folder"))

    mount(route(with_serializer(DocumentViewSet, PlainSlugSerializer)))
    assert send(**post(folder="Own folder")).status_code == HTTPStatus.CREATED
    assert Document.objects.get(title="New").folder == own.folder


@pytest.mark.parametrize(
    "view",
    [
        with_serializer(PlainViewSet, LinkSerializer),
        with_serializer(DocumentViewSet, PlainLinkSerializer),
        with_serializer(DocumentViewSet, LinkSerializer),
    ],
)
def test_hyperlink(send, mount, compare, own, foreign, view):
    mount(route(view))

    status, body = compare(lambda pk: post(folder=f"/folders/{pk}/"), foreign.folder.pk)
    assert (status, body) == (400, '{"folder":["Invalid hyperlink - Object does not exist."]}')
    created = send(**post(folder=f"/folders/{own.folder.pk}/"))
    assert created.json()["folder"] == f"http://testserver/folders/{own.folder.pk}/"
    assert "Foreign folder" not in send("/documents/", accept="text/html").content.decode()


@pytest.mark.parametrize("place", ["folders", "places"])
def test_relations_in_lists_and_dictionaries(send, mount, compare, own, foreign, place):
    def make(pk):
        return post(**{place: [pk] if place == "folders" else {"first": pk}})

    mount(route(with_serializer(PlainViewSet, ListFieldSerializer)))
    assert send(**make(foreign.folder.pk)).status_code == HTTPStatus.CREATED

    mount(route(with_serializer(DocumentViewSet, ListFieldSerializer)))
    assert compare(make, foreign.folder.pk)[0] == 400
    assert send(**make(own.folder.pk)).json()["folder"] == own.folder.pk


def test_field_with_its_own_queryset_is_narrowed_as_well(send, mount, compare, own, foreign):
    mount(route(with_serializer(PlainViewSet, FilteringSerializer)))
    assert send(**post(folder=foreign.folder.pk)).status_code == HTTPStatus.CREATED

    mount(route(with_serializer(DocumentViewSet, FilteringSerializer)))
    assert compare(lambda pk: post(folder=pk), foreign.folder.pk)[0] == 400
    page = send("/documents/", accept="text/html").content.decode()
    assert "Choice Own folder" in page
    assert "Foreign" not in page


def test_relation_to_organizations(send, mount, compare, own, foreign):
    """Each organization knows itself alone, also if it is the row's owner."""
    unknown = "00000000-0000-4000-8000-000000000000"
    organizations = {"organization": str(own.organization.pk)}
    mount(route(with_serializer(PlainViewSet, FullSerializer)))
    assert send(**post(seller=str(foreign.organization.pk), **organizations)).status_code == HTTPStatus.CREATED
    moved = send(**change(own, "patch", organization=str(foreign.organization.pk)))
    assert moved.status_code == HTTPStatus.OK
    Document.objects.filter(pk=own.document.pk).update(organization=own.organization)

    mount(route(with_serializer(DocumentViewSet, FullSerializer)))
    for name in ("seller", "organization"):
        status, body = compare(
            lambda pk, name=name: post(**{**organizations, name: pk}), str(foreign.organization.pk), unknown
        )
        assert (status, body) == (400, f'{{"{name}":["Invalid pk \\"ID\\" - object does not exist."]}}')
        assert compare(
            lambda pk, name=name: change(own, "patch", **{name: pk}), str(foreign.organization.pk), unknown
        ) == (status, body)
    created = send(**post(seller=str(own.organization.pk), **organizations))
    assert created.json()["organization"] == str(own.organization.pk)
    assert "Globex" not in send("/documents/", accept="text/html").content.decode()


class FolderWithDocuments(FolderSerializer):
    class Meta(FolderSerializer.Meta):
        fields = ["id", "name", "documents"]


def test_reverse_relation(send, mount, compare, own, foreign):
    """A body that names documents moves them into the folder."""

    def make(pk):
        return {
            "path": "/documents/",
            "method": "post",
            "data": {"name": "New", "documents": [pk], "organization": str(own.organization.pk)},
        }

    mount(route(with_serializer(PlainViewSet, FolderWithDocuments, queryset=Folder.objects.order_by("pk"))))
    assert send(**make(foreign.document.pk)).status_code == HTTPStatus.CREATED
    Document.objects.filter(pk=foreign.document.pk).update(folder=foreign.folder)
    Folder.objects.filter(name="New").delete()

    mount(route(with_serializer(FolderViewSet, FolderWithDocuments)))
    status, body = compare(make, foreign.document.pk)
    assert (status, body) == (400, '{"documents":["Invalid pk \\"ID\\" - object does not exist."]}')
    assert send(**make(own.document.pk)).status_code == HTTPStatus.CREATED
    assert Document.objects.get(pk=own.document.pk).folder == Folder.objects.get(name="New")


def test_shared_relation_leads_elsewhere(send, mount, own, foreign):
    organizations = {"organization": str(own.organization.pk)}
    mount(route(with_serializer(DocumentViewSet, FullSerializer, shared_fields=["seller"])))

    created = send(**post(seller=str(foreign.organization.pk), **organizations))

    assert created.status_code == HTTPStatus.CREATED
    assert Document.objects.get(title="New").seller == foreign.organization
    assert send(**post(folder=foreign.folder.pk, **organizations)).status_code == HTTPStatus.BAD_REQUEST
    assert "Globex" in send("/documents/", accept="text/html").content.decode()


def test_depth(send, mount, own, foreign):
    """``depth`` makes nested fields for reading, which no body can write."""

    class DeepSerializer(DocumentSerializer):
        class Meta(DocumentSerializer.Meta):
            depth = 2

    mount(route(with_serializer(DocumentViewSet, DeepSerializer)))

    created = send(**post(folder=foreign.folder.pk, tags=[foreign.tag.pk]))

    assert (created.json()["folder"], created.json()["tags"]) == (None, [])
    assert "Foreign" not in send("/documents/", accept="text/html").content.decode()
    shown = send("/documents/").json()
    assert shown[0]["folder"]["name"] == "Own folder"
    assert "Foreign" not in str(shown)


def test_row_of_several_organizations_is_found_once(rf, own, foreign):
    """A path through a many-to-many relation would find a row several times."""

    class TagSerializer(serializers.Serializer):
        folder = OrganizationRelatedField(
            queryset=Folder.objects.all(), organization_field="documents__tags__organization"
        )

    own.document.tags.add(Tag.objects.create(organization=own.organization, name="Second"))
    own_data, foreign_data = ({"folder": each.folder.pk} for each in (own, foreign))

    assert TagSerializer(data=own_data, context={"request": as_acme(rf, own)}).is_valid()
    assert not TagSerializer(data=foreign_data, context={"request": as_acme(rf, own)}).is_valid()


def as_acme(rf, own):
    request: Any = Request(rf.get("/"))
    request.user = OrganizationPrincipal(make_key("csb", organization=own.organization)[0])
    return request


@pytest.mark.parametrize("serializer", [PkSerializer, SlugSerializer, LinkSerializer])
def test_field_without_a_request_is_an_error(mount, own, serializer):
    mount(route(DocumentViewSet))

    with pytest.raises(ImproperlyConfigured, match="'folder' needs the request. Pass context="):
        serializer(data={"title": "New", "folder": "/folders/1/"}).is_valid()
    assert Document.objects.count() == 1


def test_read_only_field_needs_no_request(own):
    class ReadOnlySerializer(DocumentSerializer):
        folder = OrganizationRelatedField(read_only=True)
        tags = OrganizationRelatedField(read_only=True, many=True)

    serializer: Any = ReadOnlySerializer(own.document)

    assert serializer.data["folder"] == own.folder.pk
    assert serializer.data["tags"] == [own.tag.pk]
    assert serializer.fields["folder"].choices == {}


def test_organization_field_that_does_not_exist_is_an_error(rf, own):
    class MisspeltSerializer(DocumentSerializer):
        folder = OrganizationRelatedField(queryset=Folder.objects.all(), organization_field="organisation")

    with pytest.raises(FieldError, match="organisation"):
        MisspeltSerializer(data={"folder": own.folder.pk}, context={"request": as_acme(rf, own)}).is_valid()
