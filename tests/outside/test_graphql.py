"""The example for GraphQL."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client

from tests.factories import MembershipFactory, make_key
from tests.models import Project

pytest.importorskip("strawberry")


@pytest.fixture
def query(shop, mount, send):
    mount(*shop("schema").urlpatterns)

    def query(text, raw_key=None, **kwargs):
        return send("/graphql", raw_key, method="post", data={"query": text}, **kwargs)

    return query


def test_fields_and_mutations(query, acme, csb):
    Project.objects.create(organization=MembershipFactory.create().organization, name="Foreign")
    mutation = 'mutation { addProduct(name: "Tent") }'
    billing = make_key("csu", user=MembershipFactory.create(organization=acme, role="billing").user)[1]

    assert query(mutation, csb).json() == {"data": {"addProduct": "Tent"}}
    response = query("{ products }", billing)
    assert response.json() == {"data": {"products": ["Tent"]}}
    assert response["Cache-Control"] == "private, no-store"
    assert response["RateLimit-Remaining"] == "299"
    refused = query(mutation, billing).json()
    assert (refused["data"], refused["errors"][0]["message"]) == (None, "You may not change products.")
    assert Project.objects.filter(organization=acme).count() == 1


def test_refusals(query, acme, cpk):
    member = MembershipFactory.create(organization=acme)

    for raw_key, status, code in [
        (None, HTTPStatus.UNAUTHORIZED, "not_authenticated"),
        ("junk", HTTPStatus.UNAUTHORIZED, "invalid_api_key"),
        (cpk, HTTPStatus.FORBIDDEN, "publishable_key_refused"),
    ]:
        refused = query("{ products }", raw_key)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert query("{ products }", user=member.user).json() == {"data": {"products": []}}
    # Another site cannot send the token.
    client = Client(enforce_csrf_checks=True)
    client.force_login(member.user)
    refused = client.post("/graphql", {"query": "{ products }"}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.FORBIDDEN, "csrf_failed")
