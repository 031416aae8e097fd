"""A change is rolled back if its audit entry cannot be saved: both are in one transaction."""

from __future__ import annotations

from datetime import timedelta

import pytest

from closient_auth.models import ApiKey, AuditEntry, Invitation, MailedAddress, Membership, Organization
from closient_auth.models.audit import AuditEntryQuerySet, Event
from closient_auth.models.forgetting import forget_user
from tests.factories import MembershipFactory, UserFactory, make_invitation, make_key

# The change must open its own transaction, so the test does not run in one.
pytestmark = pytest.mark.django_db(transaction=True)

CHANGES = {
    "organization_created": lambda rows: Organization.objects.create_organization(name="New", owner=rows["guest"]),
    "organization_changed": lambda rows: rows["organization"].rename(name="New"),
    "organization_deleted": lambda rows: rows["organization"].delete(),
    "member_added": lambda rows: MembershipFactory.create(organization=rows["organization"], user=rows["guest"]),
    "member_changed": lambda rows: rows["member"].change_role("manager"),
    "member_removed": lambda rows: rows["member"].remove(),
    "invitation_created": lambda rows: Invitation.objects.invite(
        organization=rows["organization"], email="new@example.com", by=rows["owner"].user
    ),
    "invitation_resent": lambda rows: rows["invitation"].resend(by=rows["owner"].user),
    "invitation_withdrawn": lambda rows: rows["invitation"].withdraw(),
    "invitation_declined": lambda rows: Invitation.objects.decline(rows["token"], rows["guest"]),
    "invitation_accepted": lambda rows: Invitation.objects.accept(rows["token"], rows["guest"]),
    "api_key_created": lambda rows: make_key(organization=rows["organization"]),
    "api_key_changed": lambda rows: rows["key"].change(name="New"),
    "api_key_rotated": lambda rows: rows["key"].rotate(grace=timedelta(0)),
    "api_key_revoked": lambda rows: rows["key"].revoke(),
    "user_forgotten": lambda rows: forget_user(rows["guest"]),
    "api_key_shut_out": lambda rows: rows["user key"].shut_out(rows["organization"]),
    "api_key_let_in": lambda rows: rows["shut out key"].let_in(rows["organization"]),
}
# The same changes by Django's plain methods (save, delete, querysets).
PLAIN_CHANGES = {
    "organization_created": lambda rows: Organization(name="New", slug="new-co").save(),
    "organization_changed": lambda rows: rows["organization"].save(),
    "organization_deleted": lambda rows: Organization.objects.all().delete(),
    "member_changed": lambda rows: rows["member"].save(),
    "member_removed": lambda rows: rows["member"].delete(),
    "api_key_changed": lambda rows: rows["key"].save(),
    "api_key_revoked": lambda rows: ApiKey.objects.all().revoke(),
}
WAYS = {"by its operation": CHANGES, "plainly": PLAIN_CHANGES}
CASES = {f"{event} {way}": (event, changes[event]) for way, changes in WAYS.items() for event in changes}


def stored():
    models = (Organization, Membership, Invitation, MailedAddress, ApiKey, AuditEntry)
    return {model: list(model._base_manager.order_by("pk").values()) for model in models}


def test_each_event_has_a_change():
    # These report a request and change nothing.
    reports = {Event.REVOKED_API_KEY_USED, Event.API_KEY_USED_IN_BROWSER}
    # Pruning commits its entry first.
    assert set(CHANGES) == set(Event) - reports - {Event.AUDIT_PRUNED}


@pytest.mark.parametrize("case", CASES)
def test_change_that_cannot_be_recorded_is_undone(organization, join, monkeypatch, case):
    event, change = CASES[case]
    rows = {"organization": organization, "owner": join("owner"), "member": join("editor")}
    rows |= {"guest": UserFactory.create(), "key": make_key(organization=organization)[0]}
    rows["invitation"], rows["token"] = make_invitation(organization, rows["guest"].email, by=rows["owner"].user)
    rows["user key"], rows["shut out key"] = (make_key("csu", user=rows["member"].user)[0] for _ in range(2))
    rows["shut out key"].shut_out(organization)
    # The plain saves need changed values.
    rows["organization"].name = rows["key"].name = "New"
    rows["member"].role = "billing"
    before, record = stored(), AuditEntryQuerySet.record

    def fail(self, which, *args, **kwargs):
        entry = record(self, which, *args, **kwargs)
        if which == event:
            raise ZeroDivisionError
        return entry

    monkeypatch.setattr(AuditEntryQuerySet, "record", fail)
    with pytest.raises(ZeroDivisionError):
        change(rows)

    assert stored() == before
