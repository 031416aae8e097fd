"""Parents in nested routes: another organization's parent is one that never was."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from rest_framework import serializers
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ModelViewSet
from rest_framework_nested.routers import NestedSimpleRouter
from rest_framework_nested.viewsets import NestedViewSetMixin

from closient_auth.filters import OrganizationFilterBackend
from closient_auth.mixins import OrganizationMixin
from closient_auth.permissions import HasOrganizationPermission
from tests.factories import make_key
from tests.models import Attachment, Document, Folder
from tests.relations.conftest import NEVER_WAS
from tests.relations.views import DocumentSerializer, FolderViewSet

pytestmark = pytest.mark.django_db


class AttachmentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Attachment
        fields = ["id", "name"]


class AttachmentParentSerializer(AttachmentSerializer):
    class Meta(AttachmentSerializer.Meta):
        fields = ["id", "name", "document"]


class PlainAttachments(ModelViewSet):
    """Without the mixin, a new row gets the parent that the URL names, whatever it is."""

    throttle_classes = []
    permission_classes = [HasOrganizationPermission]
    filter_backends = [OrganizationFilterBackend]
    organization_field = "document__organization"
    queryset = Attachment.objects.order_by("pk")
    serializer_class = AttachmentSerializer

    def get_queryset(self):
        return super().get_queryset().filter(document=self.kwargs["document_pk"])

    def perform_create(self, serializer):
        serializer.save(document_id=self.kwargs["document_pk"])


class Attachments(OrganizationMixin, ModelViewSet):
    throttle_classes = []
    organization_field = "document__organization"
    parent_lookup_kwargs = {"document_pk": "document__pk"}
    queryset = Attachment.objects.order_by("pk")
    serializer_class: Any = AttachmentSerializer


class AttachmentsByColumn(Attachments):
    parent_lookup_kwargs = {"document_pk": "document_id"}


class AttachmentsBefore(OrganizationMixin, NestedViewSetMixin, ModelViewSet):
    throttle_classes = []
    organization_field = "document__organization"
    parent_lookup_kwargs = {"document_pk": "document__pk"}
    queryset = Attachment.objects.order_by("pk")
    serializer_class = AttachmentParentSerializer


class AttachmentsAfter(NestedViewSetMixin, OrganizationMixin, ModelViewSet):
    throttle_classes = []
    organization_field = "document__organization"
    parent_lookup_kwargs = {"document_pk": "document__pk"}
    queryset = Attachment.objects.order_by("pk")
    serializer_class = AttachmentParentSerializer


def nest(viewset):
    parents = SimpleRouter()
    parents.register("documents", FolderViewSet, basename="document")
    nested = NestedSimpleRouter(parents, "documents", lookup="document")
    nested.register("attachments", viewset, basename="attachment")
    return path("", include(nested.urls))


@pytest.fixture
def attachments(own, foreign):
    return [Attachment.objects.create(document=each.document, name="A") for each in (own, foreign)]


def test_without_a_cure_a_foreign_parent_gets_a_row(send, mount, attachments, foreign):
    mount(nest(PlainAttachments))

    created = send(f"/documents/{foreign.document.pk}/attachments/", method="post", data={"name": "Planted"})

    assert created.status_code == HTTPStatus.CREATED
    assert foreign.document.attachments.filter(name="Planted").count() == 1


VIEWS = [Attachments, AttachmentsByColumn, AttachmentsBefore, AttachmentsAfter]


@pytest.mark.parametrize("view", VIEWS)
def test_foreign_parent_is_missing(send, mount, compare, attachments, own, foreign, view):
    mount(nest(view))

    for method, place in (
        ("get", ""),
        ("post", ""),
        ("get", f"{attachments[1].pk}/"),
        ("patch", f"{attachments[1].pk}/"),
        ("delete", f"{attachments[1].pk}/"),
        ("options", ""),
        ("get", f"{attachments[0].pk}/"),
    ):
        status, body = compare(
            lambda pk, method=method, place=place: {
                "path": f"/documents/{pk}/attachments/{place}",
                "method": method,
                "data": {"name": "Planted"},
            },
            foreign.document.pk,
        )
        assert (status, body) == (404, '{"detail":"No Document matches the given query."}')
    assert list(Attachment.objects.order_by("pk").values_list("name", flat=True)) == ["A", "A"]


@pytest.mark.parametrize("view", VIEWS)
def test_own_parent(send, mount, attachments, own, foreign, view):
    other = Document.objects.create(organization=own.organization, title="Other")
    Attachment.objects.create(document=other, name="B")
    mount(nest(view))
    address = f"/documents/{own.document.pk}/attachments/"

    assert [row["id"] for row in send(address).json()] == [attachments[0].pk]
    created = send(address, method="post", data={"name": "New", "document": foreign.document.pk})
    assert created.status_code == HTTPStatus.CREATED
    assert Attachment.objects.get(name="New").document == own.document
    assert send(f"{address}{attachments[0].pk}/", method="patch", data={"name": "C"}).json()["name"] == "C"
    assert send(f"{address}{attachments[1].pk}/").status_code == HTTPStatus.NOT_FOUND
    assert "Foreign" not in send(address, accept="text/html").content.decode()


def test_id_that_is_none(send, mount, attachments):
    mount(nest(Attachments))

    assert send("/documents/none/attachments/").status_code == HTTPStatus.NOT_FOUND


def test_bulk_creation(send, mount, attachments, own, foreign):
    class Bulk(Attachments):
        def get_serializer(self, *args, **kwargs):
            return super().get_serializer(*args, many=isinstance(kwargs.get("data"), list), **kwargs)

    mount(nest(Bulk))
    data = [{"name": "New 1"}, {"name": "New 2"}]

    assert send(f"/documents/{foreign.document.pk}/attachments/", method="post", data=data).status_code == 404
    assert send(f"/documents/{own.document.pk}/attachments/", method="post", data=data).status_code == 201
    assert own.document.attachments.filter(name__startswith="New").count() == 2


class DeepAttachments(Attachments):
    """The URL names the parent and its parent."""

    parent_lookup_kwargs = {"folder_pk": "document__folder__pk", "document_pk": "document__pk"}


def test_parent_of_the_parent(send, mount, compare, attachments, own, foreign):
    view = DeepAttachments.as_view({"get": "list", "post": "create"})
    mount(path("folders/<folder_pk>/documents/<document_pk>/", view))
    empty = Folder.objects.create(organization=own.organization, name="Empty")

    assert len(send(f"/folders/{own.folder.pk}/documents/{own.document.pk}/").json()) == 1
    for method in ("get", "post"):

        def make(pk, document, method=method):
            return {"path": f"/folders/{pk}/documents/{document}/", "method": method, "data": {"name": "New"}}

        status, _ = compare(lambda pk, make=make: make(pk, own.document.pk), foreign.folder.pk)
        assert status == HTTPStatus.NOT_FOUND
        status, _ = compare(lambda pk, make=make: make(own.folder.pk, pk), foreign.document.pk)
        assert status == HTTPStatus.NOT_FOUND
        assert send(**make(empty.pk, own.document.pk)).status_code == HTTPStatus.NOT_FOUND
    assert Attachment.objects.count() == 2


def test_shared_parent(send, mount, attachments, foreign):
    """A review of a foreign document belongs to its folder's organization."""

    class Reviews(Attachments):
        organization_field = "folder__organization"
        shared_fields = ["document"]
        serializer_class = type(
            "Serializer",
            (AttachmentSerializer,),
            {"Meta": type("Meta", (AttachmentSerializer.Meta,), {"fields": ["id", "name", "folder"]})},
        )

    mount(nest(Reviews))
    address = f"/documents/{foreign.document.pk}/attachments/"
    folder = Folder.objects.get(name="Own folder")

    assert send(address, method="post", data={"name": "New", "folder": folder.pk}).status_code == HTTPStatus.CREATED
    assert [row["name"] for row in send(address).json()] == ["New"]
    assert send(address.replace(str(foreign.document.pk), str(NEVER_WAS))).status_code == HTTPStatus.NOT_FOUND


def test_parent_should_be_a_foreign_key(call, mount, own):
    class Tagged(OrganizationMixin, ModelViewSet):
        parent_lookup_kwargs = {"tag_pk": "tags__pk"}
        queryset = Document.objects.order_by("pk")
        serializer_class = DocumentSerializer

    mount(path("<tag_pk>/", Tagged.as_view({"get": "list"})))

    with pytest.raises(ImproperlyConfigured, match="Tagged.parent_lookup_kwargs should begin with a foreign key"):
        call(f"/{own.tag.pk}/", make_key("csb", organization=own.organization)[1])


def test_parent_takes_one_query(call, mount, attachments, own):
    class Flat(Attachments):
        parent_lookup_kwargs = {}

    _, raw_key = make_key("csb", organization=own.organization)
    numbers = []
    for view in (Flat, Attachments):
        mount(nest(view))
        with CaptureQueriesContext(connection) as queries:
            assert call(f"/documents/{own.document.pk}/attachments/", raw_key).status_code == HTTPStatus.OK
        numbers.append(len(queries))

    assert numbers[1] - numbers[0] == 1


@pytest.mark.parametrize("has_mixin", [False, True])
def test_drf_extensions(send, mount, compare, attachments, own, foreign, has_mixin):
    # The package requires a Django before 6.0.
    routers = pytest.importorskip("rest_framework_extensions.routers")
    extension: Any = pytest.importorskip("rest_framework_extensions.mixins").NestedViewSetMixin

    class Extended(extension, PlainAttachments):
        def get_queryset(self):
            return self.filter_queryset_by_parents_lookups(Attachment.objects.order_by("pk"))

        def perform_create(self, serializer):
            serializer.save(document_id=self.kwargs["parent_lookup_document"])

    class Cured(OrganizationMixin, extension, ModelViewSet):
        throttle_classes = []
        organization_field = "document__organization"
        parent_lookup_kwargs = {"parent_lookup_document": "document__pk"}
        queryset = Attachment.objects.order_by("pk")
        serializer_class = AttachmentSerializer

    router = routers.ExtendedSimpleRouter()
    parent = router.register("documents", FolderViewSet, basename="document")
    view = Cured if has_mixin else Extended
    parent.register("attachments", view, basename="attachment", parents_query_lookups=["document"])
    mount(path("", include(router.urls)))

    def make(pk, method="post"):
        return {"path": f"/documents/{pk}/attachments/", "method": method, "data": {"name": "New"}}

    if not has_mixin:
        assert send(**make(foreign.document.pk)).status_code == HTTPStatus.CREATED
        return
    for method in ("get", "post"):
        status, _ = compare(lambda pk, method=method: make(pk, method), foreign.document.pk)
        assert status == HTTPStatus.NOT_FOUND
    assert send(**make(own.document.pk)).status_code == HTTPStatus.CREATED
    assert [row["name"] for row in send(**make(own.document.pk, "get")).json()] == ["A", "New"]
