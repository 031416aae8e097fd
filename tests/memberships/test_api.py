"""The management API of a project with members of its own."""

from __future__ import annotations

import importlib
from http import HTTPStatus

import pytest
from django.urls import include, path

import closient_auth.urls
from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership, Organization
from tests.api.test_schema import describe
from tests.factories import MembershipFactory, UserFactory, make_invitation, make_key
from tests.memberships.conftest import use
from tests.memberships.models import Employee, TeamRole
from tests.memberships.people import employ, join, make_company, make_team

pytestmark = pytest.mark.django_db

VIEW = "organization.view_organization"
CONTRIBUTE = "organization.contribute_organization"
KEYS = "organization.manage_api_keys"
MEMBERS = "organization.manage_members"
REFUND = "orders.refund"
NOT_FOUND = (HTTPStatus.NOT_FOUND, {"detail": "Not found."})


@pytest.fixture
def mounted(settings, mount):
    """Return a function to mount the API as a project with the present setting does, until the end of the test."""

    def mounted():
        mount(path("", include(importlib.reload(closient_auth.urls))))

    yield mounted
    settings.CLOSIENT_AUTH = {}
    importlib.reload(closient_auth.urls)


@pytest.fixture
def acme(teams, mounted):
    mounted()
    return make_team("Acme")


@pytest.fixture
def globex(teams):
    team = make_team("Globex")
    join(team, "lead")
    make_key(organization=team.organization)
    return team


@pytest.fixture
def company(companies, mounted):
    mounted()
    return make_company("Acme")[0]


@pytest.fixture
def send(call):
    """Return a function to send a request with a session; it returns the status and the body."""

    def send(user, method, address, data=None, **headers):
        response = call(address, user=user, method=method, data=data, **headers)
        has_json = response.content and response.headers["Content-Type"] == "application/json"
        return response.status_code, response.json() if has_json else None

    return send


def get_rows():
    models = (Organization, ApiKey, Membership, Invitation, TeamRole, Employee)
    return [list(model._base_manager.order_by("pk").values()) for model in models]


def describe_organization(organization, permissions, role=None):
    identity = {"id": str(organization.pk), "name": organization.name, "slug": None}
    return {**identity, "role": role, "permissions": sorted(permissions)}


# --- me ---


def test_me(acme, globex, call):
    ada = join(acme, "clerk", "lead", "lead", username="ada")
    TeamRole.objects.create(team=globex, user=ada, name="guest")
    # The order is that of the names, whatever the case.
    bits = make_team("bits")
    TeamRole.objects.create(team=bits, user=ada, name="clerk")
    MembershipFactory.create(user=ada, role="owner")
    _, raw_key = make_key("csu", user=ada)

    bodies = [call("/me", **credential).json() for credential in ({"user": ada}, {"raw_key": raw_key})]

    for body in bodies:
        assert (body["type"], body["username"], body["organizations_owned_alone"]) == ("user", "ada", [])
        assert body["organizations"] == [
            describe_organization(acme.organization, [VIEW, CONTRIBUTE, KEYS, MEMBERS, REFUND]),
            describe_organization(bits.organization, [VIEW, REFUND]),
            describe_organization(globex.organization, []),
        ]


@pytest.mark.parametrize("restriction", ["permissions", "restricted_to", "shut out", "no user keys", "suspended"])
def test_me_of_a_key_with_less(acme, globex, call, restriction):
    ada = join(acme, "clerk")
    TeamRole.objects.create(team=globex, user=ada, name="clerk")
    key, raw_key = make_key(
        "csu",
        user=ada,
        permissions=[REFUND] if restriction == "permissions" else None,
        restricted_to=acme.organization if restriction == "restricted_to" else None,
    )
    if restriction == "shut out":
        key.shut_out(globex.organization)
    if restriction == "no user keys":
        globex.organization.allow_user_keys(False)
    if restriction == "suspended":
        globex.organization.suspend()
    expected = {
        "permissions": [(acme, [REFUND]), (globex, [REFUND])],
        "suspended": [(acme, [VIEW, REFUND]), (globex, [])],
    }.get(restriction, [(acme, [VIEW, REFUND])])

    assert call("/me", raw_key).json()["organizations"] == [
        describe_organization(team.organization, permissions) for team, permissions in expected
    ]


def test_me_of_a_business_key(acme, globex, call):
    _, raw_key = make_key("csb", organization=acme.organization, permissions=[VIEW, REFUND])

    body = call("/me", raw_key).json()

    assert (body["type"], body["username"]) == ("organization", None)
    assert body["organizations"] == [describe_organization(acme.organization, [REFUND, VIEW])]


def test_me_of_nobody(acme, call):
    body = call("/me", user=UserFactory.create(username="ada", is_superuser=True)).json()

    assert (body["type"], body["organizations"], body["organizations_owned_alone"]) == ("user", [], [])


def test_own_keys(acme, globex, send):
    """Keys are restricted by the names of the project."""
    ada = join(acme, "clerk")
    for name in ("Acme.Inc", str(acme.organization.pk)):
        status, body = send(ada, "post", "/me/keys", {"name": "Script", "restricted_to": name})
        assert (status, body["restricted_to"]) == (HTTPStatus.CREATED, str(acme.organization.pk))
    before = get_rows()

    make_team("Twin", code="Twin.Inc")
    for name in ("Globex.Inc", str(globex.organization.pk), "acme", "Nobody.Inc"):
        status, body = send(ada, "post", "/me/keys", {"restricted_to": name})
        assert (status, list(body)) == (HTTPStatus.BAD_REQUEST, ["restricted_to"])
        assert body["restricted_to"] == ["You are not a member of an organization with this id or name."]
    assert get_rows()[1] == before[1]


def test_own_key_with_the_name_of_two(acme, send):
    """No key is restricted to one of them at random."""
    ada = join(acme, "clerk")
    TeamRole.objects.create(team=make_team("Twin", code="Acme.Inc"), user=ada, name="clerk")

    status, body = send(ada, "post", "/me/keys", {"restricted_to": "Acme.Inc"})

    assert (status, list(body)) == (HTTPStatus.BAD_REQUEST, ["restricted_to"])
    assert not ApiKey.objects.exists()
    assert send(ada, "post", "/me/keys", {"restricted_to": str(acme.organization.pk)})[0] == HTTPStatus.CREATED


# --- organizations ---


def test_organizations(acme, globex, call):
    ada = join(acme, "clerk", "lead", "lead")
    bits = make_team("Bits")
    TeamRole.objects.create(team=bits, user=ada, name="guest")
    MembershipFactory.create(user=ada, role="owner")

    def list_names(**credential):
        return [row["name"] for row in call("/organizations", **credential).json()["results"]]

    assert list_names(user=ada) == list_names(raw_key=make_key("csu", user=ada)[1]) == ["Acme", "Bits"]
    assert list_names(raw_key=make_key("csu", user=ada, restricted_to=bits.organization)[1]) == ["Bits"]
    assert list_names(raw_key=make_key(organization=acme.organization)[1]) == ["Acme"]
    assert list_names(user=UserFactory.create(is_superuser=True)) == []


def test_organization(acme, globex, send):
    clerk, guest = join(acme, "clerk"), join(acme, "guest")

    for name in ("Acme.Inc", str(acme.organization.pk)):
        status, body = send(clerk, "get", f"/organizations/{name}")
        assert (status, body["id"], body["name"]) == (HTTPStatus.OK, str(acme.organization.pk), "Acme")
        assert send(guest, "get", f"/organizations/{name}")[1]["required_permission"] == VIEW
    for name in ("acme", "Globex.Inc", str(globex.organization.pk), "Nobody.Inc"):
        assert send(clerk, "get", f"/organizations/{name}") == NOT_FOUND


def test_policy_of_user_keys(acme, globex, send):
    lead, clerk = join(acme, "lead"), join(acme, "clerk")
    address = "/organizations/Acme.Inc"
    before = get_rows()

    status, body = send(clerk, "patch", address, {"user_keys_allowed": False})
    assert (status, body["code"], body["required_permission"]) == (HTTPStatus.FORBIDDEN, "permission_denied", KEYS)
    assert send(join(globex, "lead"), "patch", address, {"user_keys_allowed": False}) == NOT_FOUND
    assert get_rows()[0] == before[0]
    status, body = send(lead, "patch", address, {"user_keys_allowed": False})
    assert (status, body["user_keys_allowed"], body["name"]) == (HTTPStatus.OK, False, "Acme")
    acme.organization.refresh_from_db()
    assert not acme.organization.user_keys_allowed
    globex.organization.refresh_from_db()
    assert globex.organization.user_keys_allowed
    assert AuditEntry.objects.get(event="organization_changed").user == lead


@pytest.mark.parametrize("field", ["name", "slug"])
def test_name_is_the_projects(settings, acme, send, field):
    """Not even somebody with all permissions sets it here."""
    ada = join(acme, "clerk")
    root = UserFactory.create(is_superuser=True)
    use(settings, "AllMemberships")
    before = get_rows()

    for user in (ada, root):
        for data in ({field: "new"}, {field: "new", "user_keys_allowed": False}):
            assert send(user, "patch", "/organizations/Acme.Inc", data) == (
                HTTPStatus.BAD_REQUEST,
                {field: ["This field cannot be set. Writable fields: user_keys_allowed."]},
            )
    assert get_rows() == before


def test_keys_of_a_team(acme, globex, send, call):
    lead, clerk = join(acme, "lead"), join(acme, "clerk")
    tree = "/organizations/Acme.Inc/keys"
    before = ApiKey.objects.values().get()

    status, key = send(lead, "post", tree, {"prefix": "csb", "name": "Server"})
    assert (status, key["permissions"]) == (HTTPStatus.CREATED, sorted([VIEW, CONTRIBUTE, KEYS, MEMBERS]))
    assert call("/me", key["key"]).json()["organizations"][0]["id"] == str(acme.organization.pk)
    assert [row["id"] for row in send(lead, "get", tree)[1]["results"]] == [key["id"]]
    status, successor = send(lead, "post", f"{tree}/{key['id']}/rotate", {})
    assert status == HTTPStatus.CREATED
    status, body = send(lead, "patch", f"{tree}/{successor['id']}", {"permissions": [REFUND]})
    assert (status, body["code"]) == (HTTPStatus.FORBIDDEN, "permission_denied")
    assert body["detail"] == f"You do not have these permissions: {REFUND}."
    assert send(clerk, "delete", f"{tree}/{successor['id']}")[1]["required_permission"] == KEYS
    assert send(lead, "delete", f"{tree}/{before['id']}") == NOT_FOUND
    assert ApiKey.objects.get(pk=successor["id"]).is_active
    assert send(lead, "delete", f"{tree}/{successor['id']}")[0] == HTTPStatus.NO_CONTENT
    events = [row["event"] for row in send(lead, "get", "/organizations/Acme.Inc/audit")[1]["results"]]
    assert {"api_key_created", "api_key_rotated", "api_key_revoked"} <= set(events)
    assert ApiKey.objects.filter(organization=globex.organization).values().get() == before


def test_key_of_a_former_member_is_revoked_by_nobody_else(acme, globex, send):
    """The rows of the project decide between the look of the view and the lock of the model, too."""
    ada = join(acme, "lead")
    key, _ = make_key(organization=acme.organization)
    TeamRole.objects.filter(user=ada).update(team=globex)

    assert send(ada, "delete", f"/organizations/Acme.Inc/keys/{key.pk}") == NOT_FOUND
    assert send(ada, "delete", f"/organizations/Globex.Inc/keys/{key.pk}") == NOT_FOUND
    assert ApiKey.objects.get(pk=key.pk).is_active


# --- user keys ---


def test_user_keys_of_a_company(company, send):
    organization = Organization.objects.get(pk=company.pk)
    ada = employ(company, username="ada")
    # A second row of the join.
    Employee.objects.create(company=company, user=ada, joined_at=Employee.objects.get().joined_at)
    invited = UserFactory.create()
    Employee.objects.create(company=company, user=invited)
    key, _ = make_key("csu", user=ada)
    others = [make_key("csu", user=user)[0] for user in (invited, employ(make_company("Globex")[0]))]
    tree = f"/organizations/{company.pk}/user-keys"

    status, body = send(ada, "get", tree)
    assert (status, [(row["id"], row["holder"]) for row in body["results"]]) == (HTTPStatus.OK, [(str(key.pk), "ada")])
    assert send(ada, "get", f"{tree}/{key.pk}")[1]["shut_out"] is False
    assert send(ada, "patch", f"{tree}/{key.pk}", {"shut_out": True})[1]["shut_out"] is True
    for other in others:
        for method in ("get", "patch"):
            assert send(ada, method, f"{tree}/{other.pk}", {"shut_out": True}) == NOT_FOUND
    assert [one.is_shut_out_of(organization) for one in ApiKey.objects.order_by("created_at")] == [True, False, False]
    assert send(invited, "get", tree) == NOT_FOUND


def test_user_keys_of_a_project_that_cannot_list_its_members(teams, mounted, settings, send):
    """The routes were mounted for another class."""
    use(settings, "CompanyMemberships")
    mounted()
    use(settings, "TeamMemberships")
    lead = join(make_team("Acme"), "lead")
    key, _ = make_key("csu", user=lead)

    assert send(lead, "get", "/organizations/Acme.Inc")[0] == HTTPStatus.OK
    for method, address in (("get", ""), ("get", f"/{key.pk}"), ("patch", f"/{key.pk}")):
        assert send(lead, method, f"/organizations/Acme.Inc/user-keys{address}", {"shut_out": True}) == NOT_FOUND
    assert ApiKey.objects.get().shut_out_of == []


# --- the routes that step back ---

ALWAYS = {
    "me": ["get"],
    "me/key": ["delete"],
    "me/keys": ["get", "post"],
    "me/keys/<str:id>": ["delete", "get", "patch"],
    "me/keys/<str:id>/rotate": ["post"],
    "organizations": ["get"],
    "organizations/<str:organization_id>": ["get", "patch"],
    "organizations/<str:organization_id>/keys": ["get", "post"],
    "organizations/<str:organization_id>/keys/<str:id>": ["delete", "get", "patch"],
    "organizations/<str:organization_id>/keys/<str:id>/rotate": ["post"],
    "organizations/<str:organization_id>/keys/<str:id>/usage": ["get"],
    "organizations/<str:organization_id>/usage": ["get"],
    "organizations/<str:organization_id>/audit": ["get"],
}
USER_KEYS = {
    "organizations/<str:organization_id>/user-keys": ["get"],
    "organizations/<str:organization_id>/user-keys/<str:id>": ["get", "patch"],
}
OF_ROLES = {
    "organizations": ["get", "post"],
    "organizations/<str:organization_id>": ["delete", "get", "patch"],
    "organizations/<str:organization_id>/members": ["get"],
    "organizations/<str:organization_id>/members/<str:id>": ["delete", "get", "patch"],
    "organizations/<str:organization_id>/members/<str:id>/offboarding": ["get"],
    "organizations/<str:organization_id>/invitations": ["get", "post"],
    "organizations/<str:organization_id>/invitations/<str:id>": ["delete", "get"],
    "organizations/<str:organization_id>/invitations/<str:id>/resend": ["post"],
    "invitations/accept": ["post"],
    "invitations/decline": ["post"],
    "invitations/preview": ["post"],
    "me/invitations": ["get"],
}
ROUTES = {
    None: {**ALWAYS, **USER_KEYS, **OF_ROLES},
    "NamedRoles": {**ALWAYS, **USER_KEYS, **OF_ROLES},
    "TeamMemberships": ALWAYS,
    "CompanyMemberships": {**ALWAYS, **USER_KEYS},
}


def read_routes(patterns, prefix=""):
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if hasattr(pattern, "url_patterns"):
            yield from read_routes(pattern.url_patterns, route)
        else:
            yield route, sorted(set(pattern.callback.actions) - {"head"})


@pytest.mark.parametrize("name", ROUTES)
def test_mounted_routes(settings, mounted, name):
    if name:
        use(settings, name)
    mounted()

    routes = list(read_routes(closient_auth.urls.urlpatterns))
    assert len(routes) == len(ROUTES[name])
    assert dict(routes) == ROUTES[name]


# The requests of an Owner about roles, and what they return by default.
STEPPED_BACK = {
    ("post", "/organizations"): HTTPStatus.CREATED,
    ("delete", "{tree}"): HTTPStatus.NO_CONTENT,
    ("get", "{tree}/members"): HTTPStatus.OK,
    ("head", "{tree}/members"): HTTPStatus.OK,
    ("get", "{tree}/members/{member}"): HTTPStatus.OK,
    ("patch", "{tree}/members/{member}"): HTTPStatus.OK,
    ("delete", "{tree}/members/{member}"): HTTPStatus.OK,
    ("get", "{tree}/members/{member}/offboarding"): HTTPStatus.OK,
    ("get", "{tree}/invitations"): HTTPStatus.OK,
    ("post", "{tree}/invitations"): HTTPStatus.CREATED,
    ("get", "{tree}/invitations/{invitation}"): HTTPStatus.OK,
    ("delete", "{tree}/invitations/{invitation}"): HTTPStatus.NO_CONTENT,
    ("post", "{tree}/invitations/{invitation}/resend"): HTTPStatus.OK,
    ("post", "/invitations/accept"): HTTPStatus.CREATED,
    ("post", "/invitations/decline"): HTTPStatus.NO_CONTENT,
    ("post", "/invitations/preview"): HTTPStatus.OK,
    ("get", "/me/invitations"): HTTPStatus.OK,
}
BODIES = {
    "/organizations": {"name": "New"},
    "{tree}/members/{member}": {"role": "billing"},
    "{tree}/invitations": {"email": "new@example.com"},
}


@pytest.fixture(params=STEPPED_BACK, ids=" ".join)
def stepped_back(request, companies):
    """Return a person with all rights, and one of the requests about roles: method, address and body.

    The person is a superuser, a member of the company, and an Owner in rows of ``Membership``.
    """
    method, address = request.param
    company, organization = make_company("Acme")
    ada = employ(company, is_superuser=True)
    MembershipFactory.create(organization=organization, user=ada, role="owner")
    member = MembershipFactory.create(organization=organization, role="editor")
    invitation, _ = make_invitation(organization, "ken@example.com", by=ada)
    to_ada, token = make_invitation(
        MembershipFactory.create(role="owner").organization, ada.email, by=Membership.objects.latest("created_at").user
    )
    data = {"token": token} if address.startswith("/invitations/") else BODIES.get(address)
    data = None if method in ("get", "head", "delete") else data or {}
    tree = f"/organizations/{organization.pk}"
    return ada, method, address.format(tree=tree, member=member.pk, invitation=invitation.pk), data


def test_route_works_by_default(settings, mounted, stepped_back, send, request):
    settings.CLOSIENT_AUTH = {}
    mounted()

    assert send(*stepped_back)[0] == STEPPED_BACK[request.node.callspec.params["stepped_back"]]


def test_route_that_steps_back(mounted, stepped_back, send):
    mounted()
    ada, method, address, data = stepped_back
    before = get_rows()

    status, body = send(*stepped_back)

    # Other methods of these two routes are mounted.
    if address.count("/") <= 2 and not address.startswith(("/invitations/", "/me/")):
        assert (status, body) == (
            HTTPStatus.METHOD_NOT_ALLOWED,
            {"detail": f'Method "{method.upper()}" not allowed.'},
        )
    else:
        # Django's page.
        assert (status, body) == (HTTPStatus.NOT_FOUND, None)
    assert get_rows() == before
    assert send(ada, "get", "/me")[0] == HTTPStatus.OK


def test_route_that_steps_back_at_run_time(settings, mounted, stepped_back, send):
    """The routes were mounted before the setting changed."""
    settings.CLOSIENT_AUTH = {}
    mounted()
    use(settings, "CompanyMemberships")
    before = get_rows()

    status, body = send(*stepped_back)

    assert (status, body) == (HTTPStatus.NOT_FOUND, None if stepped_back[1] == "head" else NOT_FOUND[1])
    assert get_rows() == before
    assert send(stepped_back[0], "get", "/me")[0] == HTTPStatus.OK


def test_key_learns_as_little(settings, mounted, stepped_back, call):
    """Whether a credential is valid makes no difference on a route that does not exist."""
    settings.CLOSIENT_AUTH = {}
    mounted()
    use(settings, "CompanyMemberships")
    ada, method, address, data = stepped_back
    before = get_rows()

    answers = {
        (response.status_code, response.content)
        for response in (
            call(address, method=method, data=data),
            call(address, make_key("csu", user=ada)[1], method=method, data=data),
            call(address, "csb_wrong", method=method, data=data),
        )
    }

    assert [status for status, _ in answers] == [HTTPStatus.NOT_FOUND]
    assert get_rows()[0] == before[0]
    assert get_rows()[2:] == before[2:]


# --- OpenAPI ---


@pytest.mark.parametrize("name", ["TeamMemberships", "CompanyMemberships"])
def test_schema(name):
    """The document has no warnings; ``describe()`` fails otherwise."""
    schema = describe("closient_auth.urls", MEMBERSHIPS=f"tests.memberships.adapters.{name}")

    found = {address: sorted(set(item) - {"parameters"}) for address, item in schema["paths"].items()}
    assert found == {
        f"/{route.replace('<str:', '{').replace('>', '}')}": methods for route, methods in ROUTES[name].items()
    }
    operation = schema["paths"]["/organizations/{organization_id}"]["patch"]
    (body,) = operation["requestBody"]["content"].values()
    component = schema["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
    writable = [name for name, field in component["properties"].items() if not field.get("readOnly")]
    assert writable == ["user_keys_allowed"]
