from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.utils import timezone

from closient_auth import signals
from closient_auth.actors import Actor, acting
from closient_auth.models import ApiKey, AuditEntry, Invitation, MailedAddress, Membership, Organization
from closient_auth.models.audit import AuditEntryQuerySet, Event
from closient_auth.models.forgetting import forget_user
from closient_auth.models.invitations import hash_token
from closient_auth.models.mailed_addresses import hash_address
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_invitation, make_key

MODELS = [Organization, Membership, ApiKey, Invitation, AuditEntry]
# No part of an id in hexadecimal digits.
NAME, EMAIL = "vigdis", "Vigdis@example.com"


@pytest.fixture
def person(db):
    return UserFactory.create(username=NAME, email=EMAIL)


@pytest.fixture
def owner(organization):
    return MembershipFactory.create(organization=organization, user__username="olga", role="owner").user


@pytest.fixture
def trail(organization, owner, person):
    """Let the person and others do what leaves a trace, and return the person's user key and two organization keys."""
    colleague = UserFactory.create(username="grace", email="grace@example.com")
    for guest, inviter in [(person, owner), (colleague, person)]:
        join(organization, guest, inviter)
    with acting(Actor(user=owner, address="192.0.2.9")):
        Membership.objects.get(user=person).change_role("billing")
        Membership.objects.get(user=person).change_role("manager")
        Membership.objects.get(user=colleague).change_role("billing")
    with acting(Actor(user=person, address="192.0.2.7")):
        own, _ = make_key("csu", user=person, by=person)
        shared, _ = make_key(organization=organization, by=person)
        organization.rename(name="Acme Ltd")
    with acting(Actor(user=colleague, address="192.0.2.8")):
        foreign, _ = make_key("csu", user=colleague, by=colleague)
        make_key(organization=organization, created_by=colleague)
        organization.rename(name="Acme Inc")
    for key, address in [(own, "192.0.2.7"), (foreign, "192.0.2.8"), (shared, "198.51.100.1")]:
        report(key, address)
    return own, shared, foreign


def join(organization, guest, inviter):
    Membership.objects.filter(user=inviter, organization=organization).update(role="owner")
    with acting(Actor(user=inviter, address="192.0.2.7" if inviter.username == NAME else "192.0.2.9")):
        invitation = Invitation.objects.invite(organization=organization, email=guest.email, by=inviter)
    token = uuid4().hex
    Invitation.objects.filter(pk=invitation.pk).update(hashed_token=hash_token(token))
    with acting(Actor(user=guest, address="192.0.2.7")):
        Invitation.objects.accept(token, guest)
    return invitation


def report(key, address):
    with acting(Actor(api_key=key, address=address)):
        AuditEntry.objects.record(Event.REVOKED_API_KEY_USED, key, using="default")


def stored():
    return {model: {row["id"]: row for row in model._base_manager.values()} for model in MODELS}


def get_forgotten():
    return AuditEntry.objects.get(event="user_forgotten")


def count_changes(before, after):
    return sum(after[AuditEntry][pk] != row for pk, row in before[AuditEntry].items())


def expect(before, placeholder, *, user=None, key=None):
    """Return the rows as they should be after the user with this name was forgotten."""

    def replace(text):
        return re.sub(NAME, placeholder, text.replace(EMAIL.lower(), f"{placeholder}@example.invalid"))

    after = deepcopy(before)
    for row in after[AuditEntry].values():
        if user is not None and row["user_id"] == user:
            row.update(user_id=None, actor=placeholder, address="")
        if key is not None and row["api_key_id"] == key:
            row["address"] = ""
        row.update(actor=replace(row["actor"]), target=replace(row["target"]))
        for name in ("old_values", "new_values"):
            row[name] = json.loads(replace(json.dumps(row[name])))
    for row in after[Invitation].values():
        row["email"] = replace(row["email"])
    return after


def test_all_traces_and_nothing_else(trail, person):
    own, shared, _ = trail
    before = stored()

    forgotten = forget_user(person)

    after, entry = stored(), get_forgotten()
    del after[AuditEntry][entry.pk]
    assert re.fullmatch(r"forgotten-[0-9a-f]{8}", forgotten.placeholder or "")
    assert after == expect(before, forgotten.placeholder, user=person.pk, key=own.pk)
    assert (forgotten.entries, forgotten.invitations) == (count_changes(before, after), 1)
    assert {key.pk for key in forgotten.api_keys} == {own.pk, shared.pk}
    assert (entry.actor, entry.user_id, entry.address, entry.organization_id) == ("system", None, "", None)
    assert (entry.target_model, entry.target_id, entry.target, entry.old_values) == ("auditentry", entry.pk, "", {})
    assert entry.new_values == {
        "placeholder": forgotten.placeholder,
        "entries": forgotten.entries,
        "invitations": 1,
    }
    assert NAME not in str(list(AuditEntry.objects.values())).lower()
    assert get_user_model().objects.get(pk=person.pk).username == NAME


def test_again(trail, person):
    forget_user(person)
    before = stored()

    again = forget_user(person)

    assert (again.placeholder, again.entries, again.invitations, len(again.api_keys)) == (None, 0, 0, 2)
    assert stored() == before


def test_what_came_later_gets_the_same_placeholder(trail, person, organization):
    first = forget_user(person)
    with acting(person):
        organization.rename(name="Acme Group")

    second = forget_user(person)

    assert (second.placeholder, second.entries, second.invitations) == (first.placeholder, 1, 0)
    assert (
        AuditEntry.objects.get(event="organization_changed", new_values__name="Acme Group").actor == first.placeholder
    )


def test_two_people(trail, person):
    colleague = get_user_model().objects.get(username="grace")

    first, second = forget_user(person), forget_user(colleague)

    assert first.placeholder != second.placeholder
    actors = set(AuditEntry.objects.filter(event="organization_changed").values_list("actor", flat=True))
    assert actors == {first.placeholder, second.placeholder}


@pytest.mark.parametrize("is_expired", [False, True])
def test_open_invitation_is_withdrawn(organization, owner, person, django_capture_on_commit_callbacks, is_expired):
    invitation, _ = make_invitation(organization, EMAIL.lower(), by=owner)
    other, _ = make_invitation(organization, "vigdis@example.org", by=owner)
    if is_expired:
        Invitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    untouched, seen = Invitation.objects.values().get(pk=other.pk), []

    def receive(entry, instance, **kwargs):
        seen.append((entry.target, instance.email))

    signals.invitation_withdrawn.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            forgotten = forget_user(person)
    finally:
        signals.invitation_withdrawn.disconnect(receive)

    address = f"{forgotten.placeholder}@example.invalid"
    invitation.refresh_from_db()
    assert (invitation.email, invitation.state, forgotten.invitations) == (address, "withdrawn", 1)
    withdrawn = AuditEntry.objects.get(event="invitation_withdrawn")
    assert (withdrawn.target, withdrawn.actor) == (f"{address}: Editor", "system")
    assert seen == [(f"{address}: Editor", address)]
    assert Invitation.objects.values().get(pk=other.pk) == untouched


@pytest.mark.parametrize("state", ["accepted_at", "declined_at", "withdrawn_at"])
def test_closed_invitation_keeps_its_state(organization, owner, person, state):
    invitation, _ = make_invitation(organization, EMAIL.lower(), by=owner)
    moment = timezone.now() - timedelta(days=1)
    Invitation.objects.update(**{state: moment})

    forgotten = forget_user(person)

    invitation.refresh_from_db()
    assert (invitation.email, getattr(invitation, state)) == (f"{forgotten.placeholder}@example.invalid", moment)
    assert not AuditEntry.objects.filter(event="invitation_withdrawn").exists()


def test_counted_mails(organization, owner, person):
    """The hashes of the person's addresses are deleted, also that of an earlier address."""
    join(organization, person, owner)
    for address in ("new@example.com", "other@example.com"):
        Invitation.objects.invite(organization=organization, email=address, by=owner)
    get_user_model().objects.filter(pk=person.pk).update(email="new@example.com")
    assert MailedAddress.objects.count() == 3

    forget_user(person)

    assert MailedAddress.objects.get().hashed_address == hash_address("other@example.com")


def find_addresses(user):
    return ["Vigdis@work.example"]


def test_verified_address(organization, owner, person, settings):
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": f"{__name__}.find_addresses"}
    invitation, _ = make_invitation(organization, "vigdis@work.example", by=owner)
    beside, _ = make_invitation(organization, "olga@work.example", by=owner)

    forgotten = forget_user(person)

    assert Invitation.objects.get(pk=invitation.pk).email == f"{forgotten.placeholder}@example.invalid"
    assert Invitation.objects.get(pk=beside.pk).email == "olga@work.example"


def test_invitation_accepted_with_an_earlier_address(organization, owner, person):
    invitation = join(organization, person, owner)
    get_user_model().objects.filter(pk=person.pk).update(email="new@example.com")

    forgotten = forget_user(person)

    invitation.refresh_from_db()
    assert (invitation.email, forgotten.invitations) == (f"{forgotten.placeholder}@example.invalid", 1)
    assert NAME not in str(list(AuditEntry.objects.values())).lower()


def test_invitation_accepted_on_behalf_of_somebody_else(organization, owner, person):
    """An entry with the person as its actor is not about the person's own address then."""
    guest = UserFactory.create(username="grace", email="grace@example.com")
    invitation, token = make_invitation(organization, guest.email, by=owner)
    with acting(Actor(user=person)):
        Invitation.objects.accept(token, guest)

    forget_user(person)

    invitation.refresh_from_db()
    assert invitation.email == guest.email
    assert AuditEntry.objects.get(event="invitation_accepted").target == "grace@example.com: Editor"


def test_deleted_organization(trail, person, organization):
    Organization.objects.all().delete()
    before = stored()

    forgotten = forget_user(person)

    assert forgotten.entries == count_changes(before, stored())
    assert forgotten.invitations == 0
    assert NAME not in str(list(AuditEntry.objects.values())).lower()


def test_user_without_traces(person, organization):
    before = stored()

    forgotten = forget_user(person)

    assert (forgotten.placeholder, forgotten.entries, forgotten.invitations, forgotten.api_keys) == (None, 0, 0, [])
    assert stored() == before


def test_user_without_an_address(trail, person):
    """The empty address is not that of an invitation without one."""
    get_user_model().objects.filter(pk=person.pk).update(email="")
    other, _ = make_invitation(Organization.objects.get(), "", by=person)

    forget_user(person)

    other.refresh_from_db()
    assert (other.email, other.state) == ("", "pending")


def test_user_that_is_deleted_already(trail, person):
    """Without a primary key, no entry is taken for one of the user's."""
    person.delete()
    before = stored()

    with pytest.raises(ObjectDoesNotExist):
        forget_user(person)
    assert stored() == before


@pytest.fixture
def deleted(trail, person):
    """Delete the person's account, and return its id as text."""
    pk = str(person.pk)
    with acting(Actor(user=person, address="192.0.2.7")):
        person.delete()
    return pk


def test_by_the_name_of_a_deleted_user(deleted):
    own = AuditEntry.objects.get(event="api_key_created", new_values__prefix="csu", actor=NAME).target_id
    before = stored()

    forgotten = forget_user(NAME)

    after = stored()
    del after[AuditEntry][get_forgotten().pk]
    expected = expect(before, forgotten.placeholder, key=own)
    for row in expected[AuditEntry].values():
        row["address"] = "" if row["actor"] == forgotten.placeholder else row["address"]
    assert after == expected
    assert forgotten.entries == count_changes(before, after)
    assert NAME not in str(list(AuditEntry.objects.values())).lower()


def test_by_the_id_of_a_deleted_user(deleted):
    before = stored()

    forgotten = forget_user(deleted)

    targets = AuditEntry.objects.filter(target_model="membership", target__startswith=f"{forgotten.placeholder}: ")
    assert targets.count() == 4
    assert not AuditEntry.objects.filter(target_model="membership", target__contains=NAME).exists()
    assert forgotten.entries == count_changes(before, stored())
    # The key that they made is still in use.
    assert [key.prefix for key in forgotten.api_keys] == ["csb"]
    # An id does not say who the actor "vigdis" was.
    assert AuditEntry.objects.filter(actor=NAME).exists()


def test_before_and_after_the_deletion(trail, person):
    first = forget_user(person)
    person.delete()
    assert AuditEntry.objects.get(event="member_removed").target == f"{NAME}: Manager"

    second = forget_user(NAME)

    assert second.placeholder == first.placeholder
    assert AuditEntry.objects.get(event="member_removed").target == f"{first.placeholder}: Manager"
    with pytest.raises(ObjectDoesNotExist):
        forget_user(NAME)


def test_by_the_address_of_somebody_without_an_account(organization, owner):
    guest = Invitation.objects.invite(organization=organization, email="new@example.com", by=owner)
    other = Invitation.objects.invite(organization=organization, email="new@example.org", by=owner)

    forgotten = forget_user("New@example.com")

    guest.refresh_from_db()
    other.refresh_from_db()
    assert (guest.email, guest.state) == (f"{forgotten.placeholder}@example.invalid", "withdrawn")
    assert (other.email, other.state) == ("new@example.org", "pending")
    created = AuditEntry.objects.filter(event="invitation_created").values_list("target", "new_values__email")
    assert set(created) == {(f"{guest.email}: Editor", guest.email), ("new@example.org: Editor", "new@example.org")}


@pytest.mark.parametrize("text", ["system", "nobody", "", "0", "forgotten-0a1b2c3d", str(uuid4()), "a@b.example", ".*"])
def test_unknown(trail, text):
    AuditEntry.objects.create(
        event="organization_changed", actor="forgotten-0a1b2c3d", target_model="organization", target_id=uuid4()
    )
    before = stored()

    with pytest.raises(ObjectDoesNotExist, match="Neither a user nor"):
        forget_user(text)
    assert stored() == before


@pytest.mark.parametrize("other", ["Vigdis", "vigdís", "vigdis ", "vigdis: Owner", "vigdisa", "vigdi"])
def test_name_of_a_deleted_user_is_compared_exactly(db, other):
    """Some databases compare texts with other letters as equal."""
    for name in (NAME, other):
        user = UserFactory.create()
        pk = user.pk
        user.delete()
        for model in ("membership", "organization"):
            entry = {"actor": name, "target": f"{name}: Editor", "target_model": model, "target_id": uuid4()}
            AuditEntry.objects.create(event="member_added", new_values={"user": pk}, **entry)
    before = {row["id"]: row for row in AuditEntry.objects.filter(actor=other).values() if row["actor"] == other}
    assert len(before) == 2

    assert forget_user(NAME).entries == 2

    assert {row["id"]: row for row in AuditEntry.objects.values() if row["actor"] == other} == before


def test_name_of_a_deleted_user_that_somebody_else_has_now(deleted, organization):
    heir = UserFactory.create(username=NAME)
    membership = MembershipFactory.create(organization=organization, user=heir)
    with acting(heir):
        organization.rename(name="Acme Group")
    before = stored()

    forget_user(NAME)

    after = stored()
    rows = [
        pk for pk, row in before[AuditEntry].items() if row["user_id"] == heir.pk or row["target_id"] == membership.pk
    ]
    assert len(rows) == 2
    assert [after[AuditEntry][pk] for pk in rows] == [before[AuditEntry][pk] for pk in rows]


def test_membership_that_changed_hands(organization, owner, person):
    membership = MembershipFactory.create(organization=organization, user=person)
    membership.change_role("manager")
    membership.user = UserFactory.create(username="grace")
    membership.save()
    membership.change_role("editor")

    forgotten = forget_user(person)

    entries = AuditEntry.objects.filter(target_id=membership.pk).order_by("created_at")
    assert list(entries.values_list("target", flat=True)) == [
        f"{forgotten.placeholder}: Editor",
        f"{forgotten.placeholder}: Manager",
        "grace: Manager",
        "grace: Editor",
    ]


def test_target_that_was_cut(organization, person):
    """The text after the last colon may be a part of the name then."""
    membership = MembershipFactory.create(organization=organization, user=person)
    AuditEntry.objects.create(
        event="member_changed",
        target_model="membership",
        target_id=membership.pk,
        target=f"{NAME} of: {'Bergen ' * 40}"[:255],
        new_values={"role": "editor"},
    )

    forgotten = forget_user(person)

    assert AuditEntry.objects.get(event="member_changed").target == forgotten.placeholder


@pytest.mark.parametrize("is_recorded", [True, False])
def test_name_that_looks_like_a_placeholder(organization, person, is_recorded):
    """A placeholder is used again only if an earlier run has recorded it, and never if it is the name itself."""
    name = "forgotten-0a1b2c3d"
    get_user_model().objects.filter(pk=person.pk).update(username=name)
    MembershipFactory.create(organization=organization, user=get_user_model().objects.get(pk=person.pk))
    with acting(person):
        organization.rename(name="Acme Ltd")
    if is_recorded:
        values = {"target_model": "auditentry", "target_id": uuid4(), "new_values": {"placeholder": name}}
        AuditEntry.objects.create(event="user_forgotten", **values)
    else:
        get_user_model().objects.filter(pk=person.pk).update(username=NAME)

    forgotten = forget_user(person)

    assert forgotten.placeholder != name
    assert AuditEntry.objects.get(event="member_added").target == f"{forgotten.placeholder}: Editor"


def test_when_older_entries_are_deleted(organization, person):
    """The rows tell what is about the person, also under a former name."""
    membership = MembershipFactory.create(organization=organization, user=person)
    membership.change_role("manager")
    own, _ = make_key("csu", user=person)
    shared, _ = make_key(organization=organization, created_by=person)
    report(own, "192.0.2.7")
    AuditEntry.objects.filter(event__in=["member_added", "api_key_created"])._erase()
    get_user_model().objects.filter(pk=person.pk).update(username="new")

    forgotten = forget_user(person)

    assert AuditEntry.objects.get(event="member_changed").target == f"{forgotten.placeholder}: Manager"
    assert AuditEntry.objects.get(event="revoked_api_key_used").address == ""
    assert {key.pk for key in forgotten.api_keys} == {own.pk, shared.pk}


def test_address_of_somebody_else_beside_the_key(trail, person):
    own, _, _ = trail
    with acting(Actor(user=get_user_model().objects.get(username="grace"), api_key=own, address="192.0.2.8")):
        OrganizationFactory.create(name="Globex")

    forget_user(person)

    entry = AuditEntry.objects.get(target="Globex")
    assert (entry.actor, entry.address) == ("grace", "192.0.2.8")


@pytest.mark.parametrize("other", ["vigdis@exámple.com", "vigdis@example.com.br", "a.vigdis@example.com"])
def test_address_is_compared_exactly(organization, owner, person, other):
    invitation = Invitation.objects.invite(organization=organization, email=other, by=owner)
    make_invitation(organization, EMAIL.lower(), by=owner)
    before = stored()

    assert forget_user(person).invitations == 1

    after = stored()
    assert after[Invitation][invitation.pk] == before[Invitation][invitation.pk]
    assert [after[AuditEntry][pk] for pk in before[AuditEntry]] == [*before[AuditEntry].values()]


def test_all_or_nothing(trail, person, monkeypatch):
    make_invitation(Organization.objects.get(), EMAIL.lower(), by=person)
    before, record = stored(), AuditEntryQuerySet.record

    def fail(self, event, *args, **kwargs):
        if event == "user_forgotten":
            raise ZeroDivisionError
        return record(self, event, *args, **kwargs)

    monkeypatch.setattr(AuditEntryQuerySet, "record", fail)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        forget_user(person)
    assert stored() == before


def test_current_actor_is_not_named(trail, person):
    with acting(Actor(user=person, address="192.0.2.7")):
        make_invitation(OrganizationFactory.create(), EMAIL.lower(), by=person)
        forget_user(person)

    assert (get_forgotten().actor, get_forgotten().address) == ("system", "")
    assert AuditEntry.objects.get(event="invitation_withdrawn").actor == "system"


def test_signal(trail, person, django_capture_on_commit_callbacks):
    seen = []

    def receive(sender, entry, instance, **kwargs):
        seen.append((sender, entry, instance))

    signals.user_forgotten.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            forget_user(person)
    finally:
        signals.user_forgotten.disconnect(receive)

    assert seen == [(AuditEntry, get_forgotten(), get_forgotten())]
