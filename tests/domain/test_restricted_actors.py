"""A restricted key as ``by=`` makes nothing that can do more, and a stale instance undoes no restriction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from closient_auth.actors import Actor
from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership, Organization
from closient_auth.principals import get_principal
from tests.factories import MembershipFactory, OrganizationFactory, make_invitation, make_key

pytestmark = pytest.mark.django_db

VIEW = "organization.view_organization"
KEYS = "organization.manage_api_keys"
RESTRICTIONS: dict[str, dict[str, Any]] = {
    "permissions": {"permissions": [VIEW, KEYS]},
    "networks": {"allowed_networks": ["10.0.0.0/8"]},
    "one organization": {"restricted_to": True},
    "shut out": {"shut_out": True},
}


@pytest.fixture
def owner(acme):
    return MembershipFactory.create(organization=acme, role="owner").user


@pytest.fixture(params=["user", "actor"])
def make_actor(request, acme, owner):
    """Return a function to make the actor of a request with a restricted user key: a user, or an ``Actor``."""

    def make_actor(permissions=None, allowed_networks=(), restricted_to=None, shut_out=False):
        organization = acme if restricted_to else None
        key, _ = make_key(
            "csu", user=owner, permissions=permissions, allowed_networks=allowed_networks, restricted_to=organization
        )
        if shut_out:
            key.shut_out(OrganizationFactory.create())
        user = get_principal(ApiKey.objects.get(pk=key.pk))
        return user if request.param == "user" else Actor(user, key)

    return make_actor


@pytest.mark.parametrize("name", RESTRICTIONS)
def test_no_way_out_of_a_restriction(make_actor, owner, acme, name):
    by = make_actor(**RESTRICTIONS[name])
    own = ApiKey.objects.get(user=owner)
    invitation, token = make_invitation(MembershipFactory.create(role="owner").organization, owner.email, by=None)
    inviter = MembershipFactory.create(organization=invitation.organization, role="owner").user
    Invitation.objects.update(invited_by=inviter)
    before = [list(model._base_manager.order_by("pk").values()) for model in (ApiKey, Organization, Membership)]

    for refused in (
        lambda: ApiKey.objects.create_key(prefix="csu", user=owner, by=by),
        lambda: own.rotate(by=by),
        lambda: own.change(permissions=None, by=by),
        lambda: own.change(restricted_to=None, allowed_networks=[], by=by),
        lambda: Organization.objects.create_organization(name="New", owner=owner, by=by),
        lambda: Invitation.objects.accept(token, owner, by=by),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    with pytest.raises(PermissionDenied):
        Invitation.objects.accept(token, by if not isinstance(by, Actor) else by.user)

    assert before == [list(model._base_manager.order_by("pk").values()) for model in (ApiKey, Organization, Membership)]
    # To name or revoke a key gives nothing away.
    own.change(name="Laptop", by=by)
    assert own.revoke(by=by)


def test_networks_bind_what_a_key_creates(make_actor, acme):
    by = make_actor(allowed_networks=["10.0.0.0/8"])
    key, _ = make_key(organization=acme)

    for refused in (
        lambda: ApiKey.objects.create_key(prefix="csb", organization=acme, by=by),
        lambda: key.rotate(by=by),
        lambda: key.change(allowed_networks=["192.0.2.0/24"], by=by),
    ):
        with pytest.raises(PermissionDenied, match="A restricted API key cannot do this"):
            refused()
    assert (ApiKey.objects.get(organization=acme).pk, key.allowed_networks) == (key.pk, [])


def test_keys_have_no_staff_status(owner, settings):
    settings.CLOSIENT_AUTH = {"ORGANIZATION_CREATION": "staff"}
    owner.is_staff = True
    owner.save()
    key, _ = make_key("csu", user=owner)

    with pytest.raises(PermissionDenied, match="may not create"):
        Organization.objects.create_organization(name="New", owner=owner, by=Actor(owner, key))
    assert Organization.objects.create_organization(name="New", owner=owner, by=Actor(owner)).name == "New"


def test_stale_instances_undo_nothing(acme):
    key, _ = make_key(organization=acme, name="Shop")
    stale_key, stale_acme = ApiKey.objects.get(), Organization.objects.get()
    key.change(permissions=[VIEW], allowed_networks=["10.0.0.0/8"])
    acme.suspend()
    acme.allow_user_keys(False)

    stale_key.name, stale_acme.name = "Till", "Acme Ltd"
    stale_key.save()
    stale_acme.save()

    key, acme = ApiKey.objects.get(), Organization.objects.get()
    assert (key.name, key.permissions, key.allowed_networks) == ("Till", [VIEW], ["10.0.0.0/8"])
    assert (acme.name, acme.user_keys_allowed, acme.suspended_at is None) == ("Acme Ltd", False, False)


def test_save_writes_what_an_instance_has_changed(acme):
    make_key(organization=acme, allowed_networks=["10.0.0.0/8"])
    key, organization = ApiKey.objects.get(), Organization.objects.get()

    key.permissions = [VIEW]
    key.allowed_networks.append("192.0.2.0/24")
    key.save()
    organization.user_keys_allowed = False
    organization.save()

    key, organization = ApiKey.objects.get(), Organization.objects.get()
    assert (key.permissions, key.allowed_networks) == ([VIEW], ["10.0.0.0/8", "192.0.2.0/24"])
    assert not organization.user_keys_allowed


def test_stale_organization_authorizes_nobody(acme, owner):
    stale = Organization.objects.get()
    acme.suspend()

    for refused in (
        lambda: stale.rename(name="New", by=owner),
        lambda: ApiKey.objects.create_key(prefix="csb", organization=stale, by=owner),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    assert (Organization.objects.get().name, ApiKey.objects.count()) == ("Acme", 0)


def test_suspended_organization_takes_no_new_member(acme, owner):
    _, token = make_invitation(acme, "new@example.com", by=owner, role="owner")
    user = MembershipFactory.create(user__email="new@example.com").user
    Organization.objects.get(pk=acme.pk).suspend()

    with pytest.raises(ValidationError, match="suspended") as caught:
        Invitation.objects.accept(token, user)

    assert caught.value.code == "organization_suspended"
    assert not acme.memberships.filter(user=user).exists()
    acme.lift_suspension()
    assert Invitation.objects.accept(token, user).role == "owner"


def test_organization_with_a_reserved_slug_can_be_suspended(acme):
    """The database accepts such a slug, for example from before the name was reserved."""
    Organization.objects.update(slug="admin")
    organization = Organization.objects.get()

    organization.suspend()
    organization.allow_user_keys(False)

    assert Organization.objects.get().suspended_at is not None
    with pytest.raises(ValidationError, match="reserved"):
        organization.save()


def test_shut_out_reaches_the_whole_rotation(acme, owner):
    first, _ = make_key("csu", user=owner, name="job interview")
    second, _ = first.rotate(grace=timedelta(days=1))
    third, _ = second.rotate(grace=timedelta(days=1))
    other, _ = make_key("csu", user=owner)
    keys = [first, second, third]

    def get_states():
        return [ApiKey.objects.get(pk=key.pk).is_shut_out_of(acme) for key in (*keys, other)]

    for key in keys:
        key.shut_out(acme)
        assert (get_states(), key.is_shut_out_of(acme)) == ([True, True, True, False], True)
        key.let_in(acme)
        assert get_states() == [False] * 4
    entries = AuditEntry.objects.filter(event__in=["api_key_shut_out", "api_key_let_in"])
    # The name of a user key is nobody else's business.
    assert {entry.target for entry in entries} == {f"csu_{key.hint}…" for key in keys}


def test_key_shut_out_by_many_can_be_rotated(owner):
    key, _ = make_key("csu", user=owner)
    ids = [str(OrganizationFactory.build().pk) for _ in range(150)]
    ApiKey.objects.update(shut_out_of=ids)

    assert ApiKey.objects.get(pk=key.pk).rotate()[0].shut_out_of == ids


def test_number_of_active_keys_and_expired_ones(acme, owner, settings):
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 1}
    soon = timezone.now() + timedelta(hours=1)
    expired, _ = ApiKey.objects.create_key(prefix="csb", organization=acme, expires_at=soon, by=owner)
    with time_machine.travel(soon + timedelta(hours=1)):
        ApiKey.objects.create_key(prefix="csb", organization=acme, by=owner)

        with pytest.raises(ValidationError) as caught:
            expired.change(expires_at=None, by=owner)

        assert caught.value.code == "too_many_keys"
        assert ApiKey.objects.active().count() == 1
        # An active key can be changed at the maximum.
        ApiKey.objects.active().get().change(expires_at=soon + timedelta(days=9), by=owner)


def test_number_of_active_keys_and_rotation(acme, owner, settings):
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 1}
    first, _ = ApiKey.objects.create_key(prefix="csb", organization=acme, by=owner)
    second, _ = first.rotate(grace=timedelta(days=7), by=owner)

    with pytest.raises(ValidationError) as caught:
        second.rotate(grace=timedelta(days=7), by=owner)

    assert caught.value.code == "still_rotating"
    assert ApiKey.objects.active().count() == 2
    third, _ = second.rotate(by=owner)
    first.revoke()
    assert third.rotate(grace=timedelta(days=7), by=owner)[0].state == "active"


def test_deletion_names_the_user_keys_that_end(acme, owner):
    key, _ = make_key("csu", user=owner, restricted_to=acme)
    other, _ = make_key("csu", user=owner)

    acme.delete()

    assert list(ApiKey.objects.all()) == [other]
    entry = AuditEntry.objects.get(event="organization_deleted")
    assert entry.old_values["user_keys"] == {str(key.pk): key.hint}
