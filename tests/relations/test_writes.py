"""What a view writes with ``OrganizationMixin`` belongs to the organization, or is not written."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from adrf.viewsets import ModelViewSet as AsyncModelViewSet
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import path
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.generics import CreateAPIView
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from closient_auth.mixins import OrganizationMixin
from closient_auth.models import Organization
from tests.factories import UserFactory, make_key
from tests.models import Attachment, Document, Folder, Note, Project, Tag
from tests.relations.conftest import NEVER_WAS
from tests.relations.views import (
    DocumentSerializer,
    DocumentViewSet,
    FolderSerializer,
    PlainViewSet,
    route,
    with_serializer,
)

pytestmark = pytest.mark.django_db

MISSING = '{"detail":"No Document matches the given query."}'


class IdSerializer(DocumentSerializer):
    """Foreign keys as plain numbers, which no relational field looks up."""

    folder_id = serializers.IntegerField(required=False)
    seller_id = serializers.UUIDField(required=False)
    organization_id = serializers.UUIDField(required=False)

    class Meta(DocumentSerializer.Meta):
        fields = ["id", "title", "folder_id", "seller_id", "organization_id"]


class TagIdsSerializer(DocumentSerializer):
    """A many-to-many relation that the project's own code writes."""

    tag_ids = serializers.ListField(child=serializers.IntegerField(), write_only=True)

    class Meta(DocumentSerializer.Meta):
        fields = ["id", "title", "tag_ids"]

    def create(self, validated_data):
        ids = validated_data.pop("tag_ids")
        document = super().create(validated_data)
        document.tags.set(ids)
        return document


def post(**data):
    return {"path": "/documents/", "method": "post", "data": {"title": "New", **data}}


def change(own, **data):
    return {"path": f"/documents/{own.document.pk}/", "method": "patch", "data": data}


def test_new_row_gets_the_organization(send, mount, own, foreign):
    mount(route(DocumentViewSet))
    data = {"organization": str(foreign.organization.pk), "organization_id": str(foreign.organization.pk)}

    assert send(**post(**data)).status_code == HTTPStatus.CREATED
    assert Document.objects.get(title="New").organization == own.organization
    assert send(**change(own, title="Changed", **data)).status_code == HTTPStatus.OK
    assert Document.objects.get(title="Changed").organization == own.organization


def test_foreign_rows_are_missing(send, mount, compare, own, foreign):
    """The default filter backends are those of REST framework: none."""
    mount(route(DocumentViewSet))

    for method in ("get", "head", "put", "patch", "delete"):
        status, _ = compare(
            lambda pk, method=method: {"path": f"/documents/{pk}/", "method": method, "data": {"title": "X"}},
            foreign.document.pk,
        )
        assert status == HTTPStatus.NOT_FOUND
    assert [row["id"] for row in send("/documents/").json()] == [own.document.pk]
    assert send(f"/documents/{own.document.pk}/", method="delete").status_code == HTTPStatus.NO_CONTENT


def test_without_a_cure_a_number_is_written(send, mount, own, foreign):
    mount(route(with_serializer(PlainViewSet, IdSerializer)))

    assert send(**post(folder_id=foreign.folder.pk)).status_code == HTTPStatus.CREATED
    assert send(**change(own, organization_id=str(foreign.organization.pk))).status_code == HTTPStatus.OK
    assert Document.objects.get(title="New").folder == foreign.folder
    assert Document.objects.get(title="Own document").organization == foreign.organization


def test_number_of_a_foreign_row_is_refused_as_an_unknown_one(send, mount, compare, own, foreign):
    mount(route(with_serializer(DocumentViewSet, IdSerializer)))
    unknown = "00000000-0000-4000-8000-000000000000"

    assert compare(lambda pk: post(folder_id=pk), foreign.folder.pk) == (404, MISSING)
    assert compare(lambda pk: change(own, folder_id=pk), foreign.folder.pk) == (404, MISSING)
    for name in ("organization_id", "seller_id"):
        pk = str(foreign.organization.pk)
        assert compare(lambda pk, name=name: change(own, **{name: pk}), pk, unknown) == (404, MISSING)
    assert send(**post(folder_id=own.folder.pk)).status_code == HTTPStatus.CREATED
    assert send(**change(own, folder_id=own.folder.pk)).status_code == HTTPStatus.OK


@pytest.mark.django_db(transaction=True)
def test_unknown_number_outside_a_transaction(send, mount, compare, own, foreign):
    """The databases check foreign keys at different times: at the statement, or at the end of the transaction."""
    mount(route(with_serializer(DocumentViewSet, IdSerializer)))

    assert compare(lambda pk: post(folder_id=pk), foreign.folder.pk) == (404, MISSING)
    assert Document.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_unknown_number_that_belongs_to_no_organization(mount, call, acme):
    """A relation to rows of nobody is not judged, so the database finds the missing row, at the latest at the commit."""

    class PlaceSerializer(DocumentSerializer):
        def create(self, validated_data):
            document = super().create(validated_data)
            Attachment.objects.create(document_id=NEVER_WAS, name="Lost")
            return document

    mount(route(with_serializer(DocumentViewSet, PlaceSerializer)))

    response = call(**post(), raw_key=make_key("csb", organization=acme)[1])

    assert (response.status_code, response.content.decode()) == (404, MISSING)
    assert Document.objects.count() == Attachment.objects.count() == 0


def test_other_integrity_errors_are_errors(mount, call, own):
    """Without a validator, a name that exists is an error of the project."""
    mount(route(DocumentViewSet))

    with pytest.raises(IntegrityError), transaction.atomic():
        call(
            "/folders/",
            make_key("csb", organization=own.organization)[1],
            method="post",
            data={"name": "Own folder"},
        )


def test_many_to_many_that_the_project_writes(send, mount, compare, own, foreign):
    mount(route(with_serializer(PlainViewSet, TagIdsSerializer)))
    assert send(**post(tag_ids=[foreign.tag.pk])).status_code == HTTPStatus.CREATED
    Document.objects.filter(title="New").delete()

    mount(route(with_serializer(DocumentViewSet, TagIdsSerializer)))
    if connection.vendor == "mysql":
        # Django writes the links with INSERT IGNORE, which drops a link to a missing row.
        response = send(**post(tag_ids=[own.tag.pk, foreign.tag.pk]))
        assert (response.status_code, response.content.decode()) == (404, MISSING)
        assert send(**post(tag_ids=[NEVER_WAS])).status_code == HTTPStatus.CREATED
        assert not Document.objects.get(title="New").tags.exists()
    else:
        assert compare(lambda pk: post(tag_ids=[own.tag.pk, pk]), foreign.tag.pk) == (404, MISSING)
    assert send(**post(tag_ids=[own.tag.pk])).status_code == HTTPStatus.CREATED


class Overriding(DocumentViewSet):
    """A view with its own ``perform_create()``, ``perform_update()`` and action."""

    def perform_create(self, serializer):
        serializer.save(folder_id=self.request.query_params["folder"])

    perform_update = perform_create

    @action(detail=False, methods=["post"])
    def copies(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save(folder_id=request.query_params["folder"])
        return Response(serializer.data)


class PlainOverriding(PlainViewSet):
    def perform_create(self, serializer):
        serializer.save(organization=Organization.objects.get(slug="acme"), folder_id=self.request.GET["folder"])


def test_views_with_their_own_save(send, mount, compare, own, foreign):
    mount(route(PlainOverriding))
    assert send(f"/documents/?folder={foreign.folder.pk}", method="post", data={"title": "X"}).status_code == 201
    Document.objects.filter(title="X").delete()

    mount(route(Overriding))
    for method, place in (("post", ""), ("patch", f"{own.document.pk}/"), ("post", "copies/")):

        def make(pk, method=method, place=place):
            return {"path": f"/documents/{place}?folder={pk}", "method": method, "data": {"title": "X"}}

        assert compare(make, foreign.folder.pk) == (404, MISSING)
        assert send(**make(own.folder.pk)).status_code in (200, 201)
    assert set(Document.objects.filter(title="X").values_list("organization", "folder")) == {
        (own.organization.pk, own.folder.pk)
    }


def test_project_that_saves_another_organization(send, mount, own, foreign):
    class Moving(DocumentViewSet):
        def perform_create(self, serializer):
            serializer.save(organization=foreign.organization)

        perform_update = perform_create

    mount(route(Moving))

    for request in (post(), change(own, title="Changed")):
        response = send(**request)
        assert (response.status_code, response.content.decode()) == (404, MISSING)


class BulkViewSet(DocumentViewSet):
    def get_serializer(self, *args, **kwargs):
        return super().get_serializer(*args, many=isinstance(kwargs.get("data"), list), **kwargs)


class BulkIdViewSet(BulkViewSet):
    serializer_class = IdSerializer


def test_bulk_creation(send, mount, compare, own, foreign):
    mount(route(BulkViewSet))

    def make(name):
        return lambda pk: {
            "path": "/documents/",
            "method": "post",
            "data": [{"title": "New 1", name: own.folder.pk}, {"title": "New 2", name: pk}],
        }

    status, body = compare(make("folder"), foreign.folder.pk)
    assert status == 400
    assert 'Invalid pk \\"ID\\" - object does not exist.' in body
    mount(route(BulkIdViewSet))
    assert compare(make("folder_id"), foreign.folder.pk) == (404, MISSING)

    assert len(send(**make("folder_id")(own.folder.pk)).json()) == 2
    assert Document.objects.filter(title__startswith="New", organization=own.organization).count() == 2


class AttachmentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Attachment
        fields = ["name", "folder"]


class AttachmentIdSerializer(serializers.ModelSerializer):
    folder_id = serializers.IntegerField()

    class Meta:
        model = Attachment
        fields = ["name", "folder_id"]


class NestingSerializer(DocumentSerializer):
    attachments: Any = AttachmentSerializer(many=True)

    class Meta(DocumentSerializer.Meta):
        fields = ["id", "title", "attachments"]

    def create(self, validated_data):
        attachments = validated_data.pop("attachments")
        document = super().create(validated_data)
        for data in attachments:
            Attachment.objects.create(document=document, **data)
        return document


class NestingIdSerializer(NestingSerializer):
    attachments = AttachmentIdSerializer(many=True)


class NestedFolderSerializer(DocumentSerializer):
    """A nested serializer of the row that a foreign key refers to; it takes an id to choose one."""

    folder = FolderSerializer()

    def create(self, validated_data):
        folder = Folder.objects.get(name=validated_data.pop("folder")["name"])
        return super().create({**validated_data, "folder": folder})


def test_nested_serializers(send, mount, compare, own, foreign):
    def make(name):
        return lambda pk: post(attachments=[{"name": "1", name: own.folder.pk}, {"name": "2", name: pk}])

    mount(route(with_serializer(PlainViewSet, NestingSerializer)))
    assert send(**make("folder")(foreign.folder.pk)).status_code == HTTPStatus.CREATED
    Document.objects.filter(title="New").delete()

    mount(route(with_serializer(DocumentViewSet, NestingSerializer)))
    status, body = compare(make("folder"), foreign.folder.pk)
    assert status == 400
    assert 'Invalid pk \\"ID\\" - object does not exist.' in body
    assert "Foreign" not in send("/documents/", accept="text/html").content.decode()
    mount(route(with_serializer(DocumentViewSet, NestingIdSerializer)))
    assert compare(make("folder_id"), foreign.folder.pk) == (404, MISSING)
    assert Attachment.objects.count() == 0
    assert send(**make("folder_id")(own.folder.pk)).status_code == HTTPStatus.CREATED
    assert Attachment.objects.filter(folder=own.folder, document__organization=own.organization).count() == 2


def test_nested_serializer_of_a_foreign_key(send, mount, own, foreign):
    mount(route(with_serializer(DocumentViewSet, NestedFolderSerializer)))

    assert send(**post(folder={"name": "Foreign folder"}, tags=[])).status_code == HTTPStatus.NOT_FOUND
    assert send(**post(folder={"name": "Own folder"}, tags=[])).status_code == HTTPStatus.CREATED


def test_shared_relation_of_a_nested_serializer(send, mount, own, foreign):
    attachments = [{"name": "1", "folder_id": foreign.folder.pk}]
    for shared, status in ((["folder"], 404), (["attachments__folder"], 201)):
        mount(route(with_serializer(DocumentViewSet, NestingIdSerializer, shared_fields=shared)))
        assert send(**post(attachments=attachments)).status_code == status
    attachments = [{"name": "1", "folder": foreign.folder.pk}]
    for shared, status in ((["folder"], 400), (["attachments__folder"], 201)):
        mount(route(with_serializer(DocumentViewSet, NestingSerializer, shared_fields=shared)))
        assert send(**post(attachments=attachments)).status_code == status


def test_shared_nested_relation_is_not_judged(send, mount, own, foreign):
    mount(route(with_serializer(DocumentViewSet, NestedFolderSerializer, shared_fields=["folder"])))

    assert send(**post(folder={"name": "Foreign folder"}, tags=[])).status_code == HTTPStatus.CREATED


class PartSerializer(serializers.Serializer):
    title = serializers.CharField()
    attachments = AttachmentIdSerializer(many=True)


class PartsSerializer(NestingSerializer):
    """A part of the same row, with rows of its own, and fields that are no relations."""

    part = PartSerializer(source="*")
    words = PartSerializer(required=False, source="folder.name")
    folder_attachments = AttachmentIdSerializer(many=True, source="folder.documents", required=False)

    class Meta(DocumentSerializer.Meta):
        fields = ["id", "part", "words", "folder_attachments"]


def test_part_of_the_same_row(send, mount, compare, own, foreign):
    class WriteOnly(PartsSerializer):
        def to_representation(self, instance):
            return {}

    mount(route(with_serializer(DocumentViewSet, WriteOnly)))

    def make(pk):
        return {
            "path": "/documents/",
            "method": "post",
            "data": {"part": {"title": "New", "attachments": [{"name": "1", "folder_id": pk}]}},
        }

    assert compare(make, foreign.folder.pk) == (404, MISSING)
    assert send(**make(own.folder.pk)).status_code == HTTPStatus.CREATED


class NoteSerializer(serializers.ModelSerializer):
    class Meta:
        model = Note
        fields = ["id", "text", "project"]


class NoteView(OrganizationMixin, CreateAPIView):
    """A row that belongs to its organization through another row."""

    throttle_classes = []
    organization_field = "project__organization"
    queryset = Note.objects.all()
    serializer_class = NoteSerializer


def test_row_that_belongs_through_another(mount, send, compare, acme, globex):
    own, foreign = (Project.objects.create(organization=each, name="P") for each in (acme, globex))
    mount(NoteView.as_view())

    def make(pk):
        return {"path": "/", "method": "post", "data": {"text": "New", "project": pk}}

    assert compare(make, foreign.pk)[0] == 400
    assert Note.objects.count() == 0
    assert send(**make(own.pk)).status_code == HTTPStatus.CREATED


class SomethingSerializer(serializers.Serializer):
    """A serializer that writes no row of the view's model."""

    folder = serializers.PrimaryKeyRelatedField(queryset=Folder.objects.all(), required=False)
    what = serializers.CharField()

    def create(self, validated_data):
        match validated_data["what"]:
            case "nothing":
                return {}
            case "user":
                return UserFactory.create()
            case "unsaved":
                return Document(pk=NEVER_WAS)
            case "deleted":
                document = Document.objects.create(title="X", organization_id=self.context["view"].other)
                document.delete()
                return document
            case "mixed":
                return [UserFactory.create(), Tag.objects.create(name="T", organization_id=self.context["view"].other)]
        return Tag.objects.create(name="T", organization=Organization.objects.get(slug=validated_data["what"]))

    def to_representation(self, instance):
        return {}


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("nothing", 201),
        ("user", 201),
        ("unsaved", 201),
        ("deleted", 201),
        ("acme", 201),
        ("globex", 404),
        ("mixed", 404),
    ],
)
def test_serializer_that_writes_something_else(mount, send, acme, globex, what, status):
    mount(route(with_serializer(DocumentViewSet, SomethingSerializer, other=globex.pk)))

    response = send("/documents/", method="post", data={"what": what})

    assert response.status_code == status
    if status == 404:
        assert response.content.decode() == MISSING
        assert Tag.objects.count() == 0


def test_rows_of_two_models_are_judged_each(mount, send, acme, globex):
    mount(route(with_serializer(DocumentViewSet, SomethingSerializer, other=acme.pk)))

    assert send("/documents/", method="post", data={"what": "mixed"}).status_code == HTTPStatus.CREATED


def test_view_without_a_queryset_attribute(mount, send, compare, own, foreign):
    class Computed(DocumentViewSet):
        queryset = None
        serializer_class = IdSerializer

        def get_queryset(self):
            return Document.objects.order_by("pk")

    mount(route(Computed))

    assert compare(lambda pk: post(folder_id=pk), foreign.folder.pk) == (404, MISSING)
    assert send(**post(folder_id=own.folder.pk)).status_code == HTTPStatus.CREATED


def test_view_without_a_queryset(mount, send, compare, own, foreign):
    """``CreateAPIView`` needs only a serializer."""

    class Create(OrganizationMixin, CreateAPIView):
        throttle_classes = []
        serializer_class = IdSerializer

    mount(path("documents/", Create.as_view()))

    assert compare(lambda pk: post(folder_id=pk), foreign.folder.pk) == (404, MISSING)
    assert send(**post(folder_id=own.folder.pk)).status_code == HTTPStatus.CREATED
    assert Document.objects.get(title="New").organization == own.organization


def test_view_without_a_model(mount, send, acme, globex):
    class Create(OrganizationMixin, CreateAPIView):
        throttle_classes = []
        serializer_class = SomethingSerializer
        other = globex.pk

    mount(path("", Create.as_view()))

    refused = send(method="post", data={"what": "globex"})
    assert (refused.status_code, refused.json()) == (404, {"detail": "Not found."})
    assert Tag.objects.count() == 0
    assert send(method="post", data={"what": "acme"}).status_code == HTTPStatus.CREATED


def test_parents_need_a_model(mount, call, acme):
    class Create(OrganizationMixin, CreateAPIView):
        serializer_class = SomethingSerializer
        parent_lookup_kwargs = {"pk": "folder__pk"}

    mount(path("<pk>/", Create.as_view()))

    with pytest.raises(ImproperlyConfigured, match="parent_lookup_kwargs should begin with a foreign key"):
        call("/1/", make_key("csb", organization=acme)[1], method="post", data={"what": "acme"})


class SilentSerializer(IdSerializer):
    """A serializer whose ``save()`` returns nothing."""

    def save(self, **kwargs):
        super().save(**kwargs)


def test_save_that_returns_nothing(mount, send, compare, own, foreign):
    mount(route(with_serializer(DocumentViewSet, SilentSerializer)))

    assert compare(lambda pk: post(folder_id=pk), foreign.folder.pk) == (404, MISSING)
    assert compare(lambda pk: change(own, folder_id=pk), foreign.folder.pk) == (404, MISSING)
    assert send(**post(folder_id=own.folder.pk)).status_code == HTTPStatus.CREATED


def test_organization_as_the_object(mount, send, compare, acme, globex):
    class OrganizationSerializer(serializers.ModelSerializer):
        class Meta:
            model = Organization
            fields = ["name"]

    class OrganizationViewSet(DocumentViewSet):
        organization_field = "pk"
        queryset = Organization.objects.order_by("pk")
        serializer_class = OrganizationSerializer

    mount(route(OrganizationViewSet))

    assert send(f"/documents/{acme.pk}/", method="patch", data={"name": "Renamed"}).json() == {"name": "Renamed"}
    unknown = "00000000-0000-4000-8000-000000000000"
    status, _ = compare(
        lambda pk: {"path": f"/documents/{pk}/", "method": "patch", "data": {"name": "X"}}, str(globex.pk), unknown
    )
    assert status == HTTPStatus.NOT_FOUND
    # A new organization is not that of the request.
    assert send("/documents/", method="post", data={"name": "New"}).status_code == HTTPStatus.NOT_FOUND
    globex.refresh_from_db()
    assert globex.name == "Globex"


def test_async_views_are_not_supported():
    with pytest.raises(TypeError, match="OrganizationMixin does not support adrf"):
        type("AsyncViewSet", (OrganizationMixin, AsyncModelViewSet), {})


@pytest.mark.parametrize("base", [ModelViewSet, CreateAPIView])
def test_mixin_comes_first(base):
    """Otherwise it would have no effect."""
    with pytest.raises(TypeError, match="Last: put OrganizationMixin before the classes of REST framework"):
        type("Last", (base, OrganizationMixin), {})
    type("First", (OrganizationMixin, base), {})


def test_shared_fields_should_be_a_list(mount, call, acme):
    mount(route(with_serializer(DocumentViewSet, DocumentSerializer, shared_fields="seller")))

    with pytest.raises(ImproperlyConfigured, match="shared_fields should be a list of names, not a string"):
        call("/documents/", make_key("csb", organization=acme)[1])


@pytest.mark.parametrize(("rows", "nested"), [(1, 0), (20, 0), (1, 3)])
def test_number_of_queries(mount, call, own, rows, nested):
    """One query judges all rows of a model. A nested serializer needs two more."""

    class TwoTags(NestingSerializer):
        class Meta(DocumentSerializer.Meta):
            fields = ["id", "title", "tags", "attachments"]

    serializer = TwoTags if nested else DocumentSerializer
    data = [{"title": "New", "folder": own.folder.pk, "tags": [own.tag.pk]} for _ in range(rows)]
    for each in data if nested else ():
        each["attachments"] = [{"name": "1", "folder": own.folder.pk} for _ in range(nested)]
    _, raw_key = make_key("csb", organization=own.organization)
    numbers = []
    for base in (PlainViewSet, DocumentViewSet):
        view = with_serializer(with_serializer(base, serializer), serializer, get_serializer=get_bulk_serializer)
        mount(route(view))
        with CaptureQueriesContext(connection) as queries:
            assert call("/documents/", raw_key, method="post", data=data).status_code == HTTPStatus.CREATED
        numbers.append([each["sql"] for each in queries if "SAVEPOINT" not in each["sql"]])

    plain, judged = numbers
    assert len(judged) - len(plain) == (3 if nested else 1), "\n".join(judged)


@pytest.mark.parametrize(("method", "number"), [("patch", 2), ("put", 2), ("delete", 0)])
def test_number_of_queries_for_a_row_that_exists(mount, call, own, method, number):
    """One more query finds the owner of the row before it changes."""
    _, raw_key = make_key("csb", organization=own.organization)
    numbers = []
    for base in (PlainViewSet, DocumentViewSet):
        document = Document.objects.create(organization=own.organization, title="Old")
        mount(route(base))
        with CaptureQueriesContext(connection) as queries:
            response = call(f"/documents/{document.pk}/", raw_key, method=method, data={"title": "New", "tags": []})
        assert response.status_code in (200, 204)
        numbers.append([each["sql"] for each in queries if "SAVEPOINT" not in each["sql"]])

    plain, judged = numbers
    assert len(judged) - len(plain) == number, "\n".join(judged)


def get_bulk_serializer(self, *args, **kwargs):
    base = DocumentViewSet if isinstance(self, DocumentViewSet) else PlainViewSet
    return base.get_serializer(self, *args, many=isinstance(kwargs.get("data"), list), **kwargs)
