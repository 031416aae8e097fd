"""Every principal with every permission, in its own organization and in another, also with every restriction."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.decorators import publishable
from closient_auth.keys import KeyType
from closient_auth.models import ApiKey
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
            return make_credential(name, organization=organization)
        if name == "anonymous":
            return {}
        person = name.removeprefix("csu of ")
        user = UserFactory.create(**FLAGS.get(person, {}))
        if person in ROLES:
            MembershipFactory.create(organization=organization, user=user, role=ROLES[person])
        return {"user": user} if person == name else make_credential("csu", user=user)

    def make_credential(prefix, **holder):
        api_key, raw_key = make_key(prefix, **holder)
        restrict(api_key)
        return {"raw_key": raw_key}

    restrict: Any = None

    def ask(name, *, in_url=None, in_header=None, change=lambda api_key: None):
        nonlocal restrict
        prefix = f"/in/{in_url}" if in_url else ""
        headers = {"x_organization": str(in_header)} if in_header else {}
        restrict = change
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


def write(**values):
    """Return a function to write these values into the row of a key, as another program could."""
    return lambda api_key: ApiKey.objects.filter(pk=api_key.pk).update(**values)


# A change of a key, and the permissions that it leaves.
CHANGES: dict[str, tuple[Any, list[str]]] = {
    "all permissions": (write(permissions=PERMISSIONS), PERMISSIONS),
    "two permissions": (write(permissions=[PERMISSIONS[4], PERMISSIONS[0]]), [PERMISSIONS[0], PERMISSIONS[4]]),
    "one permission": (write(permissions=[PERMISSIONS[1]]), [PERMISSIONS[1]]),
    "no permission": (write(permissions=[]), []),
    "own network": (write(allowed_networks=["127.0.0.1"]), PERMISSIONS),
    "network and permissions": (
        write(allowed_networks=["::/0", "127.0.0.0/8"], permissions=PERMISSIONS[:1]),
        PERMISSIONS[:1],
    ),
}
# Changes of a key that leave nothing, wherever it is used.
REFUSED: dict[str, Any] = {
    "another network": write(allowed_networks=["203.0.113.0/24"]),
    "another network and permissions": write(allowed_networks=["203.0.113.0/24"], permissions=PERMISSIONS),
    "another page": write(allowed_origins=["https://shop.example"]),
    "malformed permissions": write(permissions=["unknown"]),
    "malformed network": write(allowed_networks=["127.0.0.0/8", "*"]),
    "malformed page": write(allowed_origins="*"),
}
KEYS = [name for name in OWN if name[:3] in KeyType.values]
USER_KEYS = [name for name in KEYS if name.startswith("csu")]
OUTSIDERS = {"outsider", "staff", "csu of outsider", "csu of staff", "csu of superuser"}


def narrow(expected, permissions):
    """Return the statuses that are left: only what was allowed, and is in the list, is allowed."""
    return tuple(
        403 if status == 200 and name not in permissions else status
        for name, status in zip(PERMISSIONS, expected, strict=True)
    )


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", KEYS)
def test_narrowed_key(ask, organization, name, change):
    foreign = MembershipFactory.create(role="owner").organization
    restrict, permissions = CHANGES[change]

    assert statuses(ask(name, in_url=organization.pk, change=restrict)) == narrow(OWN[name], permissions)
    assert statuses(ask(name, in_url=foreign.pk, change=restrict)) == FOREIGN[name]


@pytest.mark.parametrize("change", REFUSED)
@pytest.mark.parametrize("name", KEYS)
def test_key_that_is_refused_everywhere(ask, organization, name, change):
    foreign = MembershipFactory.create(role="owner").organization

    for where in (organization.pk, foreign.pk, uuid4()):
        assert statuses(ask(name, in_url=where, change=REFUSED[change])) == (403,) * 6


@pytest.mark.parametrize("name", USER_KEYS)
def test_user_key_for_one_organization(ask, organization, name):
    foreign = MembershipFactory.create(role="owner").organization

    for where, only, expected in [
        (organization, organization, OWN[name]),
        (organization, foreign, (404,) * 6),
        (foreign, organization, FOREIGN[name]),
        # The restriction to an organization gives no membership there.
        (foreign, foreign, FOREIGN[name]),
    ]:
        assert statuses(ask(name, in_url=where.pk, change=write(restricted_to=only))) == expected


@pytest.mark.parametrize("name", OWN)
def test_suspended_organization(ask, organization, name):
    """Its own keys are refused everywhere. Nobody else learns of the suspension, and a session superuser passes."""
    foreign = MembershipFactory.create(role="owner").organization
    organization.suspend()
    is_open = name == "anonymous" or name in OUTSIDERS or name.startswith("superuser")

    assert statuses(ask(name, in_url=organization.pk)) == (OWN[name] if is_open else (403,) * 6)
    assert statuses(ask(name, in_url=foreign.pk)) == ((403,) * 6 if name in ("csb", "cpk") else FOREIGN[name])


@pytest.mark.parametrize("way", ["no user keys", "shut out"])
@pytest.mark.parametrize("name", OWN)
def test_user_keys_that_an_organization_refuses(ask, organization, name, way):
    foreign = MembershipFactory.create(role="owner").organization
    organization.allow_user_keys(way == "shut out")

    def change(api_key):
        if way == "shut out" and name in USER_KEYS:
            api_key.shut_out(organization)

    is_refused = name in USER_KEYS and name not in OUTSIDERS
    assert statuses(ask(name, in_url=organization.pk, change=change)) == ((403,) * 6 if is_refused else OWN[name])
    assert statuses(ask(name, in_url=foreign.pk, change=change)) == FOREIGN[name]
