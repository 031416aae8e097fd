"""Every principal with every permission, in its own organization and in another."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.decorators import publishable
from closient_auth.keys import KeyType
from closient_auth.permissions import HasOrganizationPermission
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

PERMISSIONS = [
    "organization.view_organization",
    "organization.contribute_organization",
    "organization.manage_billing",
    "organization.manage_api_keys",
    "organization.manage_members",
    "organization.delete_organization",
]

# The statuses are in the order of PERMISSIONS: view, contribute, billing, API keys, members, delete.
OWN = {
    "anonymous": (401, 401, 401, 401, 401, 401),
    "owner": (200, 200, 200, 200, 200, 200),
    "manager": (200, 200, 200, 200, 200, 403),
    "billing": (200, 403, 200, 403, 403, 403),
    "editor": (200, 200, 403, 403, 403, 403),
    "outsider": (404, 404, 404, 404, 404, 404),
    "staff": (404, 404, 404, 404, 404, 404),
    "superuser": (200, 200, 200, 200, 200, 200),
    "superuser who is an editor": (200, 200, 200, 200, 200, 200),
    "csb": (200, 200, 200, 200, 200, 200),
    "cpk": (200, 403, 403, 403, 403, 403),
    "csu of owner": (200, 200, 200, 200, 200, 200),
    "csu of manager": (200, 200, 200, 200, 200, 403),
    "csu of billing": (200, 403, 200, 403, 403, 403),
    "csu of editor": (200, 200, 403, 403, 403, 403),
    "csu of outsider": (404, 404, 404, 404, 404, 404),
    "csu of staff": (404, 404, 404, 404, 404, 404),
    "csu of superuser": (404, 404, 404, 404, 404, 404),
    "csu of superuser who is an editor": (200, 200, 403, 403, 403, 403),
}
FOREIGN = {
    "anonymous": (401, 401, 401, 401, 401, 401),
    "owner": (404, 404, 404, 404, 404, 404),
    "manager": (404, 404, 404, 404, 404, 404),
    "billing": (404, 404, 404, 404, 404, 404),
    "editor": (404, 404, 404, 404, 404, 404),
    "outsider": (404, 404, 404, 404, 404, 404),
    "staff": (404, 404, 404, 404, 404, 404),
    "superuser": (200, 200, 200, 200, 200, 200),
    "superuser who is an editor": (200, 200, 200, 200, 200, 200),
    "csb": (404, 404, 404, 404, 404, 404),
    "cpk": (404, 404, 404, 404, 404, 404),
    "csu of owner": (404, 404, 404, 404, 404, 404),
    "csu of manager": (404, 404, 404, 404, 404, 404),
    "csu of billing": (404, 404, 404, 404, 404, 404),
    "csu of editor": (404, 404, 404, 404, 404, 404),
    "csu of outsider": (404, 404, 404, 404, 404, 404),
    "csu of staff": (404, 404, 404, 404, 404, 404),
    "csu of superuser": (404, 404, 404, 404, 404, 404),
    "csu of superuser who is an editor": (404, 404, 404, 404, 404, 404),
}
FLAGS = {
    "staff": {"is_staff": True},
    "superuser": {"is_superuser": True, "is_staff": True},
    "superuser who is an editor": {"is_superuser": True, "is_staff": True},
}
ROLES = {
    "owner": "owner",
    "manager": "manager",
    "billing": "billing",
    "editor": "editor",
    "superuser who is an editor": "editor",
}


@publishable
class View(APIView):
    permission_classes = [HasOrganizationPermission]
    required_permissions = ""

    def get(self, request, **kwargs):
        return Response()


def test_every_key_type_has_its_rows():
    assert {name.partition(" of ")[0] for name in OWN if name[:3] in KeyType.values} == set(KeyType.values)
    assert OWN.keys() == FOREIGN.keys()


@pytest.fixture(autouse=True)
def urls(mount):
    views = {permission: View.as_view(required_permissions=permission) for permission in PERMISSIONS}
    mount(
        *(path(f"in/<organization_id>/{permission}/", view) for permission, view in views.items()),
        *(path(f"{permission}/", view) for permission, view in views.items()),
    )


@pytest.fixture
def organization():
    return OrganizationFactory.create()


@pytest.fixture
def ask(call, organization):
    """Return a function to get a principal's response for each permission in an organization."""

    def credential(name):
        if name in KeyType.values:
            return {"raw_key": make_key(name, organization=organization)[1]}
        if name == "anonymous":
            return {}
        person = name.removeprefix("csu of ")
        user = UserFactory.create(**FLAGS.get(person, {}))
        if person in ROLES:
            MembershipFactory.create(organization=organization, user=user, role=ROLES[person])
        return {"user": user} if person == name else {"raw_key": make_key("csu", user=user)[1]}

    def ask(name, *, in_url=None, in_header=None):
        prefix = f"/in/{in_url}" if in_url else ""
        headers = {"x_organization": str(in_header)} if in_header else {}
        own = credential(name)
        return [call(f"{prefix}/{permission}/", **own, **headers) for permission in PERMISSIONS]

    return ask


def statuses(responses):
    return tuple(response.status_code for response in responses)


@pytest.mark.parametrize(("name", "expected"), OWN.items())
def test_own_organization(ask, organization, name, expected):
    assert statuses(ask(name, in_url=organization.pk)) == expected
    assert statuses(ask(name, in_header=organization.slug)) == expected


@pytest.mark.parametrize(("name", "expected"), FOREIGN.items())
def test_foreign_organization(ask, name, expected):
    # The organization has an owner, so a query without a filter by user would find a member.
    foreign = MembershipFactory.create(role="owner").organization

    assert statuses(ask(name, in_url=foreign.pk)) == expected
    assert statuses(ask(name, in_header=foreign.slug)) == expected


@pytest.mark.parametrize("name", [name for name in FOREIGN if name != "anonymous" and not name.startswith("superuser")])
def test_foreign_organization_answers_as_one_that_never_was(ask, name):
    foreign = MembershipFactory.create(role="owner").organization

    there = [(response.content, str(response.headers)) for response in ask(name, in_url=foreign.pk)]
    nowhere = [(response.content, str(response.headers)) for response in ask(name, in_url=uuid4())]
    assert there == nowhere
