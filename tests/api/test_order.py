"""Lists have a total order, so that no page repeats or omits a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership, Organization
from tests.factories import MembershipFactory, make_invitation, make_key

OLD = datetime(2026, 1, 1, tzinfo=UTC)
NEWEST_FIRST, OLDEST_FIRST, BY_NAME = ("-created_at", "pk"), ("created_at", "pk"), ("name", "pk")
LISTS = {
    "{tree}/keys": (ApiKey, NEWEST_FIRST),
    "/me/keys": (ApiKey, NEWEST_FIRST),
    "{tree}/invitations": (Invitation, NEWEST_FIRST),
    "{tree}/audit": (AuditEntry, NEWEST_FIRST),
    "{tree}/members": (Membership, OLDEST_FIRST),
    "/organizations": (Organization, BY_NAME),
}


@pytest.fixture
def make(acme, people):
    """Create a row of the list, and return it."""

    def make(address, index):
        if address == "/me/keys":
            return make_key("csu", user=people["owner"])[0]
        if address.endswith("/invitations"):
            return make_invitation(acme, f"grace{index}@example.com", by=people["owner"])[0]
        if address.endswith("/members"):
            return MembershipFactory.create(organization=acme)
        if address == "/organizations":
            return MembershipFactory.create(user=people["owner"]).organization
        key, _ = make_key(organization=acme)
        return AuditEntry.objects.get(target_id=key.pk) if address.endswith("/audit") else key

    return make


@pytest.mark.parametrize("address", LISTS)
def test_pages_are_in_one_order(send, tree, make, address):
    model, order = LISTS[address]
    made = [make(address, index).pk for index in range(12)]
    # Make three groups of four equal rows. The base manager can change audit entries.
    for index, pk in enumerate(made):
        rows = model._base_manager.filter(pk=pk)
        rows.update(created_at=OLD + timedelta(days=index % 3))
        if model is Organization:
            rows.update(name=f"Shop {index % 3}")

    listed: list[str] = []
    page = f"{address.format(tree=tree)}?page_size=3"
    while page:
        body = send("owner", "get", page).json()
        listed += [row["id"] for row in body["results"]]
        page = body["next"]

    assert len(set(listed)) == len(listed) == body["count"]
    expected = model._base_manager.filter(pk__in=made).order_by(*order).values_list("pk", flat=True)
    assert [id for id in listed if id in set(map(str, made))] == list(map(str, expected))
