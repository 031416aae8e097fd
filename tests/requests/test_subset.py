"""Restrictions only take away: a restricted key is allowed nothing that the same key without them is not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import JsonResponse
from django.urls import path
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from closient_auth.actors import get_actor
from closient_auth.contrib.django import organization_permission_required
from closient_auth.decorators import publishable
from closient_auth.models import ApiKey, LastOwnerError, Membership, Organization
from closient_auth.models.actors import as_actor
from closient_auth.organizations import get_access
from closient_auth.permissions import HasOrganizationPermission
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

VIEW = "organization.view_organization"
KEYS = "organization.manage_api_keys"
MEMBERS = "organization.manage_members"
DELETE = "organization.delete_organization"
PERMISSIONS = [VIEW, "organization.contribute_organization", "organization.manage_billing", KEYS, MEMBERS, DELETE]
SLUGS = ["acme", "globex", "initech"]
# The memberships of each person, by role in Acme and Globex. Nobody but an Owner is in Initech.
PEOPLE: dict[str, dict[str, str]] = {
    "owner": {"acme": "owner"},
    "manager": {"acme": "manager"},
    "editor": {"acme": "editor"},
    "superuser": {"acme": "editor"},
    "person of two": {"acme": "owner", "globex": "billing"},
    "nobody": {},
}


class Undone(Exception):
    pass


def grant(api_key):
    """Return the permissions that the caller gives to a business key."""
    return PERMISSIONS if api_key.permissions is None else api_key.permissions


def create(organization, by):
    return grant(ApiKey.objects.create_key(prefix="csb", organization=organization, by=by)[0])


def rotate(organization, by):
    return grant(organization.api_keys.get(name="Shop").rotate(by=by)[0])


def change_role(role):
    return lambda organization, by: organization.memberships.get(user__username="member").change_role(role, by=by)


# What a view does with ``by=``, and the permissions that it needs.
OPERATIONS: dict[str, Any] = {
    "rename": ([DELETE], lambda organization, by: organization.rename(name="New", by=by)),
    "delete": ([DELETE], lambda organization, by: organization.delete(by=by)),
    "allow user keys": ([KEYS], lambda organization, by: organization.allow_user_keys(True, by=by)),
    "create a key": ([KEYS], create),
    "rotate a key": ([KEYS], rotate),
    "promote": ([MEMBERS], change_role("manager")),
    "make an Owner": (PERMISSIONS, change_role("owner")),
    "remove": ([MEMBERS], lambda organization, by: organization.memberships.get(user__username="member").remove(by=by)),
    "leave": ([VIEW], lambda organization, by: organization.memberships.get(user=as_actor(by).user).remove(by=by)),
}


def attempt(operate, organization, by):
    """Return the results of the operation, or nothing for a refused one. Undo it."""
    try:
        with transaction.atomic():
            result = operate(organization, by)
            raise Undone
    except Undone:
        return result if isinstance(result, list) else [None]
    except (PermissionDenied, ValidationError, LastOwnerError, Membership.DoesNotExist):
        return []


def describe(request, permission):
    """Return all that the request may do in any organization, each as the organization, permissions and a text."""
    access, user = get_access(request), request.user
    default = VIEW if request.method == "GET" else PERMISSIONS[1]
    may = [(access.organization.slug, [permission or default], "request")]
    may += [(access.organization.slug, [name], "access") for name in PERMISSIONS if access.allows(name)]
    for organization in Organization.objects.order_by("slug"):
        slug, held = organization.slug, user.get_all_permissions(organization)
        may += [(slug, [name], "get_all_permissions") for name in PERMISSIONS if name in held]
        may += [(slug, [name], "has_perm") for name in PERMISSIONS[-2:] if user.has_perm(name, organization)]
        if name := request.GET.get("operation"):
            needed, operate = OPERATIONS[name]
            for which, by in [("user", user), ("actor", get_actor(request))]:
                results = attempt(operate, Organization.objects.get(pk=organization.pk), by)
                may += [(slug, [*needed, *([result] * bool(result))], f"{name} by {which}") for result in results]
    return {"may": may}


class View(APIView):
    permission_classes = [HasOrganizationPermission]
    required_permissions: Any = None

    def get(self, request, **kwargs):
        return Response(describe(request, self.required_permissions))

    post = get


def serve_rest_framework(permission, is_open):
    view: Any = type("View", (View,), {"required_permissions": permission})
    return (publishable(view) if is_open else view).as_view()


def serve_django(permission, is_open):
    gate = organization_permission_required(permission, publishable=is_open)
    return gate(lambda request, **kwargs: JsonResponse(describe(request, permission)))


@pytest.fixture(params=[serve_rest_framework, serve_django], ids=["rest framework", "django"])
def face(request, mount, settings):
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "closient_auth.backends.OrganizationBackend",
    ]
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0, "TRUSTED_PROXIES": 1}
    settings.CLOSIENT_AUTH |= {"PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 0, "LAST_USED_INTERVAL": 3600}
    patterns = []
    for permission in (None, *PERMISSIONS):
        for is_open in (True, False):
            view = request.param(permission, is_open)
            address = f"{permission}/{is_open}/"
            patterns += [path(address, view), path(f"in/<organization_id>/{address}", view)]
    mount(*patterns)


@pytest.fixture
def world():
    """Return the organizations, and for each holder two keys: one without restrictions, and one to restrict."""
    organizations = {slug: OrganizationFactory.create(name=slug, slug=slug) for slug in SLUGS}
    for organization in organizations.values():
        MembershipFactory.create(organization=organization, role="owner")
        make_key("csb", organization=organization, name="Shop")
    member = UserFactory.create(username="member")
    for slug in ("acme", "globex"):
        MembershipFactory.create(organization=organizations[slug], user=member)
    pairs = {}
    for name, roles in PEOPLE.items():
        is_superuser = name == "superuser"
        user = UserFactory.create(is_superuser=is_superuser, is_staff=is_superuser)
        for slug, role in roles.items():
            MembershipFactory.create(organization=organizations[slug], user=user, role=role)
        pairs[name] = [make_key("csu", user=user) for _ in range(2)]
    for prefix in ("csb", "cpk"):
        pairs[prefix] = [make_key(prefix, organization=organizations["acme"]) for _ in range(2)]
    return organizations, pairs


MALFORMED: list[Any] = ["", 5, True, {}, {"a": 1}, [5], [None], [[VIEW]], ["unknown"], VIEW, "127.0.0.1", ["null"]]


def mostly(value, *others):
    """Return a strategy for a value, in four of five examples, or else for one of the others."""
    return st.integers(0, 4).flatmap(lambda number: st.one_of(*others) if number == 3 else st.just(value))


def lists(values):
    return st.lists(st.sampled_from(values), max_size=6)


NETWORKS = ["127.0.0.0/8", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0", "::ffff:203.0.113.0/120"]
ORIGINS = ["https://shop.example", "https://evil.example", "http://localhost:3000"]
some = st.lists(st.sampled_from(SLUGS), min_size=1, max_size=2)
malformed = mostly(["unknown"], st.sampled_from(MALFORMED))
RESTRICTIONS = st.fixed_dictionaries(
    {
        "permissions": st.one_of(
            st.none(), *[lists(PERMISSIONS).map(lambda names: [VIEW, *names])] * 3, lists(PERMISSIONS), malformed
        ),
        "restricted_to": st.sampled_from([None, None, None, *SLUGS]),
        "allowed_networks": mostly([], lists(NETWORKS), lists(NETWORKS), malformed),
        "allowed_origins": mostly([], lists(ORIGINS), lists(ORIGINS), malformed),
        "shut_out_of": mostly([], some, some, malformed),
        "suspended": mostly([], some),
        "without user keys": mostly([], some),
    }
)
NOTHING: dict[str, Any] = {
    "permissions": None,
    "restricted_to": None,
    "allowed_networks": [],
    "allowed_origins": [],
    "shut_out_of": [],
    "suspended": [],
    "without user keys": [],
}
REQUESTS = st.fixed_dictionaries(
    {
        "method": mostly("GET", st.just("POST")),
        "in_url": st.sampled_from(["acme", "acme", "acme", None, None, "globex", "initech", "unknown"]),
        "in_header": mostly(None, st.sampled_from([*SLUGS, "unknown"])),
        "permission": mostly(VIEW, st.sampled_from([None, *PERMISSIONS])),
        "is_open": mostly(True, st.just(False)),
        "forwarded": mostly(
            "203.0.113.9", st.sampled_from([None, "127.0.0.1", "203.0.113.9, 192.0.2.1", "2001:db8::1"])
        ),
        "origin": mostly("https://shop.example", st.sampled_from([None, *ORIGINS, "null", "unknown"])),
        "referer": mostly(None, st.sampled_from(["https://shop.example/page", "https://evil.example/"])),
        "operation": st.sampled_from([None, *OPERATIONS]),
    }
)


PLAIN: dict[str, Any] = {
    "method": "GET",
    "in_url": "acme",
    "in_header": None,
    "permission": VIEW,
    "is_open": True,
    "forwarded": "203.0.113.9",
    "origin": None,
    "referer": None,
    "operation": None,
}


def restrict(api_key, organizations, restrictions):
    """Write the restrictions into the row, whatever they are."""
    values = {
        name: restrictions[name] for name in ("permissions", "allowed_networks", "allowed_origins", "shut_out_of")
    }
    # A malformed entry shuts out of nothing.
    if isinstance(values["shut_out_of"], list):
        values["shut_out_of"] = [str(organizations[slug].pk) for slug in values["shut_out_of"] if str(slug) in SLUGS]
    # The database refuses it for the key of an organization.
    if api_key.user_id is not None:
        values["restricted_to"] = organizations.get(restrictions["restricted_to"])
    ApiKey.objects.filter(pk=api_key.pk).update(**values)
    mark(organizations, restrictions["suspended"], restrictions["without user keys"])


def mark(organizations, suspended=(), without_user_keys=()):
    for slug, organization in organizations.items():
        Organization.objects.filter(pk=organization.pk).update(
            suspended_at=timezone.now() if slug in suspended else None, user_keys_allowed=slug not in without_user_keys
        )


def ask(raw_key, wanted):
    """Return what a request with the key is allowed in each organization, or which ones a refusal names."""
    address = f"/{wanted['permission']}/{wanted['is_open']}/?operation={wanted['operation'] or ''}"
    address = f"/in/{wanted['in_url']}{address}" if wanted["in_url"] else address
    headers = {
        "X-API-Key": raw_key,
        "X-Organization": wanted["in_header"],
        "X-Forwarded-For": wanted["forwarded"],
        "Origin": wanted["origin"],
        "Referer": wanted["referer"],
    }
    headers = {name: value for name, value in headers.items() if value is not None}
    response = APIClient().generic(wanted["method"], address, headers=headers)
    assert response.status_code in (200, 400, 403, 404), response.content
    body = response.json()
    if response.status_code == 200:
        return {(slug, frozenset(needed), text) for slug, needed, text in body["may"]}
    return {(each["slug"], frozenset(), "named") for each in body.get("organizations", [])}


# The networks with each client, and the origin of each page.
CLIENTS = {
    "203.0.113.9": {"203.0.113.0/24", "0.0.0.0/0", "::ffff:203.0.113.0/120"},
    "127.0.0.1": {"127.0.0.0/8", "0.0.0.0/0"},
    "203.0.113.9, 192.0.2.1": {"0.0.0.0/0"},
    "2001:db8::1": {"2001:db8::/32"},
}
PAGES = {"https://shop.example/page": "https://shop.example", "https://evil.example/": "https://evil.example"}


def is_welcome(wanted, restrictions):
    """Return whether the restrictions leave anything at all to a request."""
    lists = {"permissions": PERMISSIONS, "allowed_networks": NETWORKS, "allowed_origins": ORIGINS}
    for name, known in lists.items():
        value = restrictions[name]
        if value is not None and not (isinstance(value, list) and all(each in known for each in value)):
            return False
    networks, origins = restrictions["allowed_networks"], restrictions["allowed_origins"]
    origin = PAGES.get(wanted["referer"]) if wanted["origin"] is None else wanted["origin"]
    return (not networks or bool(CLIENTS.get(wanted["forwarded"], set()) & set(networks))) and (
        not origins or origin in origins
    )


def take_away(everything, wanted, restrictions, *, is_user_key):
    """Return what the restrictions leave: the model of this test."""
    if not is_welcome(wanted, restrictions):
        return set()
    permissions, shut_out_of = restrictions["permissions"], restrictions["shut_out_of"]
    closed = {*restrictions["suspended"], *(shut_out_of if isinstance(shut_out_of, list) else SLUGS)}
    others: set[str] = set()
    if is_user_key:
        closed |= {*restrictions["without user keys"]}
        others = {*SLUGS} - {restrictions["restricted_to"]} if restrictions["restricted_to"] else set()
    left = {
        (slug, needed, text)
        for slug, needed, text in everything
        if slug not in others
        and (text == "named" or slug not in closed)
        and (permissions is None or needed <= {*permissions})
    }
    # The key may not make this request. A refusal for want of an organization comes before.
    is_refused = not any(text in ("request", "named") for *_, text in left)
    return set() if is_refused else left


@pytest.mark.usefixtures("face")
def test_restrictions_take_away_and_do_nothing_else(world):
    organizations, pairs = world
    seen: Counter[str] = Counter()

    @settings(
        max_examples=400,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    # These take several things at once, which the strategies seldom find.
    @example("owner", {**PLAIN, "operation": "make an Owner"}, {**NOTHING, "permissions": [VIEW, MEMBERS]})
    @example("owner", {**PLAIN, "operation": "create a key"}, {**NOTHING, "permissions": [VIEW, KEYS]})
    @example("person of two", PLAIN, {**NOTHING, "without user keys": ["globex"]})
    # Only this person has a choice between organizations.
    @given(st.sampled_from([*sorted(pairs), *["person of two"] * 3]), REQUESTS, RESTRICTIONS)
    def check(name, wanted, restrictions):
        (_, free), (api_key, restricted) = pairs[name]
        restrict(api_key, organizations, restrictions)
        less = ask(restricted, wanted)
        mark(organizations)
        everything = ask(free, wanted)

        assert less <= everything
        assert less == take_away(everything, wanted, restrictions, is_user_key=api_key.user_id is not None)
        seen["nothing" if not everything else "all" if less == everything else "less" if less else "refused"] += 1

    check()
    # Otherwise the test would prove nothing.
    assert min(seen[outcome] for outcome in ("all", "less", "refused")) >= 10, seen
