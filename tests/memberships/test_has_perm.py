"""``has_perm()`` with a team of the project, or with its organization."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured

from closient_auth.models import ApiKey
from closient_auth.principals import OrganizationPrincipal, get_principal
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key
from tests.memberships.conftest import use
from tests.memberships.models import Company, Employee, Team, TeamDocument, TeamRole
from tests.memberships.people import employ, join, make_company, make_team

VIEW = "organization.view_organization"
REFUND = "orders.refund"
KEYS = "organization.manage_api_keys"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def backends(settings):
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "closient_auth.backends.OrganizationBackend",
    ]


@pytest.fixture
def acme(teams):
    return make_team("Acme")


@pytest.fixture
def globex(teams):
    return make_team("Globex")


@pytest.fixture
def unanchored(teams):
    """Return a team without an organization, as ``bulk_create()`` makes it."""
    (team,) = Team.objects.bulk_create([Team(name="New", code="New.Inc")])
    assert team.organization is None
    return team


def as_key(user, **kwargs):
    """Return the user of a request with a new user key."""
    return get_principal(ApiKey.objects.get(pk=make_key("csu", user=user, **kwargs)[0].pk))


def has(user, perm, obj):
    answer = user.has_perm(perm, obj)
    assert async_to_sync(user.ahas_perm)(perm, obj) is answer
    assert user.has_perms([perm], obj) is async_to_sync(user.ahas_perms)([perm], obj) is answer
    assert async_to_sync(user.aget_all_permissions)(obj) == user.get_all_permissions(obj)
    return answer


# By the roles, the permissions in the team.
ROLES = {
    ("lead",): {VIEW, "organization.contribute_organization", KEYS, "organization.manage_members"},
    ("clerk",): {VIEW, REFUND},
    ("guest",): set(),
    ("clerk", "clerk", "lead"): {
        VIEW,
        "organization.contribute_organization",
        KEYS,
        "organization.manage_members",
        REFUND,
    },
    (): set(),
}


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("with_key", [False, True])
def test_permissions_of_a_member(acme, globex, roles, with_key):
    user = join(acme, *roles)
    user = as_key(user) if with_key else user

    for obj in (acme, acme.organization):
        assert user.get_all_permissions(obj) == user.get_user_permissions(obj) == ROLES[roles]
        assert {perm for perm in (VIEW, REFUND, KEYS) if has(user, perm, obj)} == ROLES[roles] & {VIEW, REFUND, KEYS}
        assert user.get_group_permissions(obj) == set()
    for obj in (globex, globex.organization, None):
        assert user.get_all_permissions(obj) == set()
        assert not has(user, VIEW, obj)


def test_rows_decide_at_each_call(acme, globex):
    ada = join(acme, "clerk")
    assert has(ada, REFUND, acme)

    TeamRole.objects.filter(user=ada).update(name="lead")
    assert not has(ada, REFUND, acme)
    assert has(ada, KEYS, acme)
    TeamRole.objects.filter(user=ada).update(team=globex)
    assert not has(ada, VIEW, acme)
    assert has(ada, KEYS, globex)
    TeamRole.objects.filter(user=ada).delete()
    assert not has(ada, VIEW, globex)


def test_two_queries(acme, django_assert_num_queries):
    ada = join(acme, "clerk", "lead")

    with django_assert_num_queries(2):
        assert ada.has_perm(REFUND, acme)
    with django_assert_num_queries(1):
        assert not UserFactory.build(pk=0).has_perm(REFUND, acme)


def test_rows_of_membership_mean_nothing(acme):
    owner = MembershipFactory.create(organization=acme.organization, role="owner").user

    for user in (owner, as_key(owner)):
        assert not has(user, VIEW, acme)
        assert not has(user, VIEW, acme.organization)


def test_who_is_no_member_has_nothing(companies):
    """``CompanyMemberships.get_permissions()`` returns permissions for everybody."""
    company, organization = make_company("Acme")
    member, invited = employ(company), UserFactory.create()
    Employee.objects.create(company=company, user=invited)

    for obj in (company, organization):
        assert has(member, KEYS, obj)
        for user in (invited, UserFactory.create(), as_key(invited)):
            assert not has(user, KEYS, obj)
            assert user.get_all_permissions(obj) == set()


def test_inactive_and_anonymous_users(acme):
    ada = join(acme, "clerk", is_active=False)

    assert ada.get_all_permissions(acme) == set()
    assert not has(ada, VIEW, acme)
    assert not AnonymousUser().has_perm(VIEW, acme)


def test_suspended_organization_leaves_nothing(acme, globex):
    ada = join(acme, "clerk")
    TeamRole.objects.create(team=globex, user=ada, name="clerk")
    acme.organization.suspend()

    for user in (ada, as_key(ada)):
        assert not has(user, REFUND, acme)
        assert has(user, REFUND, globex)


def test_key_takes_away(acme, globex):
    ada = join(acme, "clerk", "lead")
    TeamRole.objects.create(team=globex, user=ada, name="clerk")

    assert as_key(ada, permissions=[REFUND]).get_all_permissions(acme) == {REFUND}
    here = as_key(ada, restricted_to=globex.organization)
    assert here.get_all_permissions(acme) == set()
    assert here.get_all_permissions(globex) == {VIEW, REFUND}


@pytest.mark.parametrize("roles", [(), ("guest",), ("clerk",)])
def test_superuser_status_does_not_count_for_a_key(acme, globex, unanchored, roles):
    root = join(acme, *roles, is_superuser=True)
    user = as_key(root)
    neighbour = as_key(join(globex, "clerk"))

    for obj in (acme, acme.organization):
        assert has(user, REFUND, obj) is (roles == ("clerk",))
        assert not has(user, KEYS, obj)
    for obj in (globex, globex.organization, unanchored, OrganizationFactory.create()):
        assert not has(user, REFUND, obj)
        assert not has(user, "tests.change_team", obj)
    # In a session, the superuser passes everywhere, as in all of Django, and so does a key with other rows.
    for obj in (acme, globex, globex.organization, unanchored):
        assert has(type(root).objects.get(pk=root.pk), KEYS, obj)
    for obj in (None, root, TeamDocument(team=globex)):
        assert has(user, "tests.change_team", obj)
    assert has(neighbour, REFUND, globex)


def test_superuser_status_does_not_count_for_a_key_with_a_company(companies):
    company, organization = make_company("Acme")
    other, _ = make_company("Globex")
    # No row has this primary key, neither a company nor an organization.
    (unanchored,) = Company.objects.bulk_create([Company(name="New")])
    user = as_key(employ(company, is_superuser=True))

    assert has(user, KEYS, company)
    assert has(user, KEYS, organization)
    for obj in (other, unanchored, Company(name="Unsaved")):
        assert not has(user, KEYS, obj)
    assert has(user, KEYS, object())


def test_team_without_an_organization(unanchored):
    ada = join(unanchored, "clerk", "lead")

    for user in (ada, as_key(ada)):
        assert user.get_all_permissions(unanchored) == set()
        assert not has(user, VIEW, unanchored)


def test_other_objects_are_none_of_its_business(acme, django_assert_num_queries):
    ada = join(acme, "clerk")
    document = TeamDocument.objects.create(team=acme, name="A")

    with django_assert_num_queries(0):
        for obj in (document, ada, acme.pk, acme.organization.pk, acme.code, object(), Company(name="Acme")):
            assert not ada.has_perm(VIEW, obj)


def test_team_is_nothing_without_the_setting(settings, acme):
    member = MembershipFactory.create(organization=acme.organization, role="owner").user
    _, raw_key = make_key("csb", organization=acme.organization)
    settings.CLOSIENT_AUTH = {}

    assert has(member, VIEW, acme.organization)
    assert not has(member, VIEW, acme)
    assert not OrganizationPrincipal(ApiKey.objects.get(prefix="csb")).has_perm(VIEW, acme)


# By the type of the key, the permissions in the own team.
PRINCIPALS = {
    "csb": {
        "organization.view_organization",
        "organization.contribute_organization",
        "organization.manage_billing",
        "organization.manage_api_keys",
        "organization.manage_members",
        "organization.delete_organization",
        "orders.refund",
    },
    "cpk": {"organization.view_organization"},
}


@pytest.mark.parametrize("prefix", PRINCIPALS)
def test_principal(acme, globex, unanchored, prefix):
    principal = OrganizationPrincipal(make_key(prefix, organization=acme.organization)[0])

    for obj in (acme, acme.organization):
        assert principal.get_all_permissions(obj) == principal.get_user_permissions(obj) == PRINCIPALS[prefix]
        assert has(principal, VIEW, obj)
        assert has(principal, REFUND, obj) is (prefix == "csb")
        assert not has(principal, "orders.cancel", obj)
    for obj in (globex, globex.organization, unanchored, None, acme.pk, acme.code, TeamDocument(team=acme)):
        assert principal.get_all_permissions(obj) == set()
        assert not has(principal, VIEW, obj)


def test_principal_of_a_company(companies):
    company, organization = make_company("Acme")
    other, _ = make_company("Globex")
    principal = get_principal(make_key("csb", organization=organization)[0])

    assert has(principal, KEYS, company)
    for obj in (other, Company(name="Unsaved"), Company.objects.bulk_create([Company(name="New")])[0]):
        assert not has(principal, KEYS, obj)


@pytest.mark.parametrize("name", ["TextMemberships", "SilentMemberships"])
def test_permissions_that_are_no_collection(settings, acme, name):
    ada = join(acme, "clerk")
    use(settings, name)

    with pytest.raises(ImproperlyConfigured, match=r"^get_permissions\(\) should return names of permissions"):
        ada.has_perm(VIEW, acme)
    assert not UserFactory.create().has_perm(VIEW, acme)
