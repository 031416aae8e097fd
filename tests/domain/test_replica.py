"""Permission checks before a write use the primary database, because a replica may lag behind."""

from __future__ import annotations

import pytest

from closient_auth.backends import OrganizationBackend
from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership, Organization
from closient_auth.models.forgetting import forget_user
from tests.factories import UserFactory, make_invitation, make_key


def test_rules_of_members(join, roles, replica, settings):
    owner, member = join("owner"), join("editor")
    replica()

    member.change_role("billing", by=owner.user)
    member.remove(by=owner.user)

    settings.DATABASE_ROUTERS = []
    assert roles() == {owner.user.username: "owner"}


def test_backend(join, organization, replica):
    member = join("billing")
    replica()

    assert OrganizationBackend().has_perm(member.user, "organization.manage_billing", organization)


def test_revocation(db, replica, settings):
    api_key, _ = make_key()
    replica()

    api_key.revoke()

    settings.DATABASE_ROUTERS = []
    api_key.refresh_from_db()
    assert not api_key.is_active


def read_late(row):
    """Mark the row as read from the replica, as a plain manager would do."""
    row._state.db = "replica"
    if getattr(row, "organization", None) is not None:
        row.organization._state.db = "replica"
    return row


def find_addresses(user):
    return [user.email]


WRITES = {
    "save a key": lambda rows: rows["key"].save(),
    "change a key": lambda rows: rows["key"].change(name="Shop", by=rows["owner"].user),
    "rotate a key": lambda rows: rows["key"].rotate(by=rows["owner"].user),
    "revoke a key": lambda rows: rows["key"].revoke(by=rows["owner"].user),
    "revoke keys": lambda rows: ApiKey.objects.filter(pk=rows["key"].pk).revoke(),
    "save a member": lambda rows: rows["member"].save(),
    "change a role": lambda rows: rows["member"].change_role("billing", by=rows["owner"].user),
    "remove a member": lambda rows: rows["member"].remove(by=rows["owner"].user),
    "delete a member": lambda rows: rows["member"].delete(),
    "delete members": lambda rows: Membership.objects.filter(role="editor").delete(),
    "delete a user": lambda rows: rows["owner"].user.delete(),
    "rename": lambda rows: rows["organization"].rename(name="Acme", slug="acme", by=rows["owner"].user),
    "delete": lambda rows: rows["organization"].delete(by=rows["owner"].user),
    "create": lambda rows: Organization.objects.create_organization(name="Acme", owner=rows["guest"]),
    "invite": lambda rows: Invitation.objects.invite(
        organization=rows["organization"], email="new@example.com", by=rows["owner"].user
    ),
    "resend": lambda rows: rows["invitation"].resend(by=rows["owner"].user),
    "withdraw": lambda rows: rows["invitation"].withdraw(by=rows["owner"].user),
    "accept": lambda rows: Invitation.objects.accept(rows["token"], rows["guest"]),
    "decline": lambda rows: Invitation.objects.decline(rows["token"], rows["guest"]),
    "accept without a token": lambda rows: rows["invitation"].accept_as(rows["guest"]),
    "add a member with an invitation": lambda rows: Membership(
        organization=rows["organization"], user=rows["guest"], role="editor"
    ).save(),
    "forget a user": lambda rows: forget_user(rows["guest"]),
    "forget a deleted user": lambda rows: forget_user(rows["invitation"].email),
}


@pytest.mark.parametrize("write", WRITES)
def test_row_that_a_replica_gave(join, organization, replica, settings, write):
    settings.CLOSIENT_AUTH = {"VERIFIED_ADDRESSES": f"{__name__}.find_addresses"}
    owner, member, guest = join("owner"), join("editor"), UserFactory.create()
    join("owner")
    invitation, token = make_invitation(organization, guest.email, by=owner.user)
    key, _ = make_key(organization=organization)
    key.name = "Till"
    member.role = "manager" if write == "save a member" else member.role
    rows = {"owner": owner, "member": member, "invitation": invitation, "key": key, "organization": organization}
    before = AuditEntry.objects.count()
    replica()

    WRITES[write]({name: read_late(row) for name, row in rows.items()} | {"token": token, "guest": guest})

    settings.DATABASE_ROUTERS = []
    assert AuditEntry.objects.count() > before
