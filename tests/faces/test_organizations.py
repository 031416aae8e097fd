"""The organization of a request, and the permission in it."""

from __future__ import annotations

from http import HTTPStatus
from uuid import uuid4

import pytest

from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def credentials(acme, editor):
    """Return one credential of each kind for Acme, as arguments of ``send()``."""
    return [
        {"raw_key": make_key("csb", organization=acme)[1]},
        {"raw_key": make_key("csu", user=editor)[1]},
        {"user": editor},
    ]


def test_own_organization_by_url_and_by_header(send, acme, credentials):
    for credential in credentials:
        for response in (
            send("/organizations/acme/", **credential),
            send("/view/", **credential, x_organization=str(acme.pk)),
            send(f"/organizations/{acme.pk}/", **credential, x_organization="acme"),
        ):
            assert (response.status_code, response.json()["organizations"]) == (HTTPStatus.OK, ["acme"])


def test_foreign_organization_answers_as_an_unknown_one(send, globex, credentials):
    for credential in credentials:
        responses = [
            *(send(f"/organizations/{name}/", **credential) for name in ("globex", globex.pk, "unknown", uuid4())),
            *(send("/view/", **credential, x_organization=name) for name in ("globex", "unknown")),
            *(send("/organizations/acme/", **credential, x_organization=name) for name in ("globex", "unknown")),
        ]
        assert {response.status_code for response in responses} == {HTTPStatus.NOT_FOUND}
        assert len({response.content for response in responses}) == 1
        assert len({tuple(sorted(response.headers.items())) for response in responses}) == 1


def test_several_memberships(send, acme, editor, globex, credentials):
    MembershipFactory.create(user=editor, organization=globex)
    own = [
        {"id": str(organization.pk), "slug": organization.slug, "name": organization.name}
        for organization in (acme, globex)
    ]
    OrganizationFactory.create()

    for credential in credentials[1:]:
        response = send("/view/", **credential)
        body = response.json()
        assert (response.status_code, body["code"]) == (HTTPStatus.BAD_REQUEST, "organization_required")
        assert sorted(body["organizations"], key=lambda organization: organization["slug"]) == own
        assert send("/view/", **credential, x_organization="globex").json()["organizations"] == ["globex"]


def test_no_membership(send):
    user = UserFactory.create()

    for credential in ({"raw_key": make_key("csu", user=user)[1]}, {"user": user}):
        response = send("/view/", **credential)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.BAD_REQUEST, "organization_required")
        assert response.json()["organizations"] == []


def test_missing_permission(send, credentials):
    for credential in credentials[1:]:
        response = send("/billing/", **credential)
        body = response.json()
        assert (response.status_code, body["code"]) == (HTTPStatus.FORBIDDEN, "permission_denied")
        assert body["required_permission"] == "organization.manage_billing"
    assert send("/billing/", **credentials[0]).json()["may_bill"] is True


def test_permission_by_method(send, acme):
    """The role Billing may view, and may not contribute."""
    user = MembershipFactory.create(organization=acme, role="billing").user

    for credential in ({"raw_key": make_key("csu", user=user)[1]}, {"user": user}):
        assert send("/view/", **credential).status_code == HTTPStatus.OK
        response = send("/view/", **credential, method="post")
        assert response.status_code == HTTPStatus.FORBIDDEN
        assert response.json()["required_permission"] == "organization.contribute_organization"
        assert send("/billing/", **credential).json()["may_bill"] is True


def test_foreign_organization_comes_before_the_permission(send, globex, credentials):
    for credential in credentials:
        assert send("/billing/", **credential, x_organization="globex").status_code == HTTPStatus.NOT_FOUND
