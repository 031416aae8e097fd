"""``CurrentOrganizationDefault``: constraints that include the organization are checked before the database."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction
from rest_framework import serializers

from closient_auth.fields import CurrentOrganizationDefault
from tests.models import Folder
from tests.relations.views import FolderSerializer, FolderViewSet, PlainViewSet, route, with_serializer

pytestmark = pytest.mark.django_db


class UniqueSerializer(FolderSerializer):
    organization = serializers.HiddenField(default=CurrentOrganizationDefault())

    class Meta(FolderSerializer.Meta):
        fields = ["id", "name", "organization"]


class PlainFolders(PlainViewSet):
    queryset = Folder.objects.order_by("pk")
    serializer_class = FolderSerializer


class DefaultFolders(PlainFolders):
    """The default sets the organization, so ``perform_create()`` is not needed."""

    serializer_class = UniqueSerializer

    def perform_create(self, serializer):
        serializer.save()


def test_without_a_cure_the_constraint_is_an_error(send, mount, own):
    mount(route(PlainFolders))

    with pytest.raises(IntegrityError), transaction.atomic():
        send("/documents/", method="post", data={"name": "Own folder"})


@pytest.mark.parametrize("view", [DefaultFolders, with_serializer(FolderViewSet, UniqueSerializer)])
def test_name_that_exists(send, mount, own, foreign, view):
    mount(route(view))
    second = Folder.objects.create(organization=own.organization, name="Second")
    error = {"non_field_errors": ["The fields organization, name must make a unique set."]}

    for method, address in (("post", ""), ("patch", f"{second.pk}/"), ("put", f"{second.pk}/")):
        response = send(f"/documents/{address}", method=method, data={"name": "Own folder"})
        assert (response.status_code, response.json()) == (HTTPStatus.BAD_REQUEST, error)
        # The name of another organization's row is free.
        data = {"name": f"Foreign folder {method}", "organization": str(foreign.organization.pk)}
        Folder.objects.create(organization=foreign.organization, name=data["name"])
        response = send(f"/documents/{address}", method=method, data=data)
        assert response.status_code in (HTTPStatus.CREATED, HTTPStatus.OK)
        assert response.json() == {"id": response.json()["id"], "name": data["name"]}
        assert Folder.objects.get(pk=response.json()["id"]).organization == own.organization
    # A row does not conflict with itself.
    assert send(f"/documents/{own.folder.pk}/", method="patch", data={"name": "Own folder"}).status_code == 200


def test_serializer_without_a_request(own):
    with pytest.raises(ImproperlyConfigured, match="'organization' needs the request"):
        UniqueSerializer(data={"name": "New"}).is_valid()


@pytest.mark.parametrize("name", ["organization", "tenant"])
def test_serializer_without_a_model(send, mount, own, name):
    """The default is the organization also if no model field has the name."""
    seen = []

    class FreeSerializer(serializers.Serializer):
        def validate(self, attrs):
            seen.append(attrs)
            return attrs

        def create(self, validated_data):
            return {}

    class ModelFreeSerializer(FolderSerializer):
        class Meta(FolderSerializer.Meta):
            fields = ["name", name]

        create = FreeSerializer.create
        validate = FreeSerializer.validate

        def to_representation(self, instance):
            return {}

    for base in (FreeSerializer, ModelFreeSerializer):
        hidden = {name: serializers.HiddenField(default=CurrentOrganizationDefault())}
        mount(route(with_serializer(FolderViewSet, type("Serializer", (base,), hidden))))
        assert send("/documents/", method="post", data={"name": "New"}).status_code == HTTPStatus.CREATED
    assert [each[name] for each in seen] == [own.organization] * 2


def test_repr():
    assert repr(CurrentOrganizationDefault()) == "CurrentOrganizationDefault()"
