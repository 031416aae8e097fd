"""The restrictions of a key when they are written: ``create_key()``, ``change()``, rotation and ``shut_out()``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction

from closient_auth.actors import Actor
from closient_auth.models import ApiKey, AuditEntry, Organization
from closient_auth.models.restrictions import filter_open
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

VIEW = "organization.view_organization"
BILLING = "organization.manage_billing"
FIELDS = ["permissions", "allowed_networks", "allowed_origins"]
# The field, a bad value, and a part of the error.
NOT_LISTS = ["", "text", b"bytes", 5, True, {}, {"a": 1}, [5], [None], [["a"]], [{"a": 1}], object()]
BAD = [
    *((field, value, "Write this as a list of texts") for field in FIELDS for value in NOT_LISTS),
    *((field, ["a"] * 101, "more than 100 entries") for field in FIELDS),
    *((field, None, "cannot be null") for field in FIELDS[1:]),
    ("permissions", [""], "is not a known permission"),
    ("permissions", ["view_organization"], "is not a known permission"),
    ("permissions", [VIEW.upper()], "is not a known permission"),
    ("permissions", [f"{VIEW} "], "is not a known permission"),
    ("permissions", [VIEW, "orders.refund"], "“orders.refund” is not a known permission"),
    ("allowed_networks", [""], "is not a network"),
    ("allowed_networks", ["localhost"], "is not a network"),
    ("allowed_networks", ["*"], "is not a network"),
    ("allowed_networks", ["10.0.0.0/8", "10.0.0.0/33"], "“10.0.0.0/33” is not a network"),
    ("allowed_networks", ["10.0.0.0/-1"], "is not a network"),
    ("allowed_networks", ["10.0.0.0/"], "is not a network"),
    ("allowed_networks", ["10.0.0.0/8/8"], "is not a network"),
    ("allowed_networks", ["010.0.0.0/8"], "is not a network"),
    ("allowed_networks", ["10.0.0"], "is not a network"),
    ("allowed_networks", ["167772160"], "is not a network"),
    ("allowed_networks", [" 10.0.0.0/8"], "is not a network"),
    ("allowed_networks", ["10.0.0.0/8\n"], "is not a network"),
    ("allowed_networks", ["10.0.0.0/8, 192.0.2.0/24"], "is not a network"),
    ("allowed_networks", ["2001:db8::/129"], "is not a network"),
    ("allowed_networks", ["203.0.113.9:80"], "is not a network"),
    # Somebody who writes host bits may think of one address, or of the network.
    ("allowed_networks", ["203.0.113.9/24"], "Did you mean 203.0.113.0/24"),
    ("allowed_networks", ["203.0.113.9/255.255.255.0"], "Did you mean 203.0.113.0/24"),
    ("allowed_networks", ["2001:db8::1/32"], "Did you mean 2001:db8::/32"),
    ("allowed_origins", [""], "is not an origin"),
    ("allowed_origins", ["null"], "is not an origin"),
    ("allowed_origins", ["*"], "is not an origin"),
    ("allowed_origins", ["https://*"], "is not an origin"),
    ("allowed_origins", ["https://*.example.com"], "is not an origin"),
    ("allowed_origins", ["shop.example.com"], "is not an origin"),
    ("allowed_origins", ["//shop.example.com"], "is not an origin"),
    ("allowed_origins", ["https://"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com/"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com/page"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com?a=b"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com#a"], "is not an origin"),
    ("allowed_origins", ["https://ada@shop.example.com"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com:"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com:65536"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com:http"], "is not an origin"),
    ("allowed_origins", ["https://bücher.example"], "is not an origin"),
    ("allowed_origins", [" https://shop.example.com"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com\n"], "is not an origin"),
    ("allowed_origins", ["https://shop.example.com https://a.example"], "is not an origin"),
    ("allowed_origins", ["https://a.example", "https://b.example/"], "“https://b.example/” is not an origin"),
]
GOOD = [
    ("permissions", None, None),
    ("permissions", [], []),
    ("permissions", [BILLING, VIEW, BILLING], [BILLING, VIEW]),
    ("permissions", (VIEW,), [VIEW]),
    ("permissions", frozenset({VIEW}), [VIEW]),
    ("allowed_networks", [], []),
    ("allowed_networks", ["203.0.113.9"], ["203.0.113.9/32"]),
    ("allowed_networks", ["203.0.113.0/24", "0.0.0.0/0"], ["203.0.113.0/24", "0.0.0.0/0"]),
    ("allowed_networks", ["203.0.113.0/255.255.255.0"], ["203.0.113.0/24"]),
    ("allowed_networks", ["2001:DB8:0::/32", "2001:db8::/32"], ["2001:db8::/32"]),
    ("allowed_networks", ["2001:db8::1"], ["2001:db8::1/128"]),
    # The address of an IPv4 client is never an IPv6 address.
    ("allowed_networks", ["::ffff:203.0.113.9", "::ffff:203.0.113.0/120"], ["203.0.113.9/32", "203.0.113.0/24"]),
    ("allowed_networks", ["::ffff:0:0/96"], ["0.0.0.0/0"]),
    ("allowed_networks", ["::/0"], ["::/0"]),
    ("allowed_networks", [f"10.0.{number}.0/24" for number in range(100)], None),
    ("allowed_origins", [], []),
    ("allowed_origins", ["HTTPS://Shop.Example.COM"], ["https://shop.example.com"]),
    ("allowed_origins", ["https://a.example:443", "http://a.example:80"], ["https://a.example", "http://a.example"]),
    (
        "allowed_origins",
        ["https://a.example:80", "http://a.example:443"],
        ["https://a.example:80", "http://a.example:443"],
    ),
    ("allowed_origins", ["https://a.example:8443"], ["https://a.example:8443"]),
    ("allowed_origins", ["https://xn--bcher-kva.example"], ["https://xn--bcher-kva.example"]),
    ("allowed_origins", ["http://localhost:3000"], ["http://localhost:3000"]),
    ("allowed_origins", ["https://[2001:db8::1]:8443"], ["https://[2001:db8::1]:8443"]),
    ("allowed_origins", ["chrome-extension://abcdef"], ["chrome-extension://abcdef"]),
]


def rows():
    return list(ApiKey.objects.order_by("pk").values())


@pytest.fixture
def pair():
    """Return two keys that can have each restriction but ``restricted_to``."""
    return make_key("cpk")[0], make_key("cpk")[0]


@pytest.fixture
def key(pair):
    return pair[0]


@pytest.mark.parametrize(("field", "value", "text"), BAD)
def test_bad_value(pair, field, value, text):
    before, entries = rows(), AuditEntry.objects.count()

    for refused in (
        lambda: pair[0].change(**{field: value}),
        lambda: ApiKey.objects.create_key(prefix="cpk", organization=pair[0].organization, **{field: value}),
    ):
        with pytest.raises(ValidationError) as caught:
            refused()
        assert caught.value.message_dict.keys() == {field}
        assert text in " ".join(caught.value.message_dict[field])

    assert (rows(), AuditEntry.objects.count()) == (before, entries)


@pytest.mark.parametrize(("field", "value", "stored"), GOOD)
def test_good_value_is_stored_in_its_usual_spelling(pair, field, value, stored):
    neighbour = ApiKey.objects.values().get(pk=pair[1].pk)
    stored = value if stored is None else stored

    pair[0].change(**{field: value})
    new, _ = ApiKey.objects.create_key(prefix="cpk", organization=pair[0].organization, **{field: value})

    for api_key in (pair[0], new):
        assert getattr(ApiKey.objects.get(pk=api_key.pk), field) == stored
    assert ApiKey.objects.values().get(pk=pair[1].pk) == neighbour


def test_error_repeats_so_much_of_the_value_and_no_more(key):
    for field in FIELDS:
        with pytest.raises(ValidationError) as caught:
            key.change(**{field: ["x" * 100_000]})
        assert "x" * 100 in caught.value.message_dict[field][0]
        assert len(caught.value.message_dict[field][0]) < 600


def test_extra_permission_of_the_project(key, settings):
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": {"editor": ["orders.refund"]}}

    key.change(permissions=["orders.refund"])

    assert ApiKey.objects.get(pk=key.pk).permissions == ["orders.refund"]


@pytest.mark.parametrize(
    ("prefix", "field"),
    [("csb", "restricted_to"), ("cpk", "restricted_to"), ("csb", "allowed_origins"), ("csu", "allowed_origins")],
)
def test_restriction_of_another_type(acme, prefix, field):
    key, _ = make_key(prefix)
    change: dict[str, Any] = {field: acme if field == "restricted_to" else ["https://shop.example"]}
    new: dict[str, Any] = {"prefix": prefix, "organization": key.organization, "user": key.user, **change}
    before = rows()

    for refused in (lambda: key.change(**change), lambda: ApiKey.objects.create_key(**new)):
        with pytest.raises(ValidationError) as caught:
            refused()
        assert caught.value.message_dict.keys() == {field}
    assert rows() == before


@pytest.mark.parametrize("prefix", ["csb", "cpk"])
def test_database_refuses_an_organization_for_the_key_of_another(acme, prefix):
    key, _ = make_key(prefix)
    user_key, _ = make_key("csu")
    both = ApiKey.objects.filter(pk__in=[key.pk, user_key.pk])

    with pytest.raises(IntegrityError), transaction.atomic():
        both.filter(pk=key.pk).update(restricted_to=acme)
    with pytest.raises(IntegrityError), transaction.atomic():
        both.update(restricted_to=acme)

    assert set(both.values_list("restricted_to", flat=True)) == {None}
    both.filter(pk=user_key.pk).update(restricted_to=acme)
    with pytest.raises(IntegrityError), transaction.atomic():
        both.filter(pk=user_key.pk).update(prefix=prefix, user=None, organization=acme)


def test_user_key_goes_with_its_only_organization(acme):
    """Without this organization, it would be a key of all organizations of its user."""
    user = MembershipFactory.create(organization=acme).user
    restricted, _ = make_key("csu", user=user, restricted_to=acme)
    other, _ = make_key("csu", user=user)

    acme.delete()

    assert not ApiKey.objects.filter(pk=restricted.pk).exists()
    assert ApiKey.objects.filter(pk=other.pk).exists()


@pytest.mark.parametrize("grace", [timedelta(0), timedelta(hours=1)])
def test_successor_has_the_restrictions(acme, globex, grace):
    user = MembershipFactory.create(organization=acme).user
    user_key, _ = make_key("csu", user=user, permissions=[VIEW], restricted_to=acme, allowed_networks=["203.0.113.9"])
    user_key.shut_out(globex)
    public, _ = make_key("cpk", permissions=[], allowed_networks=["::/0"], allowed_origins=["https://shop.example"])
    names = ("permissions", "restricted_to_id", "allowed_networks", "allowed_origins", "shut_out_of")

    for by, key, expected in [
        (user, user_key, ([VIEW], acme.pk, ["203.0.113.9/32"], [], [str(globex.pk)])),
        (None, public, ([], None, ["::/0"], ["https://shop.example"], [])),
    ]:
        # Another process has read the key before it was restricted.
        stale = ApiKey.objects.get(pk=key.pk)
        stale.permissions, stale.restricted_to, stale.allowed_networks = None, None, []
        stale.allowed_origins, stale.shut_out_of = [], []
        successor, _ = stale.rotate(by=by, grace=grace)
        for pk in (successor.pk, key.pk):
            assert ApiKey.objects.values_list(*names).get(pk=pk) == expected


def test_stale_instance_does_not_let_a_key_in(acme):
    key, _ = make_key("csu")
    stale = ApiKey.objects.get(pk=key.pk)
    key.shut_out(acme)

    stale.name = "New"
    stale.save()

    assert ApiKey.objects.values_list("name", "shut_out_of").get(pk=key.pk) == ("New", [str(acme.pk)])


@pytest.fixture
def member_key(organization, join):
    return make_key("csu", user=join("editor").user)[0]


def get_shut_out(key):
    return ApiKey.objects.values_list("shut_out_of", flat=True).get(pk=key.pk)


def test_shut_out_and_let_in(member_key, organization, globex, join):
    neighbour, _ = make_key("csu", user=member_key.user)
    manager = join("manager").user

    member_key.shut_out(organization, by=manager)
    member_key.shut_out(globex)
    member_key.shut_out(organization, by=manager)
    assert set(get_shut_out(member_key)) == {str(organization.pk), str(globex.pk)}
    assert member_key.is_shut_out_of(organization)
    assert get_shut_out(neighbour) == []

    # An instance from before adds and removes one organization alone.
    stale = ApiKey.objects.get(pk=member_key.pk)
    stale.shut_out_of = []
    stale.let_in(organization, by=manager)
    assert get_shut_out(member_key) == [str(globex.pk)]
    stale.let_in(organization, by=manager)
    assert AuditEntry.objects.filter(event="api_key_let_in", organization_id=organization.pk).count() == 1
    assert AuditEntry.objects.filter(event="api_key_shut_out", organization_id=organization.pk).count() == 1


# Who may shut out the user key of an Editor.
SHUT_OUT = {
    "owner": True,
    "manager": True,
    "billing": False,
    "editor": False,
    "the user of the key": False,
    "outsider": False,
    "superuser": True,
    "business key": False,
}


@pytest.mark.parametrize(("who", "may"), SHUT_OUT.items())
def test_who_may_shut_out(member_key, organization, join, who, may):
    actors = {
        "the user of the key": lambda: member_key.user,
        "outsider": lambda: MembershipFactory.create(role="owner").user,
        "superuser": lambda: Actor(UserFactory.create(is_superuser=True), is_superuser=True),
        "business key": lambda: Actor(api_key=make_key(organization=organization)[0]),
    }
    by = actors[who]() if who in actors else join(who).user
    shut_out, _ = make_key("csu", user=member_key.user)
    shut_out.shut_out(organization)
    here = [str(organization.pk)]
    entries = AuditEntry.objects.count()

    if may:
        member_key.shut_out(organization, by=by)
        shut_out.let_in(organization, by=by)
        assert (get_shut_out(member_key), get_shut_out(shut_out)) == (here, [])
        return
    for refused in (member_key.shut_out, shut_out.let_in):
        with pytest.raises(PermissionDenied, match=r"Your role does not allow|You are not a member"):
            refused(organization, by=by)
    assert (get_shut_out(member_key), get_shut_out(shut_out)) == ([], here)
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize("prefix", ["csb", "cpk"])
def test_key_of_an_organization_cannot_be_shut_out(organization, prefix):
    key, _ = make_key(prefix, organization=organization)

    for refused in (key.shut_out, key.let_in):
        with pytest.raises(ValidationError, match="Revoke this key instead") as caught:
            refused(organization)
        assert caught.value.code == "not_a_user_key"
    assert get_shut_out(key) == []


@pytest.mark.parametrize("value", [None, "", 5, {}, "text", [None], [5], ["text"], [["text"]]])
def test_malformed_list_of_organizations_shuts_out_of_all(member_key, organization, value):
    assert not member_key.is_shut_out_of(organization)
    member_key.shut_out_of = value

    assert member_key.is_shut_out_of(organization)
    assert not filter_open(Organization.objects.all(), member_key).exists()


def test_organizations_that_are_open_to_a_key(acme, globex):
    closed = OrganizationFactory.create(user_keys_allowed=False)
    names = lambda key: sorted(filter_open(Organization.objects.all(), key).values_list("slug", flat=True))  # noqa: E731
    everywhere = sorted(["acme", "globex", closed.slug])

    assert names(None) == names(make_key(organization=acme)[0]) == everywhere
    key, _ = make_key("csu")
    assert names(key) == ["acme", "globex"]
    key.shut_out_of = [str(acme.pk)]
    assert names(key) == ["globex"]
    key.restricted_to = acme
    assert names(key) == []
    key.shut_out_of = []
    assert names(key) == ["acme"]


@pytest.mark.parametrize("value", ["text", 5, {}, [5], ["acme"], [None]])
def test_malformed_list_of_organizations_is_not_passed_on(member_key, value):
    """The successor of a key that is refused everywhere would be accepted everywhere."""
    ApiKey.objects.filter(pk=member_key.pk).update(shut_out_of=value)

    with pytest.raises(ValidationError) as caught:
        member_key.rotate()

    assert caught.value.message_dict.keys() == {"shut_out_of"}
    assert ApiKey.objects.get(pk=member_key.pk).is_active
    assert not ApiKey.objects.filter(rotated_from=member_key).exists()


# Who may suspend an organization, and close it to user keys.
CLOSING = {
    "trusted": (True, True),
    "superuser": (True, True),
    "staff in the admin": (True, True),
    "owner": (False, True),
    "manager": (False, True),
    "billing": (False, False),
    "editor": (False, False),
    "bare superuser": (False, False),
    "superuser with a key": (False, False),
    "business key": (False, False),
}


@pytest.mark.parametrize(("who", "may_suspend", "may_close"), [(who, *may) for who, may in CLOSING.items()])
def test_who_closes_an_organization(organization, globex, join, who, may_suspend, may_close):
    superuser = UserFactory.create(is_superuser=True, is_staff=True)
    actors: dict[str, Any] = {
        "trusted": None,
        "superuser": Actor(superuser, is_superuser=True),
        "staff in the admin": Actor(UserFactory.create(is_staff=True), is_staff=True),
        "bare superuser": superuser,
        "superuser with a key": Actor(superuser, make_key("csu", user=superuser)[0], is_superuser=True),
        "business key": Actor(api_key=make_key(organization=organization)[0]),
    }
    by = actors[who] if who in actors else join(who).user
    suspended = OrganizationFactory.create()
    suspended.suspend()
    organization.allow_user_keys(True)

    for may, operate in [
        (may_suspend, organization.suspend),
        (may_suspend, suspended.lift_suspension),
    ]:
        if may:
            operate(by=by)
        else:
            with pytest.raises(PermissionDenied, match="Only staff can suspend an organization"):
                operate(by=by)
    stored = Organization.objects.in_bulk()
    assert (stored[organization.pk].suspended_at is not None) == may_suspend
    assert (stored[suspended.pk].suspended_at is None) == may_suspend
    organization.lift_suspension()

    if may_close:
        organization.allow_user_keys(False, by=by)
    else:
        with pytest.raises(PermissionDenied, match=r"Your role does not allow|You are not a member"):
            organization.allow_user_keys(False, by=by)
    assert Organization.objects.get(pk=organization.pk).user_keys_allowed != may_close
    neighbour = Organization.objects.get(pk=globex.pk)
    assert (neighbour.suspended_at, neighbour.user_keys_allowed) == (None, True)


def test_second_suspension_keeps_the_time(organization):
    organization.suspend()
    moment = Organization.objects.get(pk=organization.pk).suspended_at
    stale = Organization.objects.get(pk=organization.pk)
    stale.suspended_at = None

    stale.suspend()

    assert Organization.objects.get(pk=organization.pk).suspended_at == stale.suspended_at == moment


def test_nobody_changes_a_suspended_organization(organization, join):
    """Its members are refused as in a request, and trusted code is not."""
    owner = join("owner").user
    key, _ = make_key(organization=organization)
    organization.suspend()

    for refused in (
        lambda: organization.rename(name="New", by=owner),
        lambda: organization.allow_user_keys(False, by=owner),
        lambda: key.change(permissions=None, by=owner),
        lambda: key.rotate(by=owner),
        lambda: key.revoke(by=owner),
        lambda: ApiKey.objects.create_key(prefix="csb", organization=organization, by=owner),
    ):
        with pytest.raises(PermissionDenied, match="Your role does not allow"):
            refused()
    assert ApiKey.objects.get().is_active
    key.revoke()
    organization.lift_suspension(by=Actor(UserFactory.create(is_staff=True), is_staff=True))
    organization.rename(name="New", by=owner)
    assert Organization.objects.get(pk=organization.pk).name == "New"
