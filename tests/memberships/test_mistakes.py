"""Classes of a project that are unusual, or wrong."""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError

from closient_auth.actors import Actor
from closient_auth.memberships import Member, get_memberships
from closient_auth.models import ApiKey, Invitation, Membership
from closient_auth.principals import OrganizationPrincipal, get_principal
from closient_auth.roles import Permission
from tests.factories import OrganizationFactory, UserFactory, make_invitation, make_key
from tests.memberships.conftest import use
from tests.memberships.models import Team, TeamDocument
from tests.memberships.people import join, make_team

pytestmark = pytest.mark.django_db

REFUND = "orders.refund"


@pytest.fixture
def acme(teams):
    return make_team("Acme")


@pytest.fixture
def globex(teams):
    return make_team("Globex")


@pytest.mark.parametrize("name", ["AnchoredTeams", "TrustingTeams"])
def test_own_get_anchor_gives_a_key_of_a_superuser_nothing_elsewhere(settings, acme, globex, name):
    settings.AUTHENTICATION_BACKENDS = ["closient_auth.backends.OrganizationBackend"]
    use(settings, name)
    root, clerk = UserFactory.create(is_superuser=True), join(acme, "clerk")
    api_key, _ = make_key("csb", organization=acme.organization)
    principal = OrganizationPrincipal(api_key)

    users: Any = ((get_principal(make_key("csu", user=root)[0]), False), (clerk, True), (principal, True))
    for user, expected in users:
        assert [user.has_perm(REFUND, each) for each in (acme, acme.organization)] == [expected] * 2
        assert [user.has_perm(REFUND, each) for each in (globex, globex.organization)] == [False] * 2
        document = TeamDocument(team=acme, name="Plan")
        assert not any(user.has_perm("tests.fly", each) for each in ("Acme", 7) if user is not root)
        # Django asks its own backends about other rows.
        assert user.has_perm(REFUND, document) is (user not in (clerk, principal))


def test_unknown_model_gives_a_key_of_a_superuser_nothing(settings, acme):
    use(settings, "UnknownTeams")
    key, _ = make_key("csu", user=UserFactory.create(is_superuser=True))

    principal: Any = get_principal(key)
    assert not principal.has_perm(REFUND, acme)


@pytest.mark.parametrize("rows", [Team.objects.all(), [], None])
def test_organizations_that_are_none(settings, acme, call, monkeypatch, rows):
    monkeypatch.setattr(type(get_memberships()), "get_organizations", lambda self, user: rows)
    shown = "a queryset of tests.Team" if isinstance(rows, type(Team.objects.all())) else repr(rows)

    with pytest.raises(ImproperlyConfigured) as caught:
        call("/organization/", user=join(acme, "clerk"))
    text = f"get_organizations() should return a queryset of closient_auth.Organization, not {shown}."
    assert str(caught.value) == text


def test_names_that_are_members_of_an_enumeration():
    # The text of a member of a ``StrEnum`` would be its value.
    class Name(str, Enum):  # noqa: UP042
        REFUND = "orders.refund"

    assert Member(None, lambda: [Name.REFUND]).get_permissions() == {"orders.refund"}


@pytest.mark.parametrize("names", [[("orders.refund",)], [7], iter([None])])
def test_names_that_are_no_text(names):
    with pytest.raises(ImproperlyConfigured, match=r"^get_permissions\(\) should return names of permissions, not "):
        Member(None, lambda: names).get_permissions()


@pytest.mark.parametrize("name", ["acme", "", "2030-99-99", "٣"])
@pytest.mark.parametrize("adapter", ["TimedTeams", "NumberedTeams"])
def test_names_that_the_project_cannot_compare(settings, acme, call, name, adapter):
    use(settings, adapter)
    _, raw_key = make_key("csb", organization=acme.organization)

    for credential in ({"user": join(acme, "clerk")}, {"raw_key": raw_key}):
        response = call("/organization/", x_organization=name, **credential)
        assert response.status_code == HTTPStatus.NOT_FOUND


def test_class_that_forgets_the_organizations_to_choose_from(settings, acme, globex, call):
    use(settings, "CarelessTeams")
    clerk = join(acme, "clerk")

    assert call("/organization/", user=clerk, x_organization="Acme.Inc").status_code == HTTPStatus.OK
    foreign = call("/organization/", user=clerk, x_organization="Globex.Inc")
    assert (foreign.status_code, foreign.json()) == (HTTPStatus.NOT_FOUND, {"detail": "Not found."})


def test_budget_of_a_name_that_is_a_uuid(settings, acme, call, django_assert_num_queries):
    Team.objects.filter(pk=acme.pk).update(code="9d1c5622-c530-44fd-904b-171885480cd2")
    user = join(acme, "clerk")
    _, raw_key = make_key("csu", user=user)

    # The key, the organization, the permissions, and the last use.
    with django_assert_num_queries(4):
        call("/organization/", raw_key, x_organization="9d1c5622-c530-44fd-904b-171885480cd2")


def test_names_that_clients_see(settings, acme, globex, call):
    use(settings, "HandleMemberships")
    user = join(acme, "clerk")

    response = call("/organization/", user=user, x_organization="Acme.Inc")
    assert response.status_code == HTTPStatus.OK
    globex.roles.create(user=user, name="clerk")
    refused = call("/organization/", user=user).json()
    assert refused["detail"] == "Set the X-Organization header to the id or slug of your organization."
    assert [each["slug"] for each in refused["organizations"]] == ["Acme.Inc", "Globex.Inc"]


def test_members_that_are_a_union(settings, acme):
    use(settings, "UnionTeams")
    lead, clerk = join(acme, "lead"), join(acme, "clerk", "guest")
    keys = {make_key("csu", user=user)[0].pk for user in (lead, clerk)}
    other, _ = make_key("csu", user=UserFactory.create())

    found = ApiKey.objects.able_in(acme.organization)

    assert set(found.values_list("pk", flat=True)) == keys
    users: Any = get_memberships().find_users(acme.organization)
    assert users.count() == 2
    assert other.pk not in keys


def test_key_of_a_person_gets_nothing_that_the_project_adds_later(settings, acme, monkeypatch):
    use(settings, "AllMemberships")
    api_key, _ = ApiKey.objects.create_key(prefix="csb", organization=acme.organization, by=join(acme, "lead"))
    assert api_key.permissions == sorted([*Permission, REFUND])

    monkeypatch.setattr(type(get_memberships()), "permissions", [REFUND, "payouts.approve"])
    assert "payouts.approve" not in OrganizationPrincipal(api_key).permissions
    # Trusted code is not limited.
    trusted, _ = ApiKey.objects.create_key(prefix="csb", organization=acme.organization)
    assert "payouts.approve" in OrganizationPrincipal(trusted).permissions


def test_pending_invitation_is_not_accepted(settings):
    root = UserFactory.create(is_superuser=True)
    invitation, token = make_invitation(OrganizationFactory.create(), "guest@example.com", by=root, role="owner")
    guest = UserFactory.create(email=invitation.email)
    use(settings, "TeamMemberships")

    with pytest.raises(ValidationError) as caught:
        Invitation.objects.accept(token, guest, by=Actor(guest))
    assert caught.value.code == "invalid_invitation"
    assert not Membership.objects.exists()

    settings.CLOSIENT_AUTH = {}
    assert Invitation.objects.accept(token, guest, by=Actor(guest)).role == "owner"


def test_command_with_the_name_of_two_teams(acme, globex, refuse):
    Team.objects.update(code="Twin")

    refused = refuse("create_api_key", "csb", "--organization", "Twin", "--name", "server")
    assert refused.error == "Several organizations are named 'Twin'. Use an id shown in the admin."
    assert not ApiKey.objects.exists()
