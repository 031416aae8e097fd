"""The code blocks of docs/relations.md run against the models of the tests."""

from __future__ import annotations

import re
import sys
from http import HTTPStatus
from types import ModuleType
from typing import Any

import pytest
from django.urls import path
from rest_framework import serializers

from tests.checkout import ROOT
from tests.factories import make_key
from tests.models import Attachment, Document, Folder

pytestmark = pytest.mark.django_db

PAGE = (ROOT / "docs" / "relations.md").read_text()
VIEW, SERIALIZER, FILTERS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
# The names of the page, by those of the tests.
NAMES = {"product": "document", "category": "folder", '"name"': '"title"', "price": "pk"}


class OfferSerializer(serializers.ModelSerializer):
    class Meta:
        model = Attachment
        fields = ["id", "name"]


@pytest.fixture
def run(monkeypatch):
    """Return a function to run a block in a project with an app ``shop``."""

    def run(block, **names):
        shop: dict[str, Any] = {"Product": Document, "Category": Folder, "Offer": Attachment, **names}
        for name in ("shop.models", "shop.serializers"):
            module = ModuleType(name)
            vars(module).update(shop)
            monkeypatch.setitem(sys.modules, name, module)
        for name, own in NAMES.items():
            block = block.replace(name, own)
        found: dict[str, Any] = {"__name__": "page"}
        exec(compile(block, "docs/relations.md", "exec"), found)
        return found

    return run


@pytest.fixture
def raw_key(own):
    return make_key("csb", organization=own.organization)[1]


def test_view(run, call, mount, raw_key, own, foreign):
    view = run(VIEW, OfferSerializer=OfferSerializer)["OfferViewSet"]
    mount(path("<document_pk>/", view.as_view({"get": "list", "post": "create"})))

    statuses = [
        call(f"/{each.document.pk}/", raw_key, method="post", data={"name": "New"}).status_code
        for each in (own, foreign)
    ]

    assert statuses == [HTTPStatus.CREATED, HTTPStatus.NOT_FOUND]
    assert [row["name"] for row in call(f"/{own.document.pk}/", raw_key).json()] == ["New"]


def test_serializer_and_filters(run, call, mount, raw_key, own, foreign):
    serializer = run(SERIALIZER)["ProductSerializer"]
    view = run(FILTERS, ProductSerializer=serializer)["ProductViewSet"].as_view({"get": "list", "post": "create"})
    mount(path("", view))

    for each, posted, found in ((own, HTTPStatus.CREATED, HTTPStatus.OK), (foreign, 400, 400)):
        data = {"title": "New", "folder": each.folder.pk}
        assert call("/", raw_key, method="post", data=data).status_code == posted
        assert call(f"/?folder={each.folder.pk}", raw_key).status_code == found
    assert Document.objects.get(title="New").organization == own.organization
