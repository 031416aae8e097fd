"""Restricted keys, suspended organizations and organizations without user keys, at each request."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import JSONField, Value
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from closient_auth.actors import get_actor
from closient_auth.models import ApiKey, Invitation, Membership, Organization
from closient_auth.organizations import get_access, get_organization
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.requests.last_used import NOW, stored

pytestmark = pytest.mark.django_db

VIEW = "organization.view_organization"
CONTRIBUTE = "organization.contribute_organization"
BILLING = "organization.manage_billing"
KEYS = "organization.manage_api_keys"
MEMBERS = "organization.manage_members"
DELETE = "organization.delete_organization"
OWNER = [VIEW, CONTRIBUTE, BILLING, KEYS, MEMBERS, DELETE]


def get_outcome(response):
    """Return the code of the error, or the status for one without."""
    body = response.json()
    if response.status_code == HTTPStatus.FORBIDDEN:
        return body["code"]
    return body.get("code", response.status_code) if isinstance(body, dict) else response.status_code


@pytest.fixture
def outcome(call):
    """Return a function to send a request and return its outcome; ``remote`` is ``REMOTE_ADDR``."""

    def outcome(*args, remote=None, **kwargs):
        if remote is not None:
            kwargs["client"] = APIClient(REMOTE_ADDR=remote)
        return get_outcome(call(*args, **kwargs))

    return outcome


@pytest.fixture
def owner(acme):
    """Return a user who is an Owner of Acme."""
    return MembershipFactory.create(organization=acme, role="owner").user


def make_of(prefix, organization, **kwargs):
    """Return a key of the organization, or of a new Owner of it."""
    if prefix != "csu":
        return make_key(prefix, organization=organization, **kwargs)
    return make_key(prefix, user=MembershipFactory.create(organization=organization, role="owner").user, **kwargs)


# TRUSTED_PROXIES, REMOTE_ADDR, X-Forwarded-For, and whether this is a client in NETWORKS.
NETWORKS = ["203.0.113.0/24", "2001:db8::/32"]
CLIENTS = [
    (0, "203.0.113.9", None, True),
    (0, "203.0.112.255", None, False),
    (0, "203.0.114.0", None, False),
    (0, "2001:db8:ffff::1", None, True),
    (0, "2001:db9::1", None, False),
    (0, "::1", None, False),
    (0, "fe80::1%eth0", None, False),
    # A server that listens on IPv6.
    (0, "::ffff:203.0.113.9", None, True),
    (0, "::ffff:192.0.2.1", None, False),
    # The same 32 bits, not mapped.
    (0, "::203.0.113.9", None, False),
    # A server that listens on a Unix socket.
    (0, "", None, False),
    (0, "unix:", None, False),
    (0, "", "203.0.113.9", False),
    (1, "", "203.0.113.9", True),
    (1, "unix:", "203.0.113.9", True),
    # Without proxies, the client has written the header.
    (0, "192.0.2.1", "203.0.113.9", False),
    (0, "203.0.113.9", "192.0.2.1", True),
    (1, "10.0.0.1", "203.0.113.9", True),
    (1, "10.0.0.1", "203.0.113.9:4711", True),
    (1, "10.0.0.1", "[2001:db8::1]:4711", True),
    (1, "10.0.0.1", "::ffff:203.0.113.9", True),
    (1, "10.0.0.1", "192.0.2.1, 203.0.113.9", True),
    (1, "10.0.0.1", "junk, 203.0.113.9", True),
    # What the client has written is further left.
    (1, "10.0.0.1", "203.0.113.9, 192.0.2.1", False),
    (1, "10.0.0.1", "203.0.113.9, 203.0.113.9, 192.0.2.1", False),
    (1, "203.0.113.9", "192.0.2.1", False),
    # The request has not passed the proxy, or the proxy does not know the client.
    (1, "203.0.113.9", None, False),
    (1, "203.0.113.9", "", False),
    (1, "203.0.113.9", "unknown", False),
    (1, "203.0.113.9", "203.0.113.9, ", False),
    (1, "203.0.113.9", "203.0.113.9, 203.0.113", False),
    (2, "10.0.0.1", "203.0.113.9, 10.0.0.2", True),
    (2, "10.0.0.1", "192.0.2.1, 203.0.113.9, 10.0.0.2", True),
    (2, "10.0.0.1", "203.0.113.9, 192.0.2.1, 10.0.0.2", False),
    (2, "203.0.113.9", "203.0.113.9", False),
    (2, "203.0.113.9", ", 203.0.113.9", False),
    (2, "203.0.113.9", None, False),
]


@pytest.mark.parametrize(("proxies", "remote", "forwarded", "is_in"), CLIENTS)
def test_network(outcome, settings, acme, proxies, remote, forwarded, is_in):
    settings.CLOSIENT_AUTH = {"TRUSTED_PROXIES": proxies}
    headers = {} if forwarded is None else {"x_forwarded_for": forwarded}

    for prefix in ("csb", "csu", "cpk"):
        api_key, raw_key = make_of(prefix, acme, allowed_networks=NETWORKS)
        _, free = make_of(prefix, acme)
        expected = HTTPStatus.OK if is_in else "network_not_allowed"
        assert outcome("/open-who/", raw_key, remote=remote, **headers) == expected
        assert outcome("/open-who/", free, remote=remote, **headers) == HTTPStatus.OK
        # A refused use is one as well: somebody has the key.
        assert stored(api_key) is not None


def test_network_in_another_spelling_in_the_row(outcome):
    api_key, raw_key = make_key("csb")
    ApiKey.objects.filter(pk=api_key.pk).update(allowed_networks=["::ffff:203.0.113.0/120", "192.0.2.0/255.255.255.0"])

    for remote in ("203.0.113.9", "::ffff:203.0.113.9", "192.0.2.7"):
        assert outcome("/who/", raw_key, remote=remote) == HTTPStatus.OK
    assert outcome("/who/", raw_key, remote="198.51.100.7") == "network_not_allowed"


# The Origin and Referer of a request, and whether https://shop.example has sent it.
PAGES = [
    ("https://shop.example", None, True),
    ("https://shop.example", "https://evil.example/", True),
    ("https://evil.example", None, False),
    ("https://evil.example", "https://shop.example/", False),
    ("null", "https://shop.example/", False),
    ("", "https://shop.example/", False),
    ("http://shop.example", None, False),
    ("https://shop.example:8443", None, False),
    ("https://shop.example/", None, False),
    ("https://a.shop.example", None, False),
    ("https://shop.example.evil.example", None, False),
    ("https://evil.example, https://shop.example", None, False),
    ("https://shop.example https://evil.example", None, False),
    ("*", None, False),
    (None, "https://shop.example", True),
    (None, "https://shop.example/", True),
    (None, "https://shop.example/page?a=https://evil.example#b", True),
    (None, "https://shop.example:443/page", True),
    (None, "https://SHOP.example/page", True),
    (None, "http://shop.example/", False),
    (None, "https://shop.example:8443/", False),
    (None, "https://evil.example/https://shop.example", False),
    (None, "https://shop.example@evil.example/", False),
    (None, "https://evil.example@shop.example/", False),
    (None, "https://shop.example.evil.example/", False),
    (None, "//shop.example/", False),
    (None, "shop.example", False),
    (None, "https://[::1", False),
    (None, "about:blank", False),
    (None, "", False),
    (None, None, False),
]


@pytest.mark.parametrize(("origin", "referer", "is_in"), PAGES)
def test_origin(outcome, origin, referer, is_in):
    api_key, raw_key = make_key("cpk", allowed_origins=["http://localhost:3000", "https://shop.example"])
    headers = {name: value for name, value in {"origin": origin, "referer": referer}.items() if value is not None}

    assert outcome("/open-who/", raw_key, **headers) == (HTTPStatus.OK if is_in else "origin_not_allowed")
    assert outcome("/open-who/", make_key("cpk")[1], **headers) == HTTPStatus.OK
    assert stored(api_key) is not None


NOT_LISTS: list[Any] = [Value(None, JSONField()), "", "text", 5, True, {}, {"a": 1}, [5], [None], [[VIEW]], [{"a": 1}]]
# A malformed value in a row, and the code of the refusal.
MALFORMED = [
    *(("permissions", value, "permission_denied") for value in NOT_LISTS[1:]),
    *(
        ("permissions", value, "permission_denied")
        for value in ([""], ["orders.refund"], [VIEW, f"{VIEW} "], [VIEW, 5])
    ),
    *(("allowed_networks", value, "network_not_allowed") for value in NOT_LISTS),
    # The client of these requests has the address 127.0.0.1.
    ("allowed_networks", "127.0.0.0/8", "network_not_allowed"),
    ("allowed_networks", [["127.0.0.0/8"]], "network_not_allowed"),
    ("allowed_networks", {"127.0.0.0/8": True}, "network_not_allowed"),
    ("allowed_networks", ["127.0.0.0/8", "10.0.0.0/33"], "network_not_allowed"),
    ("allowed_networks", ["127.0.0.0/8", "127.0.0.1/8"], "network_not_allowed"),
    ("allowed_networks", ["*"], "network_not_allowed"),
    *(("allowed_origins", value, "origin_not_allowed") for value in NOT_LISTS),
    ("allowed_origins", "https://shop.example", "origin_not_allowed"),
    ("allowed_origins", [["https://shop.example"]], "origin_not_allowed"),
    ("allowed_origins", ["https://shop.example", "null"], "origin_not_allowed"),
    ("allowed_origins", ["https://shop.example", "*"], "origin_not_allowed"),
]
PATHS = ["/open-who/", "/who/", "/organization/", "/organizations/acme/"]


@pytest.mark.parametrize(("field", "value", "code"), MALFORMED, ids=map(str, range(len(MALFORMED))))
def test_malformed_value_in_the_row(outcome, acme, field, value, code):
    for prefix in ("csb", "csu", "cpk"):
        api_key, raw_key = make_of(prefix, acme)
        _, neighbour = make_of(prefix, acme)
        paths = PATHS[:1] if prefix == "cpk" else PATHS
        ApiKey.objects.filter(pk=api_key.pk).update(**{field: value})
        for path in paths:
            assert outcome(path, raw_key, origin="https://shop.example") == code
            assert outcome(path, neighbour, origin="https://shop.example") == HTTPStatus.OK


def test_origin_null_in_the_row_is_not_that_of_a_sandboxed_page(outcome):
    api_key, raw_key = make_key("cpk")
    for value in (["null"], [""], ["*"]):
        ApiKey.objects.filter(pk=api_key.pk).update(allowed_origins=value)
        assert outcome("/open-who/", raw_key, origin=value[0]) == "origin_not_allowed"


@pytest.mark.parametrize("text", ['"text"', "5", '{"a": 1}', f'["{VIEW}", "x.y"]', "[[]]"])
def test_malformed_value_by_raw_sql(outcome, acme, text):
    api_key, raw_key = make_of("csb", acme)
    pk = api_key.pk if connection.features.has_native_uuid_field else api_key.pk.hex
    for field, code in [("permissions", "permission_denied"), ("allowed_networks", "network_not_allowed")]:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE closient_auth_apikey SET {field} = %s WHERE id = %s", [text, pk])
        assert outcome("/who/", raw_key) == outcome("/organization/", raw_key) == code
        ApiKey.objects.filter(pk=api_key.pk).update(**{field: None if field == "permissions" else []})
        assert outcome("/organization/", raw_key) == HTTPStatus.OK


@pytest.mark.parametrize("value", [Value(None, JSONField()), "text", 5, {}, [None], ["text"]])
def test_malformed_list_of_organizations_that_shut_the_key_out(outcome, acme, value):
    api_key, raw_key = make_of("csu", acme)
    ApiKey.objects.filter(pk=api_key.pk).update(shut_out_of=value)

    assert {outcome(path, raw_key) for path in PATHS[1:]} == {"permission_denied"}


def test_permissions_that_the_project_has_removed(outcome, acme, settings):
    """The key does not get the permissions that are left: the name could have been a mistake."""
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"owner": ["orders.refund"]}}
    _, raw_key = make_of("csb", acme, permissions=[VIEW, "orders.refund"])
    assert outcome("/organization/", raw_key) == HTTPStatus.OK

    settings.CLOSIENT_AUTH = {}

    assert outcome("/organization/", raw_key) == outcome("/who/", raw_key) == "permission_denied"


class AccessView(APIView):
    """Return what the request may do, in every way in which a view can ask."""

    def get(self, request, **kwargs):
        organization = get_organization(request)
        access = get_access(request)
        user = request.user
        return Response(
            {
                "access": [name for name in OWNER if access.allows(name)],
                "has_perm": [name for name in OWNER if user.has_perm(name, organization)],
                "all": sorted(user.get_user_permissions(organization) & set(OWNER), key=OWNER.index),
                "django": [name for name in OWNER if request._request.user.has_perm(name, organization)],
                "has_perms": user.has_perms(OWNER, organization),
                "global": user.has_perm(VIEW),
            }
        )


@pytest.fixture
def backends(settings):
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "closient_auth.backends.OrganizationBackend",
    ]


# Who, the permissions of the key, and what the request may do.
EFFECTIVE = [
    ("csb", None, OWNER),
    ("csb", [], []),
    ("csb", [VIEW], [VIEW]),
    ("csb", [DELETE, BILLING], [BILLING, DELETE]),
    ("owner", None, OWNER),
    ("owner", [], []),
    ("owner", [BILLING, VIEW], [VIEW, BILLING]),
    ("editor", None, [VIEW, CONTRIBUTE]),
    ("editor", [VIEW], [VIEW]),
    ("editor", [VIEW, DELETE], [VIEW]),
    ("editor", [DELETE], []),
    ("superuser", None, [VIEW, CONTRIBUTE]),
    ("superuser", [VIEW, DELETE], [VIEW]),
    ("superuser", [], []),
]


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize(("who", "permissions", "expected"), EFFECTIVE)
def test_permissions(call, mount, acme, who, permissions, expected):
    mount(AccessView.as_view())
    if who == "csb":
        _, raw_key = make_key("csb", organization=acme, permissions=permissions)
    else:
        is_superuser = who == "superuser"
        user = UserFactory.create(is_superuser=is_superuser, is_staff=is_superuser)
        MembershipFactory.create(organization=acme, user=user, role="editor" if is_superuser else who)
        _, raw_key = make_key("csu", user=user, permissions=permissions)

    body = call("/", raw_key).json()

    # A superuser has what a superuser has everywhere, but nothing in an organization.
    assert body.pop("global") is (who == "superuser")
    assert body.pop("has_perms") is (expected == OWNER)
    assert body == dict.fromkeys(["access", "has_perm", "all", "django"], expected)


class ForeignView(APIView):
    """Return whether ``has_perm()`` lets the user view each organization, whatever that of the request is."""

    def get(self, request):
        organizations = Organization.objects.order_by("slug")
        return Response([each.slug for each in organizations if request.user.has_perm(VIEW, each)])


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize("is_superuser", [False, True])
def test_has_perm_in_several_organizations(call, mount, acme, globex, is_superuser):
    mount(ForeignView.as_view())
    user = UserFactory.create(is_superuser=is_superuser)
    for organization in (acme, globex):
        MembershipFactory.create(organization=organization, user=user)
    ask = lambda **kwargs: call("/", make_key("csu", user=user, **kwargs)[1]).json()  # noqa: E731

    assert ask() == ["acme", "globex"]
    assert ask(restricted_to=globex) == ["globex"]
    assert ask(permissions=[CONTRIBUTE]) == []
    shut_out, raw_key = make_key("csu", user=user)
    shut_out.shut_out(acme)
    assert call("/", raw_key).json() == ["globex"]
    acme.allow_user_keys(False)
    assert ask() == ["globex"]
    globex.suspend()
    assert ask() == []
    # A session is no key, but a suspended organization is closed to its members.
    assert call("/", user=user).json() == (["acme", "globex"] if is_superuser else ["acme"])


def change_role(role):
    def operate(organization, by):
        organization.memberships.get(role="editor").change_role(role, by=by)

    return operate


# An operation, and the permission that it needs; None is all of an Owner's.
OPERATIONS = {
    "rename": (DELETE, lambda organization, by: organization.rename(name="New", by=by)),
    "delete": (DELETE, lambda organization, by: organization.delete(by=by)),
    "allow user keys": (KEYS, lambda organization, by: organization.allow_user_keys(False, by=by)),
    "create a key": (
        KEYS,
        lambda organization, by: ApiKey.objects.create_key(prefix="csb", organization=organization, by=by),
    ),
    "rotate a key": (KEYS, lambda organization, by: organization.api_keys.get().rotate(by=by)),
    "change a key": (KEYS, lambda organization, by: organization.api_keys.get().change(name="New", by=by)),
    "revoke a key": (KEYS, lambda organization, by: organization.api_keys.get().revoke(by=by)),
    "invite": (
        MEMBERS,
        lambda organization, by: Invitation.objects.invite(organization=organization, email="a@example.com", by=by),
    ),
    "promote": (MEMBERS, change_role("manager")),
    "remove": (MEMBERS, lambda organization, by: organization.memberships.get(role="editor").remove(by=by)),
    "leave": (VIEW, lambda organization, by: organization.memberships.get(user=getattr(by, "user", by)).remove(by=by)),
    "make an Owner": (None, change_role("owner")),
    "invite an Owner": (
        None,
        lambda organization, by: Invitation.objects.invite(
            organization=organization, email="a@example.com", role="owner", by=by
        ),
    ),
    "shut out": (
        KEYS,
        lambda organization, by: ApiKey.objects.get(prefix="csu", name="Member").shut_out(organization, by=by),
    ),
}
ACTORS = {
    "request.user": lambda request: request.user,
    "Django's request.user": lambda request: request._request.user,
    "get_actor(request)": get_actor,
    "get_actor() of Django's request": lambda request: get_actor(request._request),
}


def read_rows():
    models = (Organization, Membership, Invitation, ApiKey)
    return [list(model._base_manager.order_by("pk").values()) for model in models]


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_on_behalf_of_the_caller(call, mount, settings, acme, globex, name, actor):
    permission, operate = OPERATIONS[name]
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 3600}
    MembershipFactory.create(organization=acme, role="owner")
    member = MembershipFactory.create(organization=acme)
    make_key("csu", user=member.user, name="Member")
    user = MembershipFactory.create(organization=acme, role="owner").user
    MembershipFactory.create(organization=globex, user=user, role="owner")
    make_key("csb", organization=acme)

    class OperationView(APIView):
        def post(self, request):
            try:
                operate(Organization.objects.get(slug="acme"), ACTORS[actor](request))
            except PermissionDenied:
                return Response("refused")
            return Response("done")

    mount(OperationView.as_view())
    everything_else = [each for each in OWNER if each != permission]
    weaker = everything_else[:-1] if permission is None else everything_else
    shut_out, shut_out_key = make_key("csu", user=user)
    shut_out.shut_out(acme)
    refused = [
        make_key("csu", user=user, permissions=weaker)[1],
        make_key("csu", user=user, permissions=[])[1],
        make_key("csu", user=user, restricted_to=globex)[1],
        shut_out_key,
    ]
    _, enough = make_key(
        "csu", user=user, permissions=OWNER if permission is None else [permission], restricted_to=acme
    )
    ApiKey.objects.update(last_used=NOW)

    with time_machine.travel(NOW, tick=False):
        before = read_rows()
        for raw_key in refused:
            assert call("/", raw_key, method="post").json() == "refused"
            assert read_rows() == before
        assert call("/", enough, method="post").json() == "done"
        assert read_rows() != before


def test_key_for_one_organization(call, outcome, acme, globex, owner):
    MembershipFactory.create(organization=globex, user=owner)
    _, raw_key = make_key("csu", user=owner, restricted_to=acme)
    _, free = make_key("csu", user=owner)

    assert outcome("/organizations/acme/", raw_key) == outcome("/organization/", raw_key, x_organization="acme") == 200
    there = [call("/organizations/globex/", raw_key), call("/organization/", raw_key, x_organization="globex")]
    nowhere = [call(f"/organizations/{uuid4()}/", raw_key), call("/organization/", raw_key, x_organization="unknown")]
    assert {response.status_code for response in there} == {HTTPStatus.NOT_FOUND}
    assert [(each.content, str(each.headers)) for each in there] == [
        (each.content, str(each.headers)) for each in nowhere
    ]
    assert outcome("/organizations/globex/", free) == HTTPStatus.OK

    # The key chooses no organization: the unrestricted key would be refused.
    for raw, slugs in [(raw_key, ["acme"]), (free, ["acme", "globex"])]:
        response = call("/organization/", raw)
        assert (response.status_code, response.json()["code"]) == (HTTPStatus.BAD_REQUEST, "organization_required")
        assert sorted(each["slug"] for each in response.json()["organizations"]) == slugs
        assert outcome("/who/", raw) == HTTPStatus.OK
    # With one membership there is no choice.
    Membership.objects.filter(organization=globex).delete()
    assert call("/organization/", raw_key).json() == {"organization": "acme"}


def test_key_for_an_organization_that_its_user_has_left(call, acme, globex, owner):
    MembershipFactory.create(organization=acme, role="owner")
    MembershipFactory.create(organization=globex, user=owner)
    _, raw_key = make_key("csu", user=owner, restricted_to=acme)
    owner.closient_auth_memberships.get(organization=acme).remove()

    for path in ("/organizations/acme/", "/organizations/globex/"):
        assert call(path, raw_key).status_code == HTTPStatus.NOT_FOUND
    response = call("/organization/", raw_key)
    assert (response.status_code, response.json()["code"]) == (HTTPStatus.BAD_REQUEST, "organization_required")
    assert response.json()["organizations"] == []


# Who, and the outcomes in a suspended organization of PATHS and of another organization.
SUSPENDED = "organization_suspended"
IN_SUSPENDED = {
    "csb": [SUSPENDED] * 4,
    "csu": [200, 200, SUSPENDED, SUSPENDED],
    "csu of superuser": [200, 200, SUSPENDED, SUSPENDED],
    "member": [200, 200, SUSPENDED, SUSPENDED],
    "superuser": [200, 200, 400, 200],
    "member and superuser": [200, 200, 200, 200],
}


@pytest.mark.parametrize(("who", "expected"), IN_SUSPENDED.items())
def test_suspended_organization(outcome, acme, globex, who, expected):
    user = UserFactory.create(is_superuser="superuser" in who)
    if who != "superuser":
        MembershipFactory.create(organization=acme, user=user, role="owner")
    credential: dict[str, Any] = {"user": user}
    if who == "csb":
        credential = {"raw_key": make_key("csb", organization=acme)[1]}
    elif "csu" in who:
        credential = {"raw_key": make_key("csu", user=user)[1]}
    other = {"raw_key": make_key("csb", organization=globex)[1]}
    ask = lambda: [outcome(path, **credential) for path in PATHS]  # noqa: E731
    normally = [200 if code == SUSPENDED else code for code in expected]
    normally = [code if code != 400 else "organization_required" for code in normally]
    assert ask() == normally

    acme.suspend()
    assert ask() == [code if code != 400 else "organization_required" for code in expected]
    assert outcome("/organization/", **other) == 200
    acme.lift_suspension()
    assert ask() == normally


def test_publishable_key_of_a_suspended_organization(outcome, acme):
    _, raw_key = make_key("cpk", organization=acme)
    acme.suspend()

    assert outcome("/open-who/", raw_key) == "organization_suspended"


@pytest.mark.parametrize("who", ["outsider", "csb", "csu"])
def test_outsiders_do_not_learn_of_a_suspension(call, acme, who):
    acme.suspend()
    user = MembershipFactory.create().user
    credential: dict[str, Any] = {"user": user} if who == "outsider" else {"raw_key": make_key(who)[1]}
    if who == "csu":
        credential = {"raw_key": make_key("csu", user=user)[1]}

    there, nowhere = (call(f"/organizations/{name}/", **credential) for name in ("acme", "unknown"))
    assert there.status_code == nowhere.status_code == HTTPStatus.NOT_FOUND
    assert (there.content, str(there.headers)) == (nowhere.content, str(nowhere.headers))


def test_organization_without_user_keys(outcome, acme, globex, owner):
    _, user_key = make_key("csu", user=owner)
    MembershipFactory.create(organization=globex, user=owner)
    superuser = MembershipFactory.create(organization=acme, user__is_superuser=True).user
    _, superuser_key = make_key("csu", user=superuser)
    others: list[Any] = [{"user": owner}, {"raw_key": make_key("csb", organization=acme)[1]}, {"user": superuser}]
    acme.allow_user_keys(False)

    for raw_key in (user_key, superuser_key):
        assert outcome("/organizations/acme/", raw_key) == "user_key_not_allowed"
        assert outcome("/organization/", raw_key, x_organization="acme") == "user_key_not_allowed"
        assert outcome("/who/", raw_key) == 200
    assert outcome("/organizations/globex/", user_key) == 200
    assert [outcome("/organizations/acme/", **credential) for credential in others] == [200] * 3
    acme.allow_user_keys(True)
    assert outcome("/organizations/acme/", user_key) == 200


def test_shut_out_user_key(outcome, acme, globex, owner):
    MembershipFactory.create(organization=globex, user=owner)
    api_key, raw_key = make_key("csu", user=owner)
    _, neighbour = make_key("csu", user=owner)
    api_key.shut_out(acme)

    assert outcome("/organizations/acme/", raw_key) == "user_key_not_allowed"
    for path, raw in [("/organizations/globex/", raw_key), ("/who/", raw_key), ("/organizations/acme/", neighbour)]:
        assert outcome(path, raw) == 200
    successor, raw_successor = api_key.rotate(by=owner)
    assert outcome("/organizations/acme/", raw_successor) == "user_key_not_allowed"
    assert outcome("/organizations/globex/", raw_successor) == 200
    successor.let_in(acme)
    assert outcome("/organizations/acme/", raw_successor) == 200


def test_suspension_comes_before_the_rule_for_user_keys(outcome, acme, owner):
    _, raw_key = make_key("csu", user=owner)
    acme.allow_user_keys(False)
    acme.suspend()

    assert outcome("/organization/", raw_key) == "organization_suspended"


# The seconds from 30 days until the expiry of the key, and whether the response names it.
@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(("seconds", "is_named"), [(1, False), (0, True), (-1, True), (-30 * 86_400 + 1, True)])
def test_expiry_in_the_response(call, settings, seconds, is_named):
    settings.TIME_ZONE = "Asia/Tokyo"
    expires_at = NOW + timedelta(days=30, seconds=seconds)
    _, raw_key = make_key("csb", expires_at=expires_at, allowed_networks=["127.0.0.1"])
    expected = f"{expires_at:%Y-%m-%dT%H:%M:%SZ}" if is_named else None

    accepted = call("/who/", raw_key)
    refused = call("/who/", raw_key, client=APIClient(REMOTE_ADDR="192.0.2.1"))

    assert (accepted.status_code, refused.status_code) == (HTTPStatus.OK, HTTPStatus.FORBIDDEN)
    for response in (accepted, refused, call("/organizations/unknown/", raw_key)):
        assert response.headers.get("X-API-Key-Expires") == expected


@pytest.mark.usefixtures("noon")
def test_no_expiry_in_the_response(call):
    _, expired = make_key("csb", expires_at=NOW - timedelta(seconds=1))

    for raw_key in (make_key("csb")[1], expired, "junk", None):
        assert "X-API-Key-Expires" not in call("/who/", raw_key).headers


def test_over_the_limit_is_told_before_a_restriction(call, outcome):
    """Whoever guesses at networks has the limit of the key."""
    _, raw_key = make_key("csb", rate_limit_per_minute=1, allowed_networks=["203.0.113.9"])

    assert [outcome("/who/", raw_key) for _ in range(2)] == ["network_not_allowed", "throttled"]


@pytest.mark.parametrize(
    ("limit", "default", "maximum", "policy"),
    [
        (0, 0, 0, None),
        (0, 0, 10, "10;w=60"),
        (0, 300, 10, "10;w=60"),
        (0, 5, 10, "5;w=60"),
        (20, 300, 10, "10;w=60"),
        (5, 300, 10, "5;w=60"),
        (20, 300, 0, "20;w=60"),
    ],
)
def test_no_limit_is_above_the_maximum(call, settings, limit, default, maximum, policy):
    settings.CLOSIENT_AUTH = {
        "RATE_LIMIT_PER_MINUTE": default,
        "RATE_LIMIT_PER_DAY": 0,
        "MAX_RATE_LIMIT_PER_MINUTE": maximum,
    }
    _, raw_key = make_key("csb", rate_limit_per_minute=limit)
    assert call("/who/", raw_key).headers.get("RateLimit-Policy") == policy

    names = {"RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": default, "MAX_RATE_LIMIT_PER_DAY": maximum}
    settings.CLOSIENT_AUTH = names | {"RATE_LIMIT_POLICY": "structured"}
    _, raw_key = make_key("csb", rate_limit_per_day=limit)
    number = policy and policy.partition(";")[0]
    assert call("/who/", raw_key).headers.get("RateLimit-Policy") == (policy and f'"day";q={number};w=86400')
