from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.dispatch import Signal

from closient_auth import signals
from closient_auth.actors import Actor, acting
from closient_auth.models import AuditEntry, Invitation, LastOwnerError, Organization
from closient_auth.models.audit import AppendOnlyError, AuditJSONEncoder, Event
from tests.factories import MembershipFactory, UserFactory, make_invitation, make_key

LATER = datetime(2031, 1, 1, tzinfo=UTC)
VIEW = "organization.view_organization"


@pytest.fixture
def record(db):
    """Return a function to run an operation and return its entries: event, target, old and new values."""

    def record(operation):
        before = set(AuditEntry.objects.values_list("pk", flat=True))
        operation()
        entries = AuditEntry.objects.exclude(pk__in=before).order_by("created_at", "event")
        return [(entry.event, entry.target, entry.old_values, entry.new_values) for entry in entries]

    return record


def in_json(pk):
    return json.loads(json.dumps(pk, cls=AuditJSONEncoder))


def test_organization(record):
    ada = UserFactory.create(username="ada")
    operation = lambda: Organization.objects.create_organization(name="Acme", owner=ada)  # noqa: E731
    assert record(operation) == [
        (
            "organization_created",
            "Acme",
            {},
            {"name": "Acme", "slug": "acme", "user_keys_allowed": True, "suspended_at": None},
        ),
        ("member_added", "ada: Owner", {}, {"user": in_json(ada.pk), "role": "owner"}),
    ]
    acme = Organization.objects.get()

    assert record(lambda: acme.rename(name="Acme Ltd", slug="acme")) == [
        ("organization_changed", "Acme Ltd", {"name": "Acme"}, {"name": "Acme Ltd"})
    ]
    assert record(acme.save) == []
    assert record(lambda: acme.allow_user_keys(False)) == [
        ("organization_changed", "Acme Ltd", {"user_keys_allowed": True}, {"user_keys_allowed": False})
    ]
    ((*_, lifted, suspended),) = record(acme.suspend)
    assert lifted == {"suspended_at": None}
    assert record(acme.suspend) == []
    assert record(acme.lift_suspension) == [("organization_changed", "Acme Ltd", suspended, lifted)]
    pk = acme.pk
    assert [event for event, *_ in record(acme.delete)] == ["organization_deleted"]
    assert set(AuditEntry.objects.values_list("organization_id", flat=True)) == {pk}


def test_deleted_organization_tells_what_went_along(record, organization, join):
    members = [join("owner"), join("editor")]
    keys = [make_key(prefix, organization=organization)[0] for prefix in ("csb", "cpk")]
    make_key(organization=organization)[0].revoke()
    MembershipFactory.create(), make_key()

    ((*_, told, _),) = record(organization.delete)

    assert told == {
        "name": "Acme Foods",
        "slug": "acme-foods",
        "api_keys": {str(key.pk): key.hint for key in keys},
        "members": {str(member.user_id): member.role for member in members},
    }


def test_deleted_organization_tells_of_so_many_and_no_more(record, organization, join, monkeypatch):
    monkeypatch.setattr("closient_auth.models.organizations.AUDITED_ROWS", 1)
    join("owner"), join("editor"), make_key(organization=organization), make_key(organization=organization)

    ((*_, told, _),) = record(organization.delete)

    assert (len(told["api_keys"]), len(told["members"])) == (1, 1)


def test_member(record, join):
    owner, member = join("owner"), join("editor", user__username="eli")
    join("owner")

    assert record(lambda: member.change_role("manager", by=owner.user)) == [
        ("member_changed", "eli: Manager", {"role": "editor"}, {"role": "manager"})
    ]
    assert record(lambda: member.change_role("manager")) == []
    assert record(member.remove) == [
        ("member_removed", "eli: Manager", {"user": in_json(member.user_id), "role": "manager"}, {})
    ]
    assert record(owner.user.delete) == [
        ("member_removed", str(owner), {"user": in_json(owner.user_id), "role": "owner"}, {})
    ]


def test_key(record, organization):
    key, raw_key = make_key(organization=organization, name="Shop")
    (created,) = AuditEntry.objects.filter(event="api_key_created")
    assert created.new_values == {
        "prefix": "csb",
        "hint": key.hint,
        "organization": str(organization.pk),
        "user": None,
        "created_by": None,
        "rotated_from": None,
        "name": "Shop",
        "description": "",
        "expires_at": None,
        "rate_limit_per_minute": 0,
        "rate_limit_per_day": 0,
        "permissions": None,
        "restricted_to": None,
        "allowed_networks": [],
        "allowed_origins": [],
    }
    assert record(lambda: key.change(expires_at=LATER, name="Shop")) == [
        ("api_key_changed", str(key), {"expires_at": None}, {"expires_at": "2031-01-01T00:00:00Z"})
    ]
    rotation = record(lambda: key.rotate(grace=timedelta(days=1)))
    assert [(event, new.get("rotated_from")) for event, _, _, new in rotation] == [
        ("api_key_changed", None),
        ("api_key_rotated", str(key.pk)),
    ]
    assert record(key.revoke) == [("api_key_revoked", str(key), {"is_active": True}, {"is_active": False})]
    assert record(key.revoke) == []
    assert raw_key not in str(list(AuditEntry.objects.values()))
    assert key.hashed_key not in str(list(AuditEntry.objects.values()))


def test_restrictions_of_a_key(record, organization):
    key, _ = make_key(organization=organization)

    changes = record(lambda: key.change(permissions=[VIEW], allowed_networks=["203.0.113.9"]))

    old: dict[str, object] = {"permissions": None, "allowed_networks": []}
    new = {"permissions": [VIEW], "allowed_networks": ["203.0.113.9/32"]}
    assert changes == [("api_key_changed", str(key), old, new)]


def test_user_key_that_an_organization_shuts_out(record, organization, join):
    """The entries belong to the organization, and not to nobody as those of the key."""
    manager, member = join("manager").user, join("editor")
    key, _ = make_key("csu", user=member.user)

    assert record(lambda: key.shut_out(organization, by=manager)) == [("api_key_shut_out", str(key), {}, {})]
    assert record(lambda: key.shut_out(organization, by=manager)) == []
    assert record(lambda: key.let_in(organization, by=manager)) == [("api_key_let_in", str(key), {}, {})]
    assert record(lambda: key.let_in(organization, by=manager)) == []
    entries = AuditEntry.objects.filter(event__in=["api_key_shut_out", "api_key_let_in"])
    assert {(entry.organization_id, entry.user_id, entry.target_id) for entry in entries} == {
        (organization.pk, manager.pk, key.pk)
    }


def test_revoked_keys_have_a_row_each(record, organization):
    keys = [make_key(organization=organization)[0] for _ in range(3)]
    keys[0].revoke()

    recorded = record(lambda: organization.api_keys.revoke())

    assert sorted(target for _, target, _, _ in recorded) == sorted(map(str, keys[1:]))


def test_invitation(record, organization, join):
    owner = join("owner").user
    operation = lambda: Invitation.objects.invite(organization=organization, email="a@example.com", by=owner)  # noqa: E731
    assert record(operation) == [
        ("invitation_created", "a@example.com: Editor", {}, {"email": "a@example.com", "role": "editor"})
    ]
    invitation = Invitation.objects.get()
    Invitation.objects.update(last_sent_at=None)
    heir = join("owner").user
    ((event, _, old, new),) = record(lambda: invitation.resend(by=heir))
    assert (event, old["invited_by"], new["invited_by"]) == ("invitation_resent", in_json(owner.pk), in_json(heir.pk))
    assert old["expires_at"] < new["expires_at"]
    assert record(invitation.withdraw) == [
        ("invitation_withdrawn", "a@example.com: Editor", {"state": "pending"}, {"state": "withdrawn"})
    ]
    assert record(invitation.withdraw) == []
    assert not AuditEntry.objects.exclude(organization_id=organization.pk).exists()


def test_accepted_invitation(record, organization, join):
    grace = UserFactory.create(username="grace", email="grace@example.com")
    invitation, token = make_invitation(organization, grace.email, by=join("owner").user)

    with acting(grace):
        recorded = record(lambda: Invitation.objects.accept(token, grace))

    assert recorded == [
        ("invitation_accepted", "grace@example.com: Editor", {"state": "pending"}, {"state": "accepted"}),
        ("member_added", "grace: Editor", {}, {"user": in_json(grace.pk), "role": "editor"}),
    ]
    entry = AuditEntry.objects.get(event="invitation_accepted")
    assert (entry.organization_id, entry.target_id, entry.actor) == (organization.pk, invitation.pk, "grace")
    assert token not in str(list(AuditEntry.objects.values()))


def test_on_whose_behalf(organization, join):
    """Outside ``acting()``, the actor is the ``by`` argument of the method."""
    ada, eli = join("owner").user, join("editor")
    key, _ = make_key(organization=organization)
    guest = UserFactory.create(username="grace", email="grace@example.com")
    invitation, token = make_invitation(organization, guest.email, by=ada)
    make_invitation(organization, "b@example.com", by=ada)
    operations = [
        lambda: organization.rename(name="Acme Ltd", by=ada),
        lambda: key.change(name="New", by=ada),
        lambda: key.rotate(by=ada),
        lambda: Invitation.objects.invite(organization=organization, email="a@example.com", by=ada),
        lambda: Invitation.objects.get(email="b@example.com").resend(by=ada),
        lambda: Invitation.objects.get(email="a@example.com").withdraw(by=ada),
        lambda: eli.change_role("manager", by=ada),
        lambda: eli.remove(by=ada),
    ]

    def seen(operation):
        before = set(AuditEntry.objects.values_list("pk", flat=True))
        operation()
        return set(AuditEntry.objects.exclude(pk__in=before).values_list("actor", "user"))

    assert [seen(operation) for operation in operations] == [{(ada.username, ada.pk)}] * len(operations)
    assert seen(lambda: Invitation.objects.accept(token, guest)) == {("grace", guest.pk)}
    assert seen(organization.save) == set()
    with acting(guest):
        assert seen(lambda: organization.rename(name="Acme", by=ada)) == {("grace", guest.pk)}
    assert seen(lambda: organization.rename(name="Acme Inc")) == {("system", None)}


def test_who_and_from_where(organization):
    ada = UserFactory.create(username="ada")
    key, _ = make_key("csu", user=ada)
    business, _ = make_key(organization=organization)

    def seen(**actor):
        with acting(Actor(**actor)):
            make_key(organization=organization)
        entry = AuditEntry.objects.latest("created_at")
        return entry.user, entry.api_key_id, entry.actor, entry.address

    assert seen(user=ada, address="192.0.2.1") == (ada, None, "ada", "192.0.2.1")
    assert seen(user=ada, api_key=key) == (ada, key.pk, "ada", "")
    assert seen(api_key=business) == (None, business.pk, str(business), "")
    assert seen() == (None, None, "system", "")
    make_key(organization=organization)
    assert AuditEntry.objects.latest("created_at").actor == "system"


def test_actor_who_deletes_themselves(join):
    join("owner")
    eli = join("editor", user__username="eli").user

    with acting(eli):
        eli.delete()

    entry = AuditEntry.objects.get(event="member_removed")
    assert (entry.user, entry.actor) == (None, "eli")


def test_change_that_is_undone_is_not_told(join):
    owner = join("owner")
    before = AuditEntry.objects.count()

    with pytest.raises(LastOwnerError):
        owner.remove()

    assert AuditEntry.objects.count() == before


def test_signal_after_commit(organization, django_capture_on_commit_callbacks, caplog):
    seen = []

    def fail(**kwargs):
        raise RuntimeError

    def receive(sender, entry, instance, **kwargs):
        seen.append((sender, entry.event, instance))

    signals.api_key_created.connect(fail)
    signals.api_key_created.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            key, _ = make_key(organization=organization)
            assert seen == []
    finally:
        signals.api_key_created.disconnect(fail)
        signals.api_key_created.disconnect(receive)

    assert seen == [(type(key), "api_key_created", key)]
    assert "RuntimeError" in caplog.text


def test_each_event_has_its_signal():
    named = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    # Most refusals are no audit event.
    assert named == {*Event.values, "api_key_refused"}


def test_append_only(organization):
    entry = AuditEntry.objects.get()
    before = AuditEntry.objects.values().get()
    other = AuditEntry(**before | {"actor": "nobody"})
    unique_fields = ["id"] if connection.features.supports_update_conflicts_with_target else None

    for change in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(actor="nobody"),
        lambda: AuditEntry.objects.update_or_create(pk=entry.pk, defaults={"actor": "nobody"}),
        lambda: AuditEntry.objects.bulk_update([other], ["actor"]),
        lambda: AuditEntry.objects.bulk_create(
            [other], update_conflicts=True, unique_fields=unique_fields, update_fields=["actor"]
        ),
        lambda: AuditEntry.objects.bulk_create([other], None, False, True, ["actor"], unique_fields),
    ):
        with pytest.raises(AppendOnlyError, match="cannot be changed"), transaction.atomic():
            change()

    for kwargs in ({"force_update": True}, {"update_fields": ["actor"]}):
        with pytest.raises(ValueError, match="Cannot force both insert and updating"):
            other.save(**kwargs)
    assert AuditEntry.objects.values().get() == before
    other.pk = uuid4()
    assert AuditEntry.objects.bulk_create([other]) == [other]
    assert str(entry) == "Organization created: Acme Foods"


def test_indexes_serve_the_questions_about_the_log():
    """Of an organization, of a row, and of a key that made changes: the admin asks for both of the last at once."""
    fields = {tuple(index.fields) for index in AuditEntry._meta.indexes}

    assert fields == {(name, "created_at") for name in ("organization_id", "target_id", "api_key_id")}
