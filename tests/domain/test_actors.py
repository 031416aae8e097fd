"""Actors: their rank in an organization, and changes in receivers of signals."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps

from closient_auth import signals
from closient_auth.actors import Actor, acting
from closient_auth.models import ApiKey, AuditEntry, LastOwnerError, Organization
from closient_auth.principals import OrganizationPrincipal
from tests.factories import MembershipFactory, UserFactory, make_key

# The rank of an actor with each role, or without a membership, in the organization.
ROLES = ["owner", "manager", "billing", "editor", None]
RANKS: dict[str, list[str | None]] = {
    "user": ["owner", "manager", "billing", "editor", None],
    "staff": ["owner", "manager", "manager", "manager", "manager"],
    "staff, own membership": ["owner", "manager", "billing", "editor", None],
    "superuser": ["owner", "owner", "owner", "owner", "owner"],
    "superuser with a key": ["owner", "manager", "billing", "editor", None],
}


@pytest.fixture
def organization(db):
    return MembershipFactory.create(role="owner").organization


@pytest.mark.parametrize("kind", RANKS)
@pytest.mark.parametrize("number", range(len(ROLES)), ids=map(str, ROLES))
def test_rank(organization, kind, number):
    user = UserFactory.create(is_superuser="superuser" in kind)
    if role := ROLES[number]:
        MembershipFactory.create(organization=organization, user=user, role=role)
    key = make_key("csu", user=user)[0] if "key" in kind else None
    actor = Actor(user, key, is_superuser="superuser" in kind, is_staff="staff" in kind)

    with transaction.atomic():
        assert organization.get_rank(actor, own="own" in kind) == RANKS[kind][number]


@pytest.mark.parametrize(
    "make",
    [
        lambda organization: AnonymousUser(),
        lambda organization: OrganizationPrincipal(make_key(organization=organization)[0]),
        lambda organization: Actor(),
        lambda organization: UserFactory.create(is_superuser=True),
    ],
    ids=["anonymous", "principal", "empty actor", "bare superuser"],
)
def test_who_has_no_rank_may_do_nothing(organization, make):
    by = make(organization)
    owner = organization.memberships.get()
    api_key, _ = make_key(organization=organization)
    before = list(AuditEntry.objects.order_by("pk").values())

    for refused in (
        lambda: organization.rename(name="Mine", by=by),
        lambda: organization.delete(by=by),
        lambda: owner.change_role("editor", by=by),
        lambda: owner.remove(by=by),
        lambda: ApiKey.objects.create_key(prefix="csb", organization=organization, by=by),
        lambda: ApiKey.objects.create_key(prefix="csu", user=owner.user, by=by),
        lambda: api_key.change(name="Mine", by=by),
        lambda: api_key.rotate(by=by),
        lambda: api_key.revoke(by=by),
        lambda: organization.invitations.model.objects.invite(organization=organization, email="a@example.com", by=by),
    ):
        with pytest.raises(PermissionDenied, match=r"You are not a member|belongs to another user"):
            refused()

    assert list(AuditEntry.objects.order_by("pk").values()) == before


def test_staff_cannot_raise_their_own_role(organization):
    member = MembershipFactory.create(organization=organization, role="editor")

    with pytest.raises(PermissionDenied):
        member.change_role("manager", by=Actor(member.user, is_staff=True))

    member.refresh_from_db()
    assert member.role == "editor"


@pytest.mark.django_db(transaction=True)
def test_receivers_of_signals_act_for_the_same_actor():
    organization = MembershipFactory.create(role="owner").organization
    member = MembershipFactory.create(organization=organization, role="manager")
    make_key(organization=organization, created_by=member.user)
    actor = Actor(organization.memberships.get(role="owner").user, address="192.0.2.1")

    def revoke(instance, **kwargs):
        ApiKey.objects.filter(created_by=instance.user_id).revoke()

    signals.member_removed.connect(revoke)
    try:
        # The transaction of a view (``ATOMIC_REQUESTS``) ends after the actor's block.
        with transaction.atomic():
            member.remove(by=actor)
    finally:
        signals.member_removed.disconnect(revoke)

    entry = AuditEntry.objects.get(event="api_key_revoked")
    assert (entry.user, entry.address) == (actor.user, "192.0.2.1")


def test_inner_actor_is_recorded_and_the_outer_one_afterwards(organization):
    ada, eli = UserFactory.create(username="ada"), UserFactory.create(username="eli")

    with acting(ada):
        with acting(Actor(eli)):
            make_key(organization=organization)
        make_key(organization=organization)

    created = AuditEntry.objects.filter(event="api_key_created").order_by("created_at")
    assert [entry.actor for entry in created] == ["eli", "ada"]


@isolate_apps("tests")
def test_proxy_of_an_organization_shares_its_lock(organization):
    """Only the outermost block checks the last-owner rule, whichever class loaded the row."""

    class Company(Organization):
        class Meta:
            proxy = True
            app_label = "tests"

    company = Company.objects.get(pk=organization.pk)
    other = MembershipFactory.create(organization=organization, role="editor")

    with company.keep_owner():
        organization.memberships.get(role="owner").change_role("editor")
        other.change_role("owner")
    with pytest.raises(LastOwnerError), company.keep_owner():
        other.change_role("editor")

    assert organization.memberships.get(role="owner") == other


def test_form_of_a_project_cannot_extend_a_rotated_key(organization):
    api_key, _ = make_key(organization=organization)
    api_key.rotate(grace=timedelta(hours=1))
    end = ApiKey.objects.get(pk=api_key.pk).expires_at
    assert end is not None

    later_ends: list[datetime | None] = [None, end + timedelta(seconds=1)]
    for later in later_ends:
        api_key.expires_at = later
        with pytest.raises(ValidationError) as caught:
            api_key.full_clean()
        assert [error.code for error in caught.value.error_dict["expires_at"]] == ["already_rotated"]

    api_key.expires_at = end
    api_key.full_clean()
    ApiKey.objects.filter(pk=api_key.pk).update(expires_at=end - timedelta(days=1))
    api_key.refresh_from_db()
    api_key.full_clean()


def test_aware_expiry_without_time_zones(organization, settings):
    settings.USE_TZ = False

    with pytest.raises(ValidationError) as caught:
        ApiKey.objects.create_key(prefix="csb", organization=organization, expires_at=datetime(2099, 1, 1, tzinfo=UTC))

    assert [error.code for error in caught.value.error_dict["expires_at"]] == ["aware"]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_rotation_locks_the_organization_before_the_key(organization, is_trusted):
    api_key, _ = make_key(organization=organization)
    by = None if is_trusted else organization.memberships.get().user

    with CaptureQueriesContext(connection) as queries:
        api_key.rotate(by=by)

    updates = [re.findall(r"\w+", query["sql"])[1] for query in queries if query["sql"].startswith("UPDATE")]
    assert updates[:2] == [Organization._meta.db_table, ApiKey._meta.db_table]
