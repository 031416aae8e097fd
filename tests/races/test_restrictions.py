"""Restrictions, maximums and off-boarding while somebody else changes the same key or member."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError
from django.urls import include, path
from rest_framework.test import APIClient

from closient_auth.models import ApiKey, AuditEntry, Membership, Organization
from closient_auth.models.organizations import NotAMemberError
from tests.factories import MembershipFactory, make_key
from tests.races.threads import needs_server, race, rounds

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]

VIEW = "organization.view_organization"
MANAGER = [
    "organization.contribute_organization",
    "organization.manage_api_keys",
    "organization.manage_billing",
    "organization.manage_members",
    VIEW,
]


@pytest.fixture(autouse=True)
def neighbour(db):
    """Fail the test if a key of another organization has changed."""
    key, _ = make_key()
    before = ApiKey.objects.values().get(pk=key.pk)
    yield
    assert ApiKey.objects.values().get(pk=key.pk) == before


@pytest.fixture
def owner():
    return MembershipFactory.create(role="owner")


@pytest.fixture
def organization(owner):
    return owner.organization


@pytest.fixture
def join(organization):
    return lambda role: MembershipFactory.create(organization=organization, role=role)


def read(key):
    """Return the key as a request reads it before it has a lock."""
    return ApiKey.objects.get(pk=key.pk)


def get_events(key):
    """Return the events of the key and its successor in their order."""
    entries = AuditEntry.objects.filter(target_model="apikey").order_by("created_at")
    family = ApiKey.objects.filter(family=read(key).family).values_list("pk", flat=True)
    return [entry.event for entry in entries if entry.target_id in set(family)][1:]


NARROWED = {"permissions": [VIEW], "allowed_networks": ["203.0.113.0/24"]}


def test_successor_of_a_key_that_is_narrowed_meanwhile(organization, join):
    first, second = join("manager").user, join("manager").user
    for _ in rounds(15):
        key, _ = make_key(organization=organization)
        one, other = read(key), read(key)

        errors = race(lambda one=one: one.change(**NARROWED, by=first), lambda other=other: other.rotate(by=second))

        assert errors == [None, None]
        successor = ApiKey.objects.get(rotated_from=key)
        events = get_events(key)
        assert sorted(events) == ["api_key_changed", "api_key_revoked", "api_key_rotated"]
        if events[0] == "api_key_changed":
            assert {name: getattr(successor, name) for name in NARROWED} == NARROWED
        else:
            assert (sorted(successor.permissions or []), successor.allowed_networks) == (MANAGER, [])
        # The old key is narrowed in either order, and revoked.
        assert {name: getattr(read(key), name) for name in NARROWED} == NARROWED
        assert not read(key).is_active


def test_two_managers_narrow_a_key(organization, join):
    """Nobody undoes the change of the other."""
    managers = [join("manager").user for _ in range(4)]
    changes: list[dict[str, Any]] = [
        {"permissions": [VIEW]},
        {"allowed_networks": ["203.0.113.0/24"]},
        {"name": "New"},
        {"rate_limit_per_day": 5},
    ]
    for _ in rounds(10):
        key, _ = make_key(organization=organization)
        operations = [partial(read(key).change, **change, by=by) for by, change in zip(managers, changes, strict=True)]

        assert race(*operations) == [None] * 4

        stored = read(key)
        for change in changes:
            assert {name: getattr(stored, name) for name in change} == change


@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_narrowed_by_one_and_renamed_by_save(organization, owner, prefix):
    """``save()`` of a stale instance is Django's own way to undo a change; the operations do not."""
    for _ in rounds(5):
        key, _ = make_key(prefix, **({"user": owner.user} if prefix == "csu" else {"organization": organization}))
        one, other = read(key), read(key)

        def rename(other=other):
            other.name = "New"
            other.save(update_fields=["name"])

        assert race(lambda one=one: one.change(permissions=[VIEW], by=owner.user), rename) == [None, None]
        assert (read(key).permissions, read(key).name) == ([VIEW], "New")


def make(organization, by):
    return ApiKey.objects.create_key(prefix="csb", organization=organization, by=by)


def test_manager_who_is_demoted_creates_a_key(owner, organization, join):
    """The Owner is told of the key, or there is none."""
    for _ in rounds(15):
        manager = join("manager")
        user = manager.user
        told: list[ApiKey] = []

        demoted, created = race(
            lambda manager=manager, told=told: told.extend(manager.change_role("editor", by=owner.user)),
            lambda user=user: make(Organization.objects.get(pk=organization.pk), user),
        )

        assert demoted is None
        assert created is None or isinstance(created, PermissionDenied)
        keys = list(ApiKey.objects.filter(created_by=user))
        assert told == keys
        assert [sorted(key.permissions or []) for key in keys] == [MANAGER] * (created is None)


@pytest.mark.parametrize("operation", ["create", "widen", "rotate"])
def test_owner_who_is_demoted_to_manager_grants_all(owner, organization, join, operation):
    for _ in rounds(12):
        second = join("owner")
        user = second.user
        told: list[ApiKey] = []
        key, _ = make_key(organization=organization, permissions=[VIEW] if operation == "widen" else None)
        mine = read(key)
        operations = {
            "create": lambda user=user: make(Organization.objects.get(pk=organization.pk), user),
            "widen": lambda mine=mine, user=user: mine.change(permissions=None, by=user),
            "rotate": lambda mine=mine, user=user: mine.rotate(by=user),
        }

        errors = race(
            lambda second=second, told=told: told.extend(second.change_role("manager", by=owner.user)),
            operations[operation],
        )

        assert errors == [None, None]
        new = read(key) if operation == "widen" else ApiKey.objects.exclude(pk=key.pk).get(created_by=user)
        events = list(
            AuditEntry.objects.filter(target_id__in=[second.pk, new.pk], user__in=[owner.user, user])
            .order_by("created_at")
            .values_list("event", flat=True)
        )
        was_owner = events.index("member_changed") == len(events) - 1
        assert (new.permissions is None) == was_owner
        assert new.permissions is None or sorted(new.permissions) == MANAGER
        if operation != "widen" and was_owner:
            # The Owner is told of it.
            assert new in told


def test_member_who_is_removed_creates_a_key(owner, organization, join):
    """The removal is what the preview showed, or it is refused."""
    for _ in rounds(12):
        manager = join("manager")
        pk, user = manager.pk, manager.user
        shown = manager.preview_offboarding()
        left: list[ApiKey] = []

        def remove(manager=manager, etag=shown.etag, left=left):
            left.extend(manager.remove(by=owner.user, shown=etag))

        removed, created = race(remove, lambda user=user: make(Organization.objects.get(pk=organization.pk), user))

        keys = ApiKey.objects.filter(created_by=user)
        if created is None:
            assert isinstance(removed, ValidationError)
            assert removed.code == "offboarding_changed"
            assert Membership.objects.get(pk=pk).user == user
            assert keys.get().is_active
        else:
            assert (removed, type(created)) == (None, NotAMemberError)
            assert left == shown.live_keys == list(keys) == []
            assert not Membership.objects.filter(pk=pk).exists()


def test_keys_that_are_revoked_with_their_maker_meanwhile(owner, organization, join):
    """A key that somebody revokes or rotates is another off-boarding."""
    for _ in rounds(10):
        manager = join("manager")
        key, _ = make(organization, manager.user)
        shown = Membership.objects.get(pk=manager.pk).preview_offboarding()
        mine = read(key)

        removed, rotated = race(
            lambda manager=manager, shown=shown, key=key: manager.remove(
                by=owner.user, shown=shown.etag, revoke_keys=[key.pk]
            ),
            lambda mine=mine: mine.rotate(by=owner.user),
        )

        if removed is None:
            # The key was revoked before the rotation.
            assert rotated is not None
            assert rotated.code == "not_active"
            assert not ApiKey.objects.filter(rotated_from=key).exists()
        else:
            assert (removed.code, rotated) == ("offboarding_changed", None)
            assert Membership.objects.filter(organization=organization, user=manager.user).exists()
        assert not read(key).is_active


def test_removal_over_the_api_is_what_the_preview_showed(call, mount, owner, organization, join):
    mount(path("", include("closient_auth.urls")))
    for _ in rounds(8):
        manager = join("manager")
        address = f"/organizations/{organization.pk}/members/{manager.pk}"
        clients = {}
        for name, user in [("owner", owner.user), ("manager", manager.user)]:
            clients[name] = APIClient()
            clients[name].force_login(user)
        preview = call(f"{address}/offboarding", client=clients["owner"])
        answers: dict[str, Any] = {}

        def remove(address=address, clients=clients, etag=preview["ETag"], answers=answers):
            answers["removal"] = call(address, client=clients["owner"], method="delete", if_match=etag)

        def create(clients=clients, answers=answers):
            keys = f"/organizations/{organization.pk}/keys"
            answers["key"] = call(keys, client=clients["manager"], method="post", data={"prefix": "csb", "name": "A"})

        assert race(remove, create) == [None, None]

        removal, key = answers["removal"], answers["key"]
        if key.status_code == 201:
            assert (removal.status_code, removal.json()["code"]) == (409, "offboarding_changed")
        else:
            assert (key.status_code, removal.status_code, removal.json()) == (404, 200, {"live_keys": []})


@pytest.mark.parametrize("prefix", ["csb", "csu", "restricted csu"])
def test_no_more_keys_than_the_maximum(settings, owner, organization, join, prefix):
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 3}
    for _ in rounds(4):
        by = [join("manager").user for _ in range(8)]
        if prefix == "csb":
            organization.api_keys.all().delete()
            make_key(organization=organization)
            holder: dict[str, Any] = {"prefix": "csb", "organization": organization}
        else:
            by = [by[0]] * 8
            make_key("csu", user=by[0])
            restriction = {"restricted_to": organization} if prefix == "restricted csu" else {}
            holder = {"prefix": "csu", "user": by[0], **restriction}

        errors = race(*[lambda user=user, holder=holder: ApiKey.objects.create_key(**holder, by=user) for user in by])

        refused = [error for error in errors if error is not None]
        assert [(type(error), getattr(error, "code", error)) for error in refused] == [
            (ValidationError, "too_many_keys")
        ] * 6
        keys = ApiKey.objects.active().filter(
            **{name: value for name, value in holder.items() if name in ("organization", "user")}
        )
        assert keys.count() == 3


@pytest.mark.parametrize("operation", ["create", "change", "rotate"])
def test_organization_that_is_deleted_while_a_key_is_restricted_to_it(settings, owner, operation):
    """The key goes with the organization, or is never restricted to it; the deletion succeeds."""
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 100}
    user = owner.user
    for _ in rounds(15):
        organization = MembershipFactory.create(user=user, role="owner").organization
        restricted = {"restricted_to": organization}
        key, _ = make_key("csu", user=user, **(restricted if operation == "rotate" else {}))
        mine = read(key)
        operations = {
            "create": lambda restricted=restricted: ApiKey.objects.create_key(
                prefix="csu", user=user, by=user, **restricted
            ),
            "change": lambda mine=mine, restricted=restricted: mine.change(**restricted, by=user),
            "rotate": lambda mine=mine: mine.rotate(by=user),
        }

        # The deletion clears the primary key of its own instance.
        deleting = Organization.objects.get(pk=organization.pk)

        deleted, other = race(partial(deleting.delete, by=user), operations[operation])

        assert deleted is None
        assert other is None or isinstance(other, ValidationError | ApiKey.DoesNotExist | IntegrityError), other
        assert not ApiKey.objects.filter(restricted_to__isnull=False).exists()
        if operation == "change":
            # Changed and deleted with the organization, or unchanged.
            assert ApiKey.objects.filter(pk=key.pk).exists() == (other is not None)
        ApiKey.objects.filter(user=user).delete()


def test_key_that_is_shut_out_rotated_and_created_meanwhile(settings, owner, organization, join):
    """The operations lock the organization before the user and the key, so none is a victim of a deadlock."""
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 100}
    for _ in rounds(20):
        user = join("manager").user
        key, _ = make_key("csu", user=user, restricted_to=organization)
        one, other = read(key), read(key)

        errors = race(
            lambda one=one: one.shut_out(Organization.objects.get(pk=organization.pk), by=owner.user),
            lambda other=other, user=user: other.rotate(by=user),
            lambda user=user: ApiKey.objects.create_key(prefix="csu", user=user, restricted_to=organization, by=user),
            lambda user=user: Organization.objects.get(pk=organization.pk).allow_user_keys(True, by=user),
            lambda user=user: make(Organization.objects.get(pk=organization.pk), user),
        )

        assert errors == [None] * 5
        # The successor is shut out as well, whether it is there already or not.
        successor = ApiKey.objects.get(rotated_from=key)
        assert (read(key).is_shut_out_of(organization), successor.is_shut_out_of(organization)) == (True, True)


def test_rotation_of_a_key_that_is_shut_out_meanwhile(owner, organization):
    """Whichever comes first, the successor is shut out as well."""
    for _ in rounds(15):
        key, _ = make_key("csu", user=owner.user)
        one, other = read(key), read(key)

        race(partial(one.shut_out, organization, by=owner.user), partial(other.rotate, by=owner.user))

        successor = ApiKey.objects.get(rotated_from=key)
        assert (read(key).is_shut_out_of(organization), successor.is_shut_out_of(organization)) == (True, True)
