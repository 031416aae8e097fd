"""A project with our members and roles, and with other names in URLs."""

from __future__ import annotations

from http import HTTPStatus
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import ProtectedError
from django.test.utils import CaptureQueriesContext

from closient_auth.actors import Actor
from closient_auth.memberships import get_memberships
from closient_auth.models import LastOwnerError, Organization
from closient_auth.models.memberships import RoleMemberships
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key
from tests.memberships.adapters import NamedRoles
from tests.memberships.conftest import use

pytestmark = pytest.mark.django_db

NOT_FOUND = (HTTPStatus.NOT_FOUND, {"detail": "Not found."})
ACME = (HTTPStatus.OK, {"organization": "acme"})


@pytest.fixture
def named(settings):
    use(settings, "NamedRoles")


@pytest.fixture
def ask(named, call):
    def ask(name, **credential):
        response = call(f"/organizations/{name}/", **credential)
        return response.status_code, response.json()

    return ask


@pytest.fixture
def market(db):
    """Return an organization whose slug is not its name."""
    return OrganizationFactory.create(name="Farmers Market", slug="fm")


@pytest.fixture
def credentials(market):
    """Return the credentials of an Editor, by session and by key, of a superuser and of a business key."""
    user = MembershipFactory.create(organization=market, role="editor").user
    MembershipFactory.create(user=user, role="editor")
    return [
        {"user": user},
        {"raw_key": make_key("csu", user=user)[1]},
        {"user": UserFactory.create(is_superuser=True)},
        {"raw_key": make_key(organization=market)[1]},
    ]


def test_it_keeps_the_roles(named):
    memberships = get_memberships()

    assert type(memberships) is NamedRoles
    assert (memberships.uses_roles, memberships.names_by_itself, memberships.lists_users) == (True, True, True)
    assert not RoleMemberships().names_by_itself
    assert (memberships.get_model(), memberships.get_anchor_field()) == (None, None)


def test_names(ask, credentials, market, globex):
    found = (HTTPStatus.OK, {"organization": "fm"})

    for credential in credentials:
        for name in ("Farmers Market", "farmers market", str(market.pk), market.pk.hex.upper()):
            assert ask(name, **credential) == found
        for name in ("fm", "Farmers", str(uuid4())):
            assert ask(name, **credential) == NOT_FOUND
        is_root = bool(credential.get("user") and credential["user"].is_superuser)
        for name in ("Globex", str(globex.pk)):
            assert (ask(name, **credential) == NOT_FOUND) is not is_root


def test_slug_is_a_name_by_default(call, credentials):
    for credential in credentials:
        assert call("/organizations/fm/", **credential).status_code == HTTPStatus.OK
        assert call("/organizations/Farmers Market/", **credential).status_code == HTTPStatus.NOT_FOUND


def test_name_that_looks_like_an_id(ask, call, acme):
    text = str(uuid4())
    Organization.objects.filter(pk=acme.pk).update(name=text)
    user = MembershipFactory.create(organization=acme).user
    MembershipFactory.create()

    for credential in (
        {"user": user},
        {"raw_key": make_key("csu", user=user)[1]},
        {"user": UserFactory.create(is_superuser=True)},
        {"raw_key": make_key(organization=acme)[1]},
    ):
        assert ask(text, **credential) == ACME
        for header in (text, str(acme.pk)):
            assert call(f"/organizations/{text}/", x_organization=header, **credential).json() == ACME[1]
        assert ask(uuid4(), **credential) == NOT_FOUND


def test_id_wins_over_such_a_name(ask, acme, globex):
    Organization.objects.filter(pk=globex.pk).update(name=str(acme.pk))
    user = MembershipFactory.create(organization=acme).user
    MembershipFactory.create(organization=globex, user=user)

    assert ask(acme.pk, user=user) == ask(acme.pk, raw_key=make_key("csu", user=user)[1]) == ACME


@pytest.mark.parametrize(("setting", "name"), [("NamedRoles", "Farmers Market"), (None, "fm")])
def test_one_query_as_before(settings, credentials, market, name, setting):
    if setting:
        use(settings, setting)
    user = credentials[0]["user"]

    for names in ([name], [str(market.pk)], [name, market.pk.hex]):
        with CaptureQueriesContext(connection) as queries:
            (member,) = get_memberships().find(user, names)
            assert (member.organization, member.role) == (market, "editor")
            assert "organization.contribute_organization" in member.get_permissions()
        assert [query["sql"].split()[0] for query in queries] == ["SELECT"]


def test_permissions_are_those_of_the_role(named, market):
    member = MembershipFactory.create(organization=market, role="billing")
    expected = {"organization.view_organization", "organization.manage_billing"}
    stranger = MembershipFactory.create(role="owner").user

    assert get_memberships().get_permissions(member.user, market) == expected
    assert get_memberships().get_permissions(stranger, market) == frozenset()
    assert get_memberships().find_member(stranger, market) is None
    assert list(RoleMemberships().get_users(market)) == [member.user]


def test_rules_about_roles_stay(named, market):
    owner = MembershipFactory.create(organization=market, role="owner")

    with pytest.raises(LastOwnerError):
        owner.change_role("editor")
    with pytest.raises(ProtectedError) as caught:
        owner.user.delete()
    error = LastOwnerError.find_in(caught.value)
    assert error is not None
    assert error.organizations == [market]
    assert list(Organization.objects.owned_alone_by(owner.user)) == [market]
    ken = UserFactory.create()
    assert Organization.objects.create_organization(name="New", owner=ken, by=ken).memberships.get().role == "owner"


def test_permissions_of_a_row(named, market):
    """Code of a project may ask a row of ``Membership`` itself."""
    member = MembershipFactory.create(organization=market, role="billing")
    view = "organization.view_organization"
    here, _ = make_key("csu", user=member.user, permissions=[view])
    elsewhere, _ = make_key("csu", user=member.user, restricted_to=MembershipFactory.create().organization)

    assert member.get_permissions() == {view, "organization.manage_billing"}
    assert member.get_permissions(here) == {view}
    assert member.get_permissions(elsewhere) == frozenset()


def test_key_of_an_owner_with_less_makes_no_owner(named, market):
    """The key lacks permissions of an Owner, so it is not to make somebody who has them."""
    owner = MembershipFactory.create(organization=market, role="owner").user
    editor = MembershipFactory.create(organization=market, role="editor")
    permissions = ["organization.view_organization", "organization.manage_members"]
    key, _ = make_key("csu", user=owner, permissions=permissions)

    with pytest.raises(PermissionDenied, match=r"^Your role does not allow this change to members\.$"):
        editor.change_role("owner", by=Actor(owner, key))
    editor.refresh_from_db()
    assert editor.role == "editor"
    editor.change_role("manager", by=Actor(owner, key))
    editor.change_role("owner", by=owner)
    editor.refresh_from_db()
    assert editor.role == "owner"
