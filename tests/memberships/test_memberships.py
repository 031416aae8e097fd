"""The class that a project subclasses."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from closient_auth.memberships import Member, Memberships, get_memberships
from closient_auth.models import Organization
from closient_auth.models.memberships import RoleMemberships
from tests.factories import UserFactory
from tests.memberships.adapters import CompanyMemberships, TeamMemberships
from tests.memberships.conftest import use
from tests.memberships.models import Company, Team
from tests.memberships.people import employ, make_company, make_team

pytestmark = pytest.mark.django_db


def test_default():
    assert type(get_memberships()) is RoleMemberships


def test_one_instance_for_all_threads(settings):
    use(settings, "TeamMemberships")

    assert get_memberships() is get_memberships()
    assert type(get_memberships()) is TeamMemberships


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("tests.memberships.adapters.Nothing", "cannot be imported: Module .* does not define"),
        ("tests.nowhere.Nothing", "cannot be imported: No module named 'tests.nowhere'"),
        ("Nothing", "cannot be imported: Nothing doesn't look like a module path"),
        ("tests.memberships.models.Team", "should name a subclass of Memberships, not 'tests.memberships.models.Team'"),
        ("tests.memberships.people.join", "should name a subclass of Memberships"),
    ],
)
def test_setting_that_names_no_class(settings, path, told):
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": path}

    with pytest.raises(ImproperlyConfigured, match=rf"^CLOSIENT_AUTH\['MEMBERSHIPS'\] {told}"):
        get_memberships()


@pytest.mark.parametrize("name", ["get_organizations", "get_permissions"])
def test_what_a_project_has_to_define(name):
    class Unfinished(Memberships):
        pass

    arguments = [UserFactory.create(), Organization()][: 1 if name == "get_organizations" else 2]
    with pytest.raises(NotImplementedError, match=rf"Unfinished should have a method {name}\(\)\.$"):
        getattr(Unfinished(), name)(*arguments)


def test_what_a_project_need_not_define(companies):
    company, organization = make_company("Acme")
    memberships = Memberships()

    assert memberships.get_users(organization) is None
    assert (memberships.lists_users, memberships.names_by_itself, memberships.uses_roles) == (False, False, False)
    assert memberships.get_name(company) == "Acme"
    for name in ("acme", str(organization.pk)):
        assert list(memberships.named(Organization.objects.all(), name)) == [organization]
    assert (TeamMemberships().lists_users, TeamMemberships().names_by_itself) == (False, True)
    assert (CompanyMemberships().lists_users, CompanyMemberships().names_by_itself) == (True, False)


def test_model_of_the_teams():
    class Mistaken(Memberships):
        model = "tests.Nothing"

    class Misspelt(Memberships):
        model = "Company"

    assert (TeamMemberships().get_model(), TeamMemberships().get_anchor_field()) == (Team, "organization")
    assert (CompanyMemberships().get_model(), CompanyMemberships().get_anchor_field()) == (Company, None)
    assert (RoleMemberships().get_model(), RoleMemberships().get_anchor_field()) == (None, None)
    for cls in (Mistaken, Misspelt):
        with pytest.raises(ImproperlyConfigured, match=rf"{cls.__name__}\.model does not name a model: "):
            cls().get_model()


def test_organization_of_a_team(teams):
    team, memberships = make_team("Acme"), TeamMemberships()
    unanchored = Team(name="New")

    assert memberships.get_anchor(team) == memberships.get_anchor(team.organization) == team.organization
    assert memberships.get_anchor(unanchored) is None
    assert [memberships.is_organization(obj) for obj in (team, team.organization, unanchored)] == [True] * 3
    for obj in (None, team.pk, team.organization.pk, "Acme.Inc", Company()):
        assert memberships.get_anchor(obj) is None
        assert not memberships.is_organization(obj)
    assert not RoleMemberships().is_organization(team)
    assert RoleMemberships().is_organization(team.organization)


@pytest.mark.parametrize("names", [("b", "a"), {"a", "b"}, frozenset("ab"), ["a", "b", "b"]])
def test_permissions_of_a_member(names):
    assert Member(Organization(), lambda: names).get_permissions() == {"a", "b"}
    assert Member(Organization(), lambda: (name for name in names)).get_permissions() == {"a", "b"}


@pytest.mark.parametrize("names", ["ab", "", b"bytes", None, 1, True, {"a": False}])
def test_permissions_that_are_no_collection(names):
    with pytest.raises(ImproperlyConfigured, match=r"^get_permissions\(\) should return names of permissions, not "):
        Member(Organization(), lambda: names).get_permissions()


def test_find_reads_no_permission(companies, django_assert_num_queries):
    """The rows are read once, and the permissions only for the one organization of a request."""
    company, organization = make_company("Acme")
    ada = employ(company)
    make_company("Globex")
    memberships = CompanyMemberships()

    with django_assert_num_queries(1):
        (member,) = memberships.find(ada)
    assert (member.organization, member.role) == (organization, None)
    assert memberships.find(ada, within=Organization.objects.exclude(pk=organization.pk)) == []
    assert memberships.find(ada, ["acme", str(organization.pk)])[0].organization == organization
    assert memberships.find(ada, ["globex"]) == memberships.find(ada, ["acme", "globex"]) == []
    found = memberships.find_member(ada, organization)
    assert found is not None
    assert found.organization == organization
    assert memberships.find_member(UserFactory.create(), organization) is None
