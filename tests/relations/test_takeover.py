"""A request changes no row of another organization, and all rows that it writes are judged."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import pre_save
from django.urls import path
from rest_framework import serializers
from rest_framework.generics import CreateAPIView
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.mixins import OrganizationMixin
from closient_auth.models import Organization
from tests.factories import make_key
from tests.models import Attachment, Contract, Document, Draft, Folder, Note, Page, Project, Tag
from tests.relations.conftest import NEVER_WAS
from tests.relations.views import DocumentSerializer, DocumentViewSet, PlainViewSet, route, with_serializer

pytestmark = pytest.mark.django_db


def answer(model):
    return 404, f'{{"detail":"No {model} matches the given query."}}'


@pytest.fixture
def refused(send):
    """Return a function to send a request that should change nothing. It returns the status and the body."""

    def refused(path, method="post", data=None):
        before = [list(model._default_manager.order_by("pk").values()) for model in MODELS]
        response = send(path, method=method, data=data)
        assert [list(model._default_manager.order_by("pk").values()) for model in MODELS] == before
        return response.status_code, response.content.decode()

    return refused


MODELS: list[Any] = [Attachment, Contract, Document, Draft, Folder, Note, Organization, Page, Project, Tag]


class UpsertSerializer(DocumentSerializer):
    """The body names the row to write."""

    id: Any = serializers.IntegerField()

    class Meta(DocumentSerializer.Meta):
        fields = ["id", "title"]

    def create(self, validated_data):
        return Document.objects.update_or_create(id=validated_data.pop("id"), defaults=validated_data)[0]


class SavingSerializer(UpsertSerializer):
    """Django updates a row that exists."""

    def create(self, validated_data):
        document = Document(**validated_data)
        document.save()
        # The row is checked once.
        document.save()
        return document


class InsertingSerializer(UpsertSerializer):
    def create(self, validated_data):
        return Document.objects.create(**validated_data)


UPSERTS = [UpsertSerializer, SavingSerializer]


@pytest.mark.parametrize("serializer", UPSERTS)
def test_without_a_cure_a_row_is_taken_over(send, mount, own, foreign, serializer):
    mount(route(with_serializer(PlainViewSet, serializer)))

    assert send("/documents/", method="post", data={"id": foreign.document.pk, "title": "Mine"}).status_code == 201
    foreign.document.refresh_from_db()
    assert (foreign.document.title, foreign.document.organization) == ("Mine", own.organization)


@pytest.mark.parametrize("serializer", [*UPSERTS, InsertingSerializer])
def test_row_is_not_taken_over(send, refused, mount, own, foreign, serializer):
    mount(route(with_serializer(DocumentViewSet, serializer)))

    assert refused("/documents/", data={"id": foreign.document.pk, "title": "Mine"}) == answer("Document")
    assert send("/documents/", method="post", data={"id": NEVER_WAS, "title": "New"}).status_code == 201
    assert Document.objects.get(pk=NEVER_WAS).organization == own.organization


@pytest.mark.parametrize("serializer", UPSERTS)
def test_own_row_is_updated(send, mount, own, foreign, serializer):
    mount(route(with_serializer(DocumentViewSet, serializer)))

    assert send("/documents/", method="post", data={"id": own.document.pk, "title": "Changed"}).status_code == 201
    own.document.refresh_from_db()
    assert own.document.title == "Changed"


def test_changed_id(send, refused, mount, own, foreign):
    mount(route(with_serializer(DocumentViewSet, UpsertSerializer)))
    address = f"/documents/{own.document.pk}/"

    assert refused(address, "patch", {"id": foreign.document.pk, "title": "Mine"}) == answer("Document")
    assert send(address, method="patch", data={"id": own.document.pk, "title": "Changed"}).status_code == 200


def test_put_that_creates(send, refused, mount, own, foreign):
    class PuttingSerializer(SavingSerializer):
        id = None

        class Meta(DocumentSerializer.Meta):
            fields = ["title"]

    class Putting(DocumentViewSet):
        serializer_class = PuttingSerializer

        def update(self, request, *args, **kwargs):
            row = self.filter_queryset(self.get_queryset()).filter(pk=kwargs["pk"]).first()
            serializer = self.get_serializer(row, data=request.data)
            serializer.is_valid(raise_exception=True)
            serializer.save(pk=kwargs["pk"])
            return Response(serializer.data)

    mount(route(Putting))

    assert refused(f"/documents/{foreign.document.pk}/", "put", {"title": "Mine"}) == answer("Document")
    assert send(f"/documents/{NEVER_WAS}/", method="put", data={"title": "New"}).status_code == HTTPStatus.OK
    assert Document.objects.get(pk=NEVER_WAS).organization == own.organization


def test_row_with_a_default_of_the_primary_key(refused, send, mount, acme, globex):
    """Django inserts a new row with such a key, unless the project forces an update."""

    class ForcingSerializer(serializers.ModelSerializer):
        id = serializers.UUIDField()

        class Meta:
            model = Organization
            fields = ["id", "name"]

        def update(self, instance, validated_data):
            if validated_data["id"] != instance.pk:
                instance = Organization(**validated_data, slug="other", created_at=instance.created_at)
                instance.save(force_update=True)
                return self.instance
            return super().update(instance, validated_data)

    mount(
        route(
            with_serializer(
                DocumentViewSet, ForcingSerializer, organization_field="pk", queryset=Organization.objects.all()
            )
        )
    )
    address = f"/documents/{acme.pk}/"

    assert refused(address, "patch", {"id": str(globex.pk), "name": "Mine"}) == answer("Organization")
    assert send(address, method="patch", data={"id": str(acme.pk), "name": "Renamed"}).status_code == HTTPStatus.OK


def test_row_that_appears_after_the_check(refused, mount, own, foreign):
    """Another request inserts the row at the same time."""
    mount(route(with_serializer(DocumentViewSet, SavingSerializer)))
    # Connected after the receiver of the mixin, so it runs later.
    pre_save.connect(insert_foreign_document, sender=Document)
    try:
        assert refused("/documents/", data={"id": NEVER_WAS, "title": "Mine"}) == answer("Document")
    finally:
        pre_save.disconnect(insert_foreign_document, sender=Document)


def insert_foreign_document(instance, **kwargs):
    globex = Organization.objects.get(slug="globex")
    Document.objects.bulk_create([Document(pk=instance.pk, title="Theirs", organization=globex)])


class PartSerializer(serializers.ModelSerializer):
    id = serializers.IntegerField(required=False)
    folder_id = serializers.IntegerField(required=False)

    class Meta:
        model = Attachment
        fields = ["id", "name", "folder_id"]


class PartsSerializer(DocumentSerializer):
    """A nested serializer that updates the rows that the body names."""

    attachments: Any = PartSerializer(many=True)

    class Meta(DocumentSerializer.Meta):
        fields = ["id", "title", "attachments"]

    def create(self, validated_data):
        parts = validated_data.pop("attachments")
        document = super().create(validated_data)
        for part in parts:
            Attachment.objects.update_or_create(id=part.pop("id", None), defaults={**part, "document": document})
        return document


class ListedPartsSerializer(PartsSerializer):
    """A serializer in a list is none of the nested serializers that REST framework knows."""

    attachments = serializers.ListField(child=PartSerializer(), write_only=True)


class StrangePartsSerializer(PartsSerializer):
    """The source of the parts is no relation of the model."""

    attachments = PartSerializer(many=True, source="parts", write_only=True)

    def create(self, validated_data):
        parts = validated_data.pop("parts")
        return super().create({**validated_data, "attachments": parts})


PARTS = [PartsSerializer, ListedPartsSerializer, StrangePartsSerializer]


@pytest.mark.parametrize("serializer", PARTS)
def test_row_of_a_nested_serializer_is_not_taken_over(send, refused, mount, own, foreign, serializer):
    theirs = Attachment.objects.create(document=foreign.document, name="Theirs")
    ours = Attachment.objects.create(document=own.document, name="Ours")

    def make(pk):
        return {"title": "New", "attachments": [{"id": pk, "name": "Taken"}]}

    mount(route(with_serializer(DocumentViewSet, serializer)))
    assert refused("/documents/", data=make(theirs.pk)) == answer("Document")
    assert send("/documents/", method="post", data=make(ours.pk)).status_code == HTTPStatus.CREATED
    ours.refresh_from_db()
    assert ours.name == "Taken"

    mount(route(with_serializer(PlainViewSet, serializer)))
    assert send("/documents/", method="post", data=make(theirs.pk)).status_code == HTTPStatus.CREATED
    theirs.refresh_from_db()
    assert theirs.document.organization == own.organization


@pytest.mark.parametrize("serializer", PARTS)
def test_rows_of_any_nested_serializer_are_judged(send, refused, mount, own, foreign, serializer):
    mount(route(with_serializer(DocumentViewSet, serializer)))

    def make(pk):
        return {"title": "New", "attachments": [{"name": "Part", "folder_id": pk}]}

    assert refused("/documents/", data=make(foreign.folder.pk)) == answer("Document")
    assert refused("/documents/", data=make(NEVER_WAS)) == answer("Document")
    assert send("/documents/", method="post", data=make(own.folder.pk)).status_code == HTTPStatus.CREATED


def test_shared_rows_are_not_judged(send, refused, mount, own, foreign):
    theirs = Attachment.objects.create(document=foreign.document, name="Theirs")
    data = {"title": "New", "attachments": [{"id": theirs.pk, "name": "Shared", "folder_id": foreign.folder.pk}]}
    for shared in ([], ["attachments__folder"]):
        mount(route(with_serializer(DocumentViewSet, ListedPartsSerializer, shared_fields=shared)))
        assert refused("/documents/", data=data) == answer("Document")

    mount(route(with_serializer(DocumentViewSet, ListedPartsSerializer, shared_fields=["attachments"])))
    assert send("/documents/", method="post", data=data).status_code == HTTPStatus.CREATED

    data["attachments"] = [{"name": "New", "folder_id": foreign.folder.pk}]
    mount(route(with_serializer(DocumentViewSet, ListedPartsSerializer, shared_fields=["attachments__folder"])))
    assert send("/documents/", method="post", data=data).status_code == HTTPStatus.CREATED


def test_side_effects_are_left_alone(send, mount, own, foreign):
    """A project may change rows of other models, whosever they are."""
    project = Project.objects.create(organization=foreign.organization, name="P")

    class NotifyingSerializer(DocumentSerializer):
        def create(self, validated_data):
            Note.objects.create(project=project, text="Sold")
            project.name = "Sold"
            project.save()
            return super().create(validated_data)

    mount(route(with_serializer(DocumentViewSet, NotifyingSerializer)))

    assert send("/documents/", method="post", data={"title": "New", "tags": []}).status_code == HTTPStatus.CREATED
    project.refresh_from_db()
    assert (project.name, project.notes.count()) == ("Sold", 1)


def test_row_that_was_written_and_deleted(send, mount, own, foreign):
    class ReplacingSerializer(DocumentSerializer):
        def create(self, validated_data):
            draft = super().create(validated_data)
            Document.objects.filter(pk=draft.pk).delete()
            return super().create(validated_data)

    mount(route(with_serializer(DocumentViewSet, ReplacingSerializer)))

    assert send("/documents/", method="post", data={"title": "New", "tags": []}).status_code == HTTPStatus.CREATED


class SilentSerializer(serializers.Serializer):
    """A serializer without a model, whose ``save()`` returns nothing and sets no instance."""

    title = serializers.CharField()
    folder_id = serializers.IntegerField()

    def save(self, **kwargs):
        organization = Organization.objects.get(slug="acme")
        Document.objects.create(organization=organization, **self.validated_data)

    def to_representation(self, instance):
        return {}


def test_save_without_a_result(send, refused, mount, own, foreign):
    mount(route(with_serializer(DocumentViewSet, SilentSerializer)))

    for pk in (foreign.folder.pk, NEVER_WAS):
        assert refused("/documents/", data={"title": "New", "folder_id": pk}) == answer("Document")
    assert send("/documents/", method="post", data={"title": "New", "folder_id": own.folder.pk}).status_code == 201


def test_serializer_that_saves_another_one(send, refused, mount, own, foreign):
    class OuterSerializer(DocumentSerializer):
        def create(self, validated_data):
            inner = self.context["view"].get_serializer_of_tags(data={"name": self.initial_data["tag"]})
            inner.is_valid(raise_exception=True)
            inner.save(organization=Organization.objects.get(slug=self.initial_data["tag"]))
            return super().create(validated_data)

    class TagSerializer(serializers.ModelSerializer):
        class Meta:
            model = Tag
            fields = ["name"]

    class Outer(DocumentViewSet):
        serializer_class: Any = OuterSerializer

        def get_serializer_of_tags(self, **kwargs):
            self.serializer_class = TagSerializer
            return self.get_serializer(**kwargs)

    mount(route(Outer))

    assert refused("/documents/", data={"title": "New", "tag": "globex", "tags": []}) == answer("Tag")
    assert send("/documents/", method="post", data={"title": "New", "tag": "acme", "tags": []}).status_code == 201


def test_rows_without_a_primary_key_cannot_be_judged(mount, call, own, foreign):
    class BulkList(serializers.ListSerializer):
        def create(self, validated_data):
            return Document.objects.bulk_create([Document(**each) for each in validated_data], ignore_conflicts=True)

    class BulkSerializer(serializers.ModelSerializer):
        folder_id = serializers.IntegerField()

        class Meta:
            model = Document
            fields = ["title", "folder_id"]
            list_serializer_class = BulkList

    class Bulk(DocumentViewSet):
        serializer_class = BulkSerializer

        def get_serializer(self, *args, **kwargs):
            return super().get_serializer(*args, many=True, **kwargs)

    mount(route(Bulk))

    with pytest.raises(ImproperlyConfigured, match="bulk_create.ignore_conflicts=True. cannot be judged"):
        call(
            "/documents/",
            make_key("csb", organization=own.organization)[1],
            method="post",
            data=[{"title": "New", "folder_id": foreign.folder.pk}],
        )
    assert not Document.objects.filter(title="New").exists()


def test_writes_without_signals(mount, call, own, foreign):
    """The mixin does not see them."""

    class UpdatingSerializer(UpsertSerializer):
        def create(self, validated_data):
            Document.objects.filter(pk=validated_data["id"]).update(title=validated_data["title"])
            return Document.objects.get(title="Own document")

    mount(route(with_serializer(DocumentViewSet, UpdatingSerializer)))
    data = {"id": foreign.document.pk, "title": "Changed"}

    response = call("/documents/", make_key("csb", organization=own.organization)[1], method="post", data=data)

    assert response.status_code == HTTPStatus.CREATED
    foreign.document.refresh_from_db()
    assert foreign.document.title == "Changed"


def test_writes_that_are_not_judged(send, mount, own, foreign):
    """What follows ``save()``, and the rows that point to the saved row."""

    class CollectingSerializer(serializers.ModelSerializer):
        class Meta:
            model = Folder
            fields = ["name"]

        def create(self, validated_data):
            folder = super().create(validated_data)
            folder.documents.set([foreign.document])
            return folder

    class Following(DocumentViewSet):
        def perform_create(self, serializer):
            document = serializer.save()
            document.folder = foreign.folder
            document.save()

    mount(route(with_serializer(DocumentViewSet, CollectingSerializer, queryset=Folder.objects.order_by("pk"))))
    assert send("/documents/", method="post", data={"name": "New"}).status_code == HTTPStatus.CREATED
    mount(route(Following))
    assert send("/documents/", method="post", data={"title": "New", "tags": []}).status_code == HTTPStatus.CREATED

    foreign.document.refresh_from_db()
    assert foreign.document.folder.organization == own.organization
    assert Document.objects.get(title="New").folder == foreign.folder


def test_existing_row_that_refers_to_another_organization(send, refused, mount, own, foreign):
    Document.objects.filter(pk=own.document.pk).update(seller=foreign.organization)
    address = f"/documents/{own.document.pk}/"

    mount(route(DocumentViewSet))
    assert send(address).status_code == HTTPStatus.OK
    assert refused(address, "patch", {"title": "Changed"}) == answer("Document")
    mount(route(with_serializer(DocumentViewSet, DocumentSerializer, shared_fields=["seller"])))
    assert send(address, method="patch", data={"title": "Changed"}).status_code == HTTPStatus.OK


class PageSerializer(serializers.ModelSerializer):
    """A tree: the serializer contains itself."""

    class Meta:
        model = Page
        fields = ["id", "name", "parent"]

    def get_fields(self):
        return {**super().get_fields(), "children": PageSerializer(many=True, required=False)}

    def create(self, validated_data):
        children = validated_data.pop("children", [])
        page = super().create(validated_data)
        for child in children:
            self.create({"organization": page.organization, "parent": page, **child})
        return page


def test_serializer_that_contains_itself(send, refused, mount, own, foreign):
    ours, theirs = (Page.objects.create(organization=each.organization, name="Root") for each in (own, foreign))
    mount(route(with_serializer(DocumentViewSet, PageSerializer, queryset=Page.objects.order_by("pk"))))

    def make(pk, depth):
        data = {"name": "Leaf", "parent": pk}
        for _ in range(depth):
            data = {"name": "Page", "children": [data]}
        return data

    assert [page["id"] for page in send("/documents/").json()] == [ours.pk]
    assert refused("/documents/", data=make(theirs.pk, 0))[0] == HTTPStatus.BAD_REQUEST
    for depth in (1, 2, 3):
        assert refused("/documents/", data=make(theirs.pk, depth)) == answer("Page")
        assert send("/documents/", method="post", data=make(ours.pk, depth)).status_code == HTTPStatus.CREATED


class ContractSerializer(serializers.ModelSerializer):
    id = serializers.IntegerField(required=False)

    class Meta:
        model = Contract
        fields = ["id", "title", "number"]


def test_new_row_of_a_child_model_gets_the_organization(send, mount, own, foreign):
    mount(route(with_serializer(DocumentViewSet, ContractSerializer)))

    assert send("/documents/", method="post", data={"title": "New", "number": "1"}).status_code == HTTPStatus.CREATED
    assert Contract.objects.get().organization == own.organization


@pytest.mark.parametrize("model", [Contract, Document])
def test_table_of_the_parent_model(send, refused, mount, own, foreign, model):
    """A new contract would overwrite the document with its id."""

    class Taking(ContractSerializer):
        def create(self, validated_data):
            pk = validated_data.pop("id", None)
            contract = Contract(document_ptr_id=pk, **validated_data)
            contract.save()
            return contract

    view = with_serializer(DocumentViewSet, Taking, queryset=model.objects.order_by("pk"))
    mount(route(view))

    assert refused("/documents/", data={"id": foreign.document.pk, "title": "Mine"}) == answer("Contract")
    assert send("/documents/", method="post", data={"id": own.document.pk, "title": "Own"}).status_code == 201
    assert Contract.objects.get().pk == own.document.pk


def test_row_that_the_base_manager_hides(send, refused, mount, acme, globex):
    class DraftSerializer(serializers.ModelSerializer):
        id = serializers.IntegerField(required=False)
        origin_id = serializers.IntegerField(required=False)

        class Meta:
            model = Draft
            fields = ["id", "is_hidden", "origin_id"]

    ours, theirs = (Draft.objects.create(organization=each, is_hidden=True) for each in (acme, globex))
    shown = Draft.objects.create(organization=acme)
    mount(route(with_serializer(DocumentViewSet, DraftSerializer, queryset=Draft.objects.order_by("pk"))))

    assert refused("/documents/", data={"id": theirs.pk}) == answer("Draft")
    assert refused("/documents/", data={"origin_id": theirs.pk}) == answer("Draft")
    assert send("/documents/", method="post", data={"origin_id": ours.pk}).status_code == HTTPStatus.CREATED
    assert send(f"/documents/{shown.pk}/", method="patch", data={"is_hidden": True}).status_code == HTTPStatus.OK


def test_seller_does_not_make_a_row_shared(send, compare, mount, own, foreign):
    """A document belongs to its organization alone, so its seller can attach nothing."""

    class AttachmentSerializer(serializers.ModelSerializer):
        class Meta:
            model = Attachment
            fields = ["id", "name", "document"]

    Document.objects.filter(pk=foreign.document.pk).update(seller=own.organization)
    mount(
        route(
            with_serializer(
                DocumentViewSet,
                AttachmentSerializer,
                organization_field="document__organization",
                queryset=Attachment.objects.order_by("pk"),
            )
        )
    )

    status, body = compare(
        lambda pk: {"path": "/documents/", "method": "post", "data": {"name": "New", "document": pk}},
        foreign.document.pk,
    )
    assert (status, body) == (400, '{"document":["Invalid pk \\"ID\\" - object does not exist."]}')
    assert "Foreign" not in send("/documents/", accept="text/html").content.decode()


class Listing(DocumentViewSet):
    """Actions that use the queryset without the filter backends."""

    def list(self, request, *args, **kwargs):
        return Response(self.get_queryset().values_list("title", flat=True))

    def create(self, request, *args, **kwargs):
        return Response(self.get_queryset().filter(pk__in=request.data["ids"]).delete()[0])


class Adding(Listing):
    def get_queryset(self):
        return super().get_queryset() | Document.objects.filter(title="Foreign document")


class Computing(Listing):
    queryset = None

    def get_queryset(self):
        return Document.objects.order_by("pk")


def test_queryset_of_an_action(send, mount, own, foreign):
    mount(route(Listing))

    assert send("/documents/").json() == ["Own document"]
    assert send("/documents/", method="post", data={"ids": [foreign.document.pk]}).json() == 0
    foreign.document.refresh_from_db()
    assert send(f"/documents/{own.document.pk}/").status_code == HTTPStatus.OK


@pytest.mark.parametrize("view", [Adding, Computing])
def test_override_that_adds_rows(send, mount, own, foreign, view):
    """The filter narrows what an override returns."""
    mount(route(view))

    assert send("/documents/").json() == ["Own document", "Foreign document"]
    assert send(f"/documents/{foreign.document.pk}/").status_code == HTTPStatus.NOT_FOUND
    assert send(f"/documents/{own.document.pk}/").status_code == HTTPStatus.OK


def test_queryset_with_a_parent_and_without_an_attribute(send, mount, own, foreign):
    """The model of the parent is found with the queryset, which the parent narrows."""

    class Below(DocumentViewSet):
        queryset: Any = Document.objects.order_by("pk")
        parent_lookup_kwargs = {"folder_pk": "folder__pk"}

    class Computed(Below):
        queryset = None

        def get_queryset(self):
            self.queryset = Document.objects.order_by("pk")
            try:
                return super().get_queryset()
            finally:
                self.queryset = None

    for view in (Below, Computed):
        mount(path("<folder_pk>/", view.as_view({"get": "list"})))
        assert len(send(f"/{own.folder.pk}/").json()) == 1
        assert send(f"/{foreign.folder.pk}/").status_code == HTTPStatus.NOT_FOUND


def test_view_without_a_request():
    """Tools that describe a view ask for its queryset."""
    assert DocumentViewSet().get_queryset().query.where.children == []


def test_other_views_are_not_supported():
    with pytest.raises(TypeError, match="Other: OrganizationMixin needs a GenericAPIView"):
        type("Other", (OrganizationMixin, APIView), {})
    type("Abstract", (OrganizationMixin,), {})
    type("Generic", (OrganizationMixin, CreateAPIView), {})
