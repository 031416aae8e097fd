"""Users that the default manager hides, as with soft deletion, are inactive everywhere.

That of ``accounts.Customer`` does so itself. For another user model, a fixture makes its manager hide users.
"""

from __future__ import annotations

import logging
import re
import threading
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.db.models import ProtectedError
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils import timezone

from closient_auth.core.lookup import find_key
from closient_auth.models import ApiKey, AuditEntry, ExpiryReminder, LastOwnerError, Membership, Organization
from closient_auth.models.people import has_active_user, may_hide_users
from closient_auth.organizations import organizations_owned_alone_by
from closient_auth.roles import KeyHolder
from tests.admin.members import OWNER_NEEDED, form_data, formset_errors
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key

User = get_user_model()
DELETED = {"deleted_at": timezone.now()} if User._meta.label == "accounts.Customer" else {"password": "deleted"}
RESTORED = dict.fromkeys(DELETED, None if "deleted_at" in DELETED else "")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def hiding_manager(request, monkeypatch):
    if "plain_manager" not in request.fixturenames and not may_hide_users():
        manager = type(User._default_manager)
        monkeypatch.setattr(manager, "get_queryset", lambda self: models.Manager.get_queryset(self).exclude(**DELETED))


def hide(user):
    User._base_manager.filter(pk=user.pk).update(**DELETED)


@pytest.fixture
def user():
    """Return a user who is hidden, but active."""
    user = UserFactory.create()
    hide(user)
    assert user.is_active
    return user


@pytest.fixture
def key(user):
    return make_key("csu", user=user)


def test_key_request(call, key, caplog):
    caplog.set_level(logging.INFO, "closient_auth")
    api_key, raw_key = key
    _, inactive = make_key("csu", user=UserFactory.create(is_active=False))
    neighbour, good = make_key("csu")
    entries = AuditEntry.objects.count()

    refused, expected = call("/who/", raw_key), call("/who/", inactive)

    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.UNAUTHORIZED, "invalid_api_key")
    assert (refused.content, refused.headers) == (expected.content, expected.headers)
    found = re.findall(r"api_key=refused cause=(\w+) id=(\S+)", caplog.text)
    assert found[0] == ("user_inactive", str(api_key.pk))
    assert AuditEntry.objects.count() == entries
    assert call("/open-who/", good).status_code == HTTPStatus.OK
    used = ApiKey.objects.exclude(last_used=None)
    assert list(used) == [neighbour]


def test_request_of_a_good_key_costs_one_select(call, settings):
    settings.CLOSIENT_AUTH = {"LAST_USED_INTERVAL": 60}
    for prefix in ("csu", "csb", "cpk"):
        _, raw_key = make_key(prefix)
        call("/open-who/", raw_key)

        with CaptureQueriesContext(connection) as queries:
            assert call("/open-who/", raw_key).status_code == HTTPStatus.OK

        assert len(queries) == 1
        assert ("EXISTS" in queries[0]["sql"]) is (prefix == "csu")


def test_request_of_a_refused_key_costs_one_select(call, key):
    call("/who/", make_key("csu")[1])

    with CaptureQueriesContext(connection) as queries:
        assert call("/who/", key[1]).status_code == HTTPStatus.UNAUTHORIZED

    assert len(queries) == 1


@pytest.mark.parametrize("holder", [None, KeyHolder.USER, KeyHolder.ORGANIZATION])
def test_lookup(key, holder):
    """A key in another format may begin like a key of an organization."""
    found = find_key(key[0].hashed_key, holder)

    assert found is not None
    assert found.state == "user_inactive"
    assert found.user == key[0].user
    assert find_key("0" * 64, holder) is None


def test_states(key):
    hidden, _ = key
    active = [make_key(prefix)[0] for prefix in ("csb", "csu", "cpk")]
    inactive, _ = make_key("csu", user=UserFactory.create(is_active=False))
    revoked, _ = make_key("csu", user=hidden.user)
    revoked.revoke()
    expected = {
        **{api_key.pk: "active" for api_key in active},
        **{api_key.pk: "user_inactive" for api_key in (hidden, inactive)},
        revoked.pk: "revoked",
    }

    for rows in (ApiKey.objects.all(), ApiKey.objects.with_holders()):
        assert {row.pk: row.state.value for row in rows} == expected
    for state in ("active", "revoked", "expired", "user_inactive"):
        found = {row.pk for row in ApiKey.objects.in_state(state)}
        assert found == {pk for pk, its_state in expected.items() if its_state == state}
    assert set(ApiKey.objects.active()) == set(active)


def test_key_of_a_hidden_user_is_not_rotated(key):
    with pytest.raises(ValidationError) as caught:
        key[0].rotate()

    assert caught.value.code == "not_active"
    assert ApiKey.objects.count() == 1


def test_state_after_a_refresh():
    api_key, _ = make_key("csu")
    loaded = ApiKey.objects.with_holders().get()
    assert loaded.state == "active"

    hide(api_key.user)
    loaded.refresh_from_db()

    assert loaded.state == "user_inactive"


def test_row_without_a_user():
    assert not has_active_user(make_key("csb")[0])


def test_users_come_back(key):
    User._base_manager.update(**RESTORED)

    assert ApiKey.objects.get().state == "active"
    assert ApiKey.objects.active().count() == 1


def test_lists_take_as_many_queries_as_one_key(call, mount, rf, capsys):
    mount(path("", include("closient_auth.urls")))
    user = UserFactory.create()
    admin = site._registry[ApiKey]

    def count(read):
        with CaptureQueriesContext(connection) as queries:
            read()
        return len(queries)

    readers = [
        lambda: call("/me/keys", user=user).json()["results"][0]["state"],
        lambda: call_command("list_api_keys"),
        lambda: [api_key.state for api_key in admin.get_queryset(rf.get("/"))],
    ]
    make_key("csu", user=user)
    few = [count(read) for read in readers]
    for _ in range(3):
        make_key("csu", user=user)
        hide(make_key("csu")[0].user)

    assert [count(read) for read in readers] == few
    capsys.readouterr()
    call_command("list_api_keys")
    states = re.findall("user_inactive|active", capsys.readouterr().out)
    assert sorted(states) == ["active"] * 4 + ["user_inactive"] * 3


WAYS = {
    "demotion": lambda membership: membership.change_role("manager"),
    "removal": lambda membership: membership.remove(),
    "deletion": lambda membership: membership.delete(),
    "deletion of the user": lambda membership: membership.user.delete(),
}


@pytest.mark.parametrize("way", WAYS)
def test_hidden_owner_does_not_count(way, user, acme, globex):
    owner = MembershipFactory.create(organization=acme, role="owner")
    MembershipFactory.create(organization=acme, role="owner", user=user)
    MembershipFactory.create(organization=globex, role="owner")
    before = list(Membership.objects.order_by("pk").values())

    with pytest.raises(ProtectedError) as caught:
        WAYS[way](owner)

    error = LastOwnerError.find_in(caught.value)
    assert error is not None
    assert error.organizations == [acme]
    assert list(Membership.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("has_other", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_hidden_owner_may_go(way, has_other, user, acme):
    """As for a deactivated Owner: the organization had no active Owner before."""
    membership = MembershipFactory.create(organization=acme, role="owner", user=user)
    others = [MembershipFactory.create(organization=acme, role="owner")] if has_other else []

    WAYS[way](membership)

    assert list(acme.memberships.filter(role="owner")) == others


def test_two_owners_of_whom_one_is_found(acme, user):
    owners = [MembershipFactory.create(organization=acme, role="owner") for _ in range(2)]

    owners[0].remove()

    assert list(acme.memberships.all()) == [owners[1]]


def test_ownerless_command(user, acme, globex, capsys):
    MembershipFactory.create(organization=acme, role="owner", user=user)
    for member in (user, UserFactory.create()):
        MembershipFactory.create(organization=globex, role="owner", user=member)

    with pytest.raises(CommandError, match="^1 organization has no active Owner"):
        call_command("list_ownerless_organizations")

    assert capsys.readouterr().out == f"{acme.pk} acme\n"


def test_ownerless_command_takes_as_many_queries_as_without_hiding(django_assert_num_queries):
    for _ in range(3):
        MembershipFactory.create(role="owner")

    with django_assert_num_queries(3):
        call_command("list_ownerless_organizations")


def test_invitation_by_a_hidden_user(acme):
    owner, other = (MembershipFactory.create(organization=acme, role="owner").user for _ in range(2))
    person = UserFactory.create()
    invitation, token = make_invitation(acme, person.email, by=owner)
    kept, _ = make_invitation(acme, "other@example.com", by=other)
    assert invitation.is_valid()
    hide(owner)

    with pytest.raises(ValidationError) as caught:
        type(invitation).objects.accept(token, person)

    assert caught.value.code == "invalid_invitation"
    assert not invitation.is_valid()
    assert kept.is_valid()
    assert not acme.memberships.filter(user=person.pk)


def test_invitation_of_a_hidden_user(acme, user):
    owner = MembershipFactory.create(organization=acme, role="owner").user
    invitation, token = make_invitation(acme, user.email, by=owner)

    with pytest.raises(ValidationError) as caught:
        type(invitation).objects.accept(token, user)

    assert caught.value.code == "other_email"
    assert acme.memberships.count() == 1


def test_reminder_of_an_expiring_key(acme, user, mailoutbox):
    owner = MembershipFactory.create(organization=acme, role="owner").user
    make_key("csb", organization=acme, created_by=user, expires_at=timezone.now() + timedelta(days=1))
    make_key("csu", user=user, expires_at=timezone.now() + timedelta(days=1))

    ExpiryReminder.objects.send_due()

    assert [message.to for message in mailoutbox] == [[owner.email]]


def test_first_owner(user):
    with pytest.raises(ValidationError) as caught:
        Organization.objects.create_organization(name="Acme", owner=user)

    assert caught.value.code == "inactive"
    assert not Organization.objects.exists()
    assert Organization.objects.create_organization(name="Acme", owner=UserFactory.create()).slug == "acme"


def test_organizations_owned_alone(acme, globex, user):
    owner = UserFactory.create()
    for organization in (acme, globex):
        MembershipFactory.create(organization=organization, role="owner", user=owner)
    MembershipFactory.create(organization=acme, role="owner", user=user)
    MembershipFactory.create(organization=globex, role="owner")

    assert list(organizations_owned_alone_by(owner)) == [acme]
    assert list(organizations_owned_alone_by(user)) == []


@pytest.mark.skipif(not issubclass(User, AbstractUser), reason="this user model has no staff")
def test_form_of_the_admin(client, acme, user, settings):
    """The form shows the error, and nothing is saved."""
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    settings.ROOT_URLCONF = "tests.admin.urls"
    MembershipFactory.create(organization=acme, role="owner", user=user)
    owner = MembershipFactory.create(organization=acme, role="owner")

    page = f"/admin/closient_auth/organization/{acme.pk}/change/"
    response = client.post(page, form_data(acme, {owner: "editor"}))

    assert formset_errors(response) == [OWNER_NEEDED]
    assert Membership.objects.get(pk=owner.pk).role == "owner"


def test_manager_that_depends_on_the_thread(monkeypatch, call):
    """The manager is asked for each request: a tenant's users are found in the threads of that tenant only."""
    local = threading.local()
    user = UserFactory.create()
    _, raw_key = make_key("csu", user=user)

    def get_queryset(self):
        return models.Manager.get_queryset(self).filter(username__in=local.names)

    monkeypatch.setattr(type(User._default_manager), "get_queryset", get_queryset)

    for names, state in (((), "user_inactive"), ((user.username,), "active"), (("x",), "user_inactive")):
        local.names = names
        assert call("/open-who/", raw_key).status_code == (HTTPStatus.OK if state == "active" else 401)
        assert ApiKey.objects.with_holders().get().state == ApiKey.objects.get().state == state
        assert ApiKey.objects.in_state(state).count() == 1


MANAGERS: list[Any] = [models.Manager, UserManager, models.QuerySet.as_manager]


@pytest.fixture(params=MANAGERS)
def plain_manager(request, monkeypatch):
    """Use a default manager that hides nobody."""
    manager = request.param()
    manager.model = User
    monkeypatch.setitem(User._meta.__dict__, "default_manager", manager)


@pytest.mark.usefixtures("plain_manager")
def test_managers_that_hide_nobody_cost_nothing(call):
    owner = MembershipFactory.create(role="owner", organization=OrganizationFactory.create(slug="acme"))
    api_key, raw_key = make_key("csu", user=owner.user)
    hide(owner.user)

    with CaptureQueriesContext(connection) as queries:
        assert call("/open-who/", raw_key).status_code == HTTPStatus.OK
        assert list(ApiKey.objects.with_holders()) == list(ApiKey.objects.active()) == [api_key]
        assert [row.state for row in ApiKey.objects.with_holders()] == ["active"]
        assert list(organizations_owned_alone_by(owner.user)) == [owner.organization]

    selects = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(selects) == 5
    assert [sql for sql in selects if "EXISTS" in sql] == []


def test_manager_replaced_on_the_instance(monkeypatch):
    manager = User._default_manager
    found = models.Manager.get_queryset(manager)
    monkeypatch.setattr(manager, "get_queryset", lambda: found.none(), raising=False)

    assert may_hide_users()
    assert make_key("csu")[0].state == "user_inactive"
