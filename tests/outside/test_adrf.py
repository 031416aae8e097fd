"""The example for adrf."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from adrf.routers import SimpleRouter
from adrf.serializers import ModelSerializer

from tests.factories import MembershipFactory, make_key
from tests.models import Project


class ProductSerializer(ModelSerializer):  # type: ignore[misc]
    class Meta:
        model = Project
        fields = ["id", "name"]


@pytest.fixture
def urls(shop, mount):
    shop("serializers", ProductSerializer=ProductSerializer)
    router = SimpleRouter(trailing_slash=False)
    router.register("products", shop("viewsets").ProductViewSet)
    mount(*router.urls)


@pytest.mark.usefixtures("urls")
def test_actions_have_their_permissions(send, acme, csb, cpk):
    editor = MembershipFactory.create(organization=acme, role="editor").user
    _, csu = make_key("csu", user=editor)

    created = send("/products", csu, method="post", data={"name": "Tent"})
    assert (created.status_code, created.json()["name"]) == (HTTPStatus.CREATED, "Tent")
    assert [product["name"] for product in send("/products", cpk).json()] == ["Tent"]
    assert send("/products", make_key("csb")[1]).json() == []
    path = f"/products/{created.json()['id']}"
    for method in ("put", "patch"):
        assert send(path, csu, method=method, data={"name": "Big tent"}).json()["name"] == "Big tent"
    assert send(path, cpk).json()["name"] == "Big tent"
    assert send(path, cpk, method="patch", data={}).json()["code"] == "publishable_key_refused"
    refused = send(path, csu, method="delete")
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.FORBIDDEN, "permission_denied")
    assert send(path, csb, method="delete").status_code == HTTPStatus.NO_CONTENT
