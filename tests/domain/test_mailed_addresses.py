"""At most three invitations a day to one address, over all organizations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.cache import cache, caches
from django.core.exceptions import ValidationError
from django.db import transaction

from closient_auth.models import AuditEntry, Invitation, MailedAddress
from closient_auth.models.mailed_addresses import hash_address
from tests.factories import MembershipFactory

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
ADDRESS = "grace@example.com"
DAY = timedelta(days=1)

# The mails go out at the commit.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def clock(time_machine):
    time_machine.move_to(NOW, tick=False)
    return time_machine


def invite(address=ADDRESS, member=None):
    member = member or MembershipFactory.create(role="owner")
    return Invitation.objects.invite(organization=member.organization, email=address, by=member.user)


def get_rows():
    entries = AuditEntry.objects.filter(target_model="invitation")
    return [list(rows.order_by("pk").values()) for rows in (Invitation.objects, MailedAddress.objects, entries)]


def refuse(operation, *args, **kwargs):
    """Assert that there were too many mails, and that nothing was written or sent."""
    before, sent = get_rows(), len(mail.outbox)
    with pytest.raises(ValidationError) as caught:
        operation(*args, **kwargs)
    assert caught.value.code == "too_many_mails"
    assert (get_rows(), len(mail.outbox)) == (before, sent)


def test_fourth_mail_of_another_organization(clock):
    other = MembershipFactory.create(role="owner")
    for spelling in (ADDRESS, ADDRESS.upper(), "Grace@Example.com"):
        invite(spelling)

    refuse(invite, ADDRESS, other)
    invite("heidi@example.com", other)
    clock.move_to(NOW + DAY - timedelta(seconds=1), tick=False)
    refuse(invite, ADDRESS, other)
    clock.move_to(NOW + DAY, tick=False)
    invite(ADDRESS, other)
    assert len(mail.outbox) == 5


def test_period_is_not_a_calendar_day(clock):
    """There are never more than three mails within any 24 hours."""
    for hours in (0, 23, 23):
        clock.move_to(NOW + timedelta(hours=hours), tick=False)
        invite()
    clock.move_to(NOW + timedelta(hours=24), tick=False)
    invite()
    clock.move_to(NOW + timedelta(hours=25), tick=False)
    refuse(invite)
    clock.move_to(NOW + timedelta(hours=47), tick=False)
    invite()


def test_one_domain_in_two_spellings():
    for address in ("ada@bücher.example", "ada@xn--bcher-kva.example", "ADA@BÜCHER.example"):
        invite(address)

    refuse(invite, "ada@bücher.example")


def test_resent_and_withdrawn_invitations_count(clock):
    member = MembershipFactory.create(role="owner")
    first = invite(member=member)
    clock.move_to(NOW + timedelta(minutes=1), tick=False)
    first.resend(by=member.user)
    first.withdraw()
    second = invite(member=member)
    clock.move_to(NOW + timedelta(minutes=3), tick=False)
    refuse(second.resend, by=member.user)
    second.withdraw()
    refuse(invite, member=member)


def test_deleted_organization_counts():
    for _ in range(3):
        invite().organization.delete()

    refuse(invite)


def test_limit_holds_without_the_cache(monkeypatch):
    for _ in range(3):
        cache.clear()
        invite()

    def fail(*args, **kwargs):
        raise ConnectionError

    for name in ("get", "set", "add", "incr", "get_many"):
        monkeypatch.setattr(type(caches["default"]), name, fail)
    refuse(invite)


def test_mail_that_cannot_be_sent_counts(monkeypatch):
    """The server may report an error after it has accepted the mail."""
    with monkeypatch.context() as patch:
        patch.setattr("closient_auth.models.mails.send_mail", lambda *args, **kwargs: 1 / 0)
        for _ in range(3):
            assert invite().last_error == "ZeroDivisionError"

    refuse(invite)


def test_invitation_that_is_rolled_back_does_not_count():
    for _ in range(3):
        with transaction.atomic():
            invite()
            transaction.set_rollback(True)

    assert not MailedAddress.objects.exists()
    invite()


def test_only_a_keyed_hash_is_stored(settings):
    invite()

    (row,) = MailedAddress.objects.values()
    assert "grace" not in str(row)
    assert row["hashed_address"] == hash_address(ADDRESS) == str(MailedAddress.objects.get())
    settings.SECRET_KEY = "another"
    assert hash_address(ADDRESS) != row["hashed_address"]


def test_old_rows_are_deleted(clock):
    invite()
    clock.move_to(NOW + timedelta(hours=1), tick=False)
    invite("heidi@example.com")
    clock.move_to(NOW + DAY + timedelta(seconds=1), tick=False)

    invite("ivan@example.com")

    kept = {hash_address(f"{name}@example.com") for name in ("heidi", "ivan")}
    assert set(MailedAddress.objects.values_list("pk", flat=True)) == kept


def test_deletion_takes_a_few_rows_for_each_mail(clock, monkeypatch):
    monkeypatch.setattr("closient_auth.models.mailed_addresses.PRUNED_ROWS", 2)
    for name in "abcde":
        invite(f"{name}@example.com")
    clock.move_to(NOW + timedelta(days=2), tick=False)

    invite("f@example.com")
    assert MailedAddress.objects.count() == 4
    MailedAddress.objects.prune()
    assert MailedAddress.objects.count() == 1
