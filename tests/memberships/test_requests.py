"""Requests in a project with members of its own."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.models import ApiKey
from closient_auth.principals import OrganizationPrincipal
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.memberships.conftest import use
from tests.memberships.models import Employee, TeamRole
from tests.memberships.people import employ, join, make_company, make_team

pytestmark = pytest.mark.django_db

VIEW = "organization.view_organization"
NOT_FOUND = (HTTPStatus.NOT_FOUND, {"detail": "Not found."})
ACME = (HTTPStatus.OK, {"organization": "acme"})
GLOBEX = (HTTPStatus.OK, {"organization": "globex"})
REQUIRED = {
    "detail": "Set the X-Organization header to the id of your organization.",
    "code": "organization_required",
}
NOWHERE = (
    HTTPStatus.BAD_REQUEST,
    {**REQUIRED, "detail": "You are not a member of any organization.", "organizations": []},
)


@pytest.fixture
def acme(teams):
    return make_team("Acme")


@pytest.fixture
def globex(teams):
    return make_team("Globex")


def lacks(permission):
    detail = "You do not have permission to perform this action."
    body = {"detail": detail, "code": "permission_denied", "required_permission": permission}
    return HTTPStatus.FORBIDDEN, body


@pytest.fixture
def ask(call):
    """Return a function to get the status and body of the view that tells the organization."""

    def ask(*args, **kwargs):
        response = call(*(args or ["/organization/"]), **kwargs)
        return response.status_code, response.json()

    return ask


@pytest.fixture
def ask_as(ask):
    """Return a function to ask as a user, by session and by key; both answers have to be equal."""

    def ask_as(user, *args, **headers):
        _, raw_key = make_key("csu", user=user)
        answers = [ask(*args, **credential, **headers) for credential in ({"user": user}, {"raw_key": raw_key})]
        assert answers[0] == answers[1]
        return answers[0]

    return ask_as


# What a member of Acme gets for each name. Slugs are no names here, as the project has names of its own.
NAMES = {
    "code": ("Acme.Inc", ACME),
    "id": ("{acme}", ACME),
    "id in hexadecimal digits": ("{acme:hex}", ACME),
    "slug": ("acme", NOT_FOUND),
    "nothing": ("Nobody.Inc", NOT_FOUND),
    "no id": (str(uuid4()), NOT_FOUND),
    "code of another": ("Globex.Inc", NOT_FOUND),
    "id of another": ("{globex}", NOT_FOUND),
    "quote": ("Acme.Inc'--", NOT_FOUND),
}


def spell(text, acme, globex):
    text = text.replace("{acme:hex}", acme.organization.pk.hex)
    return text.format(acme=acme.organization.pk, globex=globex.organization.pk)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_the_url_and_in_the_header(ask, ask_as, acme, globex, name):
    text, expected = NAMES[name]
    text = spell(text, acme, globex)
    clerk = join(acme, "clerk")
    join(globex, "clerk")
    _, business_key = make_key("csb", organization=acme.organization)

    for address, headers in ((f"/organizations/{text}/", {}), ("/organization/", {"x_organization": text})):
        assert ask_as(clerk, address, **headers) == expected
        assert ask(address, business_key, **headers) == expected
        assert ask_as(UserFactory.create(), address, **headers) == NOT_FOUND


@pytest.mark.parametrize("is_swapped", [False, True])
def test_url_and_header_have_to_agree(ask, ask_as, acme, globex, is_swapped):
    both = join(acme, "clerk")
    TeamRole.objects.create(team=globex, user=both, name="clerk")
    _, business_key = make_key("csb", organization=acme.organization)
    pairs = {
        ("Acme.Inc", str(acme.organization.pk)): ACME,
        ("Acme.Inc", "Acme.Inc"): ACME,
        ("Acme.Inc", "Globex.Inc"): NOT_FOUND,
        ("Acme.Inc", str(globex.organization.pk)): NOT_FOUND,
        (str(acme.organization.pk), str(globex.organization.pk)): NOT_FOUND,
    }

    for pair, expected in pairs.items():
        url, header = reversed(pair) if is_swapped else pair
        assert ask_as(both, f"/organizations/{url}/", x_organization=header) == expected
        assert ask(f"/organizations/{url}/", business_key, x_organization=header) == expected


def test_id_wins_over_a_code_that_looks_like_one(ask, ask_as, acme):
    text = str(acme.organization.pk)
    globex = make_team("Globex", code=text)
    one, other, both = join(acme, "clerk"), join(globex, "clerk"), join(acme, "clerk")
    TeamRole.objects.create(team=globex, user=both, name="clerk")
    root = UserFactory.create(is_superuser=True)

    for asked, expected in [
        (ask_as(one, f"/organizations/{text}/"), ACME),
        (ask_as(both, f"/organizations/{text}/"), ACME),
        (ask(f"/organizations/{text}/", user=root), ACME),
        (ask(f"/organizations/{text}/", make_key(organization=acme.organization)[1]), ACME),
        # To them, no organization has this id.
        (ask_as(other, f"/organizations/{text}/"), GLOBEX),
        (ask(f"/organizations/{text}/", make_key(organization=globex.organization)[1]), GLOBEX),
    ]:
        assert asked == expected


def test_code_that_looks_like_an_id_beside_an_id(ask, ask_as, globex):
    text = str(uuid4())
    acme = make_team("Acme", code=text)
    user = join(acme, "clerk")
    root = UserFactory.create(is_superuser=True)
    _, business_key = make_key("csb", organization=acme.organization)

    for header, expected in ((acme.organization.pk, ACME), (text, ACME), (globex.organization.pk, NOT_FOUND)):
        assert ask_as(user, f"/organizations/{text}/", x_organization=str(header)) == expected
        assert ask(f"/organizations/{text}/", user=root, x_organization=str(header)) == expected
        assert ask(f"/organizations/{text}/", business_key, x_organization=str(header)) == expected


def test_superuser_names_any_with_a_session_only(ask, acme, globex):
    root = join(globex, "clerk", is_superuser=True)
    _, raw_key = make_key("csu", user=root)

    for name in ("Acme.Inc", str(acme.organization.pk)):
        assert ask(f"/organizations/{name}/", user=root) == ACME
        assert ask(f"/organizations/{name}/", raw_key) == NOT_FOUND
        assert ask(user=root, x_organization=name) == ACME
        assert ask(raw_key=raw_key, x_organization=name) == NOT_FOUND
    assert ask("/organizations/Nobody.Inc/", user=root) == NOT_FOUND
    assert ask("/organizations/Acme.Inc/", user=root, x_organization="Globex.Inc") == NOT_FOUND
    assert ask(user=root) == ask(raw_key=raw_key) == GLOBEX


def test_superuser_has_all_permissions_with_a_session_only(call, ask, acme):
    root = join(acme, "guest", is_superuser=True)
    _, raw_key = make_key("csu", user=root)

    assert ask(user=root) == ACME
    assert ask(raw_key=raw_key) == lacks(VIEW)
    assert call("/projects/", user=root, method="post", data={"name": "A"}).status_code == HTTPStatus.CREATED
    response = call("/projects/", raw_key, method="post", data={"name": "A"})
    assert (response.status_code, response.json()) == lacks("organization.contribute_organization")


def test_superuser_that_names_one_of_two(ask, acme):
    """A code of the project need not be unique. Nobody gets one of them at random."""
    twin = make_team("Twin", code="Acme.Inc")
    root = UserFactory.create(is_superuser=True)

    status, body = ask("/organizations/Acme.Inc/", user=root)

    described = [{"id": str(one.organization.pk), "name": one.name} for one in (acme, twin)]
    assert (status, body) == (HTTPStatus.BAD_REQUEST, {**REQUIRED, "organizations": described})
    assert ask(f"/organizations/{acme.organization.pk}/", user=root) == ACME


def test_rows_decide_at_each_request(ask, acme, globex):
    """None of these changes saves an instance, so no signal tells of them."""
    ada = join(acme, "clerk")
    neighbour = join(globex, "clerk")
    _, raw_key = make_key("csu", user=ada)
    rows = TeamRole.objects.filter(user=ada)
    credentials = [{"user": ada}, {"raw_key": raw_key}]

    def answers():
        by_session, by_key = (ask(**credential) for credential in credentials)
        assert by_session == by_key
        return by_key

    assert answers() == ACME
    rows.update(name="guest")
    assert answers() == lacks(VIEW)
    rows.update(name="clerk")
    assert answers() == ACME
    rows.update(team=globex)
    assert answers() == GLOBEX
    rows.delete()
    assert answers() == NOWHERE
    TeamRole.objects.bulk_create([TeamRole(team=acme, user=ada, name="lead")])
    assert answers() == ACME
    assert ask(user=neighbour) == GLOBEX


def test_named_team_of_a_former_member(ask_as, acme, globex):
    ada, neighbour = join(acme, "lead"), join(acme, "clerk")
    assert ask_as(ada, "/organizations/Acme.Inc/") == ACME

    TeamRole.objects.filter(user=ada).delete()

    assert ask_as(ada, "/organizations/Acme.Inc/") == NOT_FOUND == ask_as(ada, "/organizations/Nobody.Inc/")
    assert ask_as(neighbour, "/organizations/Acme.Inc/") == ACME


def test_employee_of_a_company_is_a_member_from_a_date_on(companies, ask_as):
    company, organization = make_company("Acme")
    neighbour = employ(company)
    ada = UserFactory.create()
    Employee.objects.create(company=company, user=ada)
    # ``CompanyMemberships.get_permissions()`` returns permissions for everybody.
    address = f"/organizations/{organization.pk}/"

    assert ask_as(ada, address) == ask_as(UserFactory.create(), address) == NOT_FOUND
    assert ask_as(ada) == NOWHERE
    Employee.objects.filter(user=ada).update(joined_at=timezone.now())
    assert ask_as(ada, address) == ask_as(ada) == ask_as(ada, "/organizations/acme/") == ACME
    Employee.objects.filter(user=ada).update(joined_at=None)
    assert ask_as(ada, address) == NOT_FOUND
    assert ask_as(neighbour, address) == ACME


def test_inactive_user_of_a_session(settings, ask, acme):
    """Django's ``AllowAllUsersModelBackend`` keeps the session of an inactive user."""
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    ada = join(acme, "clerk")
    assert ask(user=ada) == ACME

    ada.is_active = False
    ada.save()

    assert ask(user=ada)[1]["code"] == "not_authenticated"


def test_several_roles_in_one_team(ask_as, call, acme):
    """Each role is a row of the join, and the person is one member."""
    ada = join(acme, "guest", "clerk", "lead", "lead")

    assert ask_as(ada) == ask_as(ada, "/organizations/Acme.Inc/", x_organization="Acme.Inc") == ACME
    assert call("/projects/", user=ada, method="post", data={"name": "A"}).status_code == HTTPStatus.CREATED


def test_several_roles_in_a_team_without_a_name_of_its_own(settings, ask_as, acme, globex):
    ada = join(acme, "clerk", "lead")
    use(settings, "SluggedMemberships")

    for address in ("/organization/", "/organizations/acme/", f"/organizations/{acme.organization.pk}/"):
        assert ask_as(ada, address) == ACME
    assert ask_as(ada, "/organizations/globex/") == ask_as(ada, "/organizations/Acme.Inc/") == NOT_FOUND


def test_several_teams_and_nothing_said(ask, acme, globex):
    make_team("Initech")
    ada = join(acme, "clerk", "lead")
    TeamRole.objects.create(team=globex, user=ada, name="clerk")
    key, raw_key = make_key("csu", user=ada)

    # A slug would not lead there: the project has names of its own.
    own = [{"id": str(team.organization.pk), "name": team.name} for team in (acme, globex)]
    everywhere = (HTTPStatus.BAD_REQUEST, {**REQUIRED, "organizations": own})
    assert ask(user=ada) == ask(raw_key=raw_key) == everywhere
    # The list names no organization that refuses the key.
    globex.organization.allow_user_keys(False)
    assert ask(raw_key=raw_key) == (HTTPStatus.BAD_REQUEST, {**REQUIRED, "organizations": own[:1]})
    assert ask(user=ada) == everywhere
    assert ask(raw_key=raw_key, x_organization="Globex.Inc")[1]["code"] == "user_key_not_allowed"


def test_rows_of_membership_mean_nothing(ask_as, acme, globex):
    ada = MembershipFactory.create(organization=acme.organization, role="owner").user

    assert ask_as(ada) == NOWHERE
    assert ask_as(ada, "/organizations/Acme.Inc/") == NOT_FOUND
    TeamRole.objects.create(team=globex, user=ada, name="clerk")
    assert ask_as(ada) == GLOBEX
    assert ask_as(ada, "/organizations/Acme.Inc/") == NOT_FOUND


REFUSALS: dict[str, tuple[dict[str, Any], Any]] = {
    "permissions": ({"permissions": ["orders.refund"]}, lacks(VIEW)),
    "restricted to another": ({"restricted_to": "globex"}, NOT_FOUND),
    "shut out": ({"shut_out": True}, "user_key_not_allowed"),
    "no user keys": ({"user_keys_allowed": False}, "user_key_not_allowed"),
    "suspended": ({"suspended": True}, "organization_suspended"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_key_has_less_than_its_user(ask, acme, globex, name):
    given, expected = REFUSALS[name]
    ada = join(acme, "clerk", "lead")
    TeamRole.objects.create(team=globex, user=ada, name="clerk")
    key, raw_key = make_key(
        "csu",
        user=ada,
        permissions=given.get("permissions"),
        restricted_to=globex.organization if "restricted_to" in given else None,
    )
    neighbour, neighbours_key = make_key("csu", user=join(acme, "clerk"))
    assert "restricted_to" in given or "permissions" in given or ask("/organizations/Acme.Inc/", raw_key) == ACME
    if "shut_out" in given:
        key.shut_out(acme.organization)
    if "user_keys_allowed" in given:
        acme.organization.allow_user_keys(False)
    if "suspended" in given:
        acme.organization.suspend()

    status, body = ask("/organizations/Acme.Inc/", raw_key)

    if isinstance(expected, str):
        assert (status, body["code"]) == (HTTPStatus.FORBIDDEN, expected)
    else:
        assert (status, body) == expected
    everybody = name in ("no user keys", "suspended")
    assert (ask("/organizations/Acme.Inc/", neighbours_key) == ACME) is not everybody
    assert (ask("/organizations/Acme.Inc/", user=ada) == ACME) is (name != "suspended")
    assert (ask("/organizations/Globex.Inc/", raw_key) == GLOBEX) is (name != "permissions")


def test_key_has_no_more_than_its_user(ask, acme):
    ada = join(acme, "guest")
    _, raw_key = make_key("csu", user=ada, permissions=[VIEW, "organization.manage_api_keys"])

    assert ask(raw_key=raw_key) == lacks(VIEW)
    TeamRole.objects.update(name="clerk")
    assert ask(raw_key=raw_key) == ACME


def test_business_key_has_the_permissions_of_the_project(acme):
    api_key, _ = make_key("csb", organization=acme.organization)

    assert OrganizationPrincipal(api_key).permissions == {
        "organization.view_organization",
        "organization.contribute_organization",
        "organization.manage_billing",
        "organization.manage_api_keys",
        "organization.manage_members",
        "organization.delete_organization",
        "orders.refund",
    }
    assert OrganizationPrincipal(make_key("cpk", organization=acme.organization)[0]).permissions == {VIEW}


@pytest.mark.parametrize(
    ("name", "shown"), [("TextMemberships", "'organization.view_organization'"), ("SilentMemberships", "None")]
)
def test_permissions_that_are_no_collection(settings, call, acme, name, shown):
    """Each letter of a string would be a permission."""
    _, raw_key = make_key("csu", user=join(acme, "clerk"))
    _, business_key = make_key("csb", organization=acme.organization)
    use(settings, name)

    told = rf"^get_permissions\(\) should return names of permissions, not {shown}\.$"
    for address in ("/organization/", "/organizations/Acme.Inc/"):
        with pytest.raises(ImproperlyConfigured, match=told):
            call(address, raw_key)
        assert call(address, business_key).status_code == HTTPStatus.OK
    # Who is not a member is not asked for.
    assert call("/organizations/Acme.Inc/", make_key("csu")[1]).status_code == HTTPStatus.NOT_FOUND


@pytest.fixture
def count(settings, call):
    """Return a function to count the SQL statements of a request that does not write ``last_used``."""

    def count(address, raw_key, **headers):
        settings.CLOSIENT_AUTH = {**settings.CLOSIENT_AUTH, "LAST_USED_INTERVAL": 60}
        assert call(address, raw_key, **headers).status_code == HTTPStatus.OK
        with CaptureQueriesContext(connection) as queries:
            assert call(address, raw_key, **headers).status_code == HTTPStatus.OK
        return [query["sql"].split()[0] for query in queries]

    return count


# By the names in URL and header, the statements for a business key and for a user key. A user key reads the key, the
# organization and what ``get_permissions()`` of the test reads; a business key reads a name that is not the id.
BUDGETS = {
    (None, None): (1, 3),
    ("id", None): (1, 3),
    (None, "id"): (1, 3),
    ("id", "id"): (1, 3),
    ("code", None): (2, 3),
    (None, "code"): (2, 3),
    ("id", "code"): (2, 3),
    ("code", "code"): (3, 3),
}


@pytest.mark.parametrize("names", BUDGETS)
def test_budget_of_a_key_of_a_team(count, acme, globex, names):
    ada = join(acme, "clerk", "lead")
    url, header = ({"id": str(acme.organization.pk), "code": "Acme.Inc", None: None}[name] for name in names)
    address = f"/organizations/{url}/" if url else "/organization/"
    headers = {"x_organization": header} if header else {}

    for raw_key, statements in zip(
        (make_key("csb", organization=acme.organization)[1], make_key("csu", user=ada)[1]), BUDGETS[names], strict=True
    ):
        assert count(address, raw_key, **headers) == ["SELECT"] * statements


@pytest.mark.parametrize("name", [None, "id", "slug"])
def test_budget_of_a_key_of_a_company(companies, count, name):
    """This project has no names of its own, and its ``get_permissions()`` reads nothing."""
    company, organization = make_company("Acme")
    headers = {"x_organization": {"id": str(company.pk), "slug": "acme"}[name]} if name else {}

    assert count("/organization/", make_key("csb", organization=organization)[1], **headers) == ["SELECT"]
    assert count("/organization/", make_key("csu", user=employ(company))[1], **headers) == ["SELECT"] * 2


def test_budget_does_not_grow_with_the_teams(count, acme):
    ada = join(acme, "clerk")
    _, raw_key = make_key("csu", user=ada)
    few = count("/organizations/Acme.Inc/", raw_key)
    for number in range(5):
        TeamRole.objects.create(team=make_team(f"Team {number}"), user=ada, name="clerk")

    assert count("/organizations/Acme.Inc/", raw_key) == few


def test_rows_come_from_the_primary_database(ask, acme, replica):
    _, raw_key = make_key("csu", user=join(acme, "clerk"))
    _, business_key = make_key("csb", organization=acme.organization)
    replica("closient_auth")

    assert ask("/organizations/Acme.Inc/", raw_key) == ask("/organizations/Acme.Inc/", business_key) == ACME
    assert ApiKey.objects.using("default").count() == 2
