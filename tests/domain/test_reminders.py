"""Reminders of expiring keys: who gets which mail when. Run these tests with each user model in ``tests.accounts``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.mail import EmailMessage
from django.db import OperationalError, transaction
from django.template import TemplateSyntaxError

from closient_auth.models import ApiKey, ExpiryReminder, Membership
from closient_auth.models.people import may_hide_users
from closient_auth.models.reminders import Sent
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# Account has no ``is_active``, so its users cannot be inactive.
needs_inactive = pytest.mark.skipif(
    django_settings.AUTH_USER_MODEL == "accounts.Account", reason="its users are always active"
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(time_machine):
    time_machine.move_to(NOW, tick=False)
    return time_machine


@pytest.fixture
def maker(organization):
    return person("maker")


@pytest.fixture
def api_key(organization, maker):
    """A key that expires in five days, with its maker as the only recipient."""
    return expiring(5, organization=organization, created_by=maker)


@pytest.fixture
def refuse_mails(monkeypatch):
    """Return a function to let the backend raise an error for the mails to some users; it keeps the other mails."""

    def refuse_mails(error, *names):
        def send_messages(self, messages):
            (message,) = messages
            if {f"{name}@example.com" for name in names} & set(message.to):
                raise error
            mail.outbox.append(message)
            return 1

        monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)

    return refuse_mails


def person(name, **kwargs):
    return UserFactory.create(username=name, **kwargs)


def expiring(days, prefix="csb", **kwargs):
    return make_key(prefix, expires_at=NOW + timedelta(days=days), **kwargs)[0]


def send(now=None):
    """Send what is due. Return the names of the recipients, in alphabetical order."""
    mail.outbox.clear()
    sent = ExpiryReminder.objects.send_due(now)
    assert sent == Sent(len(mail.outbox), 0)
    return sorted(recipients())


def recipients():
    for message in mail.outbox:
        assert not message.cc + message.bcc
        (address,) = message.to
        yield address.removesuffix("@example.com")


@pytest.mark.parametrize("prefix", ["csb", "cpk"])
def test_recipients_of_an_organization_key(organization, join, prefix, neighbour):
    for role in ("owner", "manager", "billing", "editor"):
        join(role, user__username=role)
        join(role, user__username=f"{role}-without-address", user__email="")
    gone = join("manager", user__username="gone").user
    key = expiring(5, prefix, organization=organization, created_by=gone)
    Membership.objects.get(user=gone).remove()

    # Who makes a key is told about it, also without a membership: staff make keys in the admin.
    assert send() == ["gone", "manager", "owner"]
    assert {reminder.user.username for reminder in ExpiryReminder.objects.all()} == {"gone", "manager", "owner"}
    reminders = ExpiryReminder.objects.values_list("api_key", "days", "expires_at").distinct()
    assert list(reminders) == [(key.pk, 7, key.expires_at)]


def test_recipients_of_a_user_key(join):
    holder = join("editor", user__username="holder").user
    join("owner")
    expiring(5, "csu", user=holder, created_by=person("maker"))

    assert send() == ["holder", "maker"]


def test_once_for_each_user_and_key(organization, join):
    owner = join("owner", user__username="owner").user
    expiring(5, organization=organization, created_by=owner)
    expiring(5, "cpk", organization=organization, created_by=owner)
    expiring(5, "csu", user=owner, created_by=owner)

    assert send() == ["owner"] * 3


def test_key_without_a_maker(organization, join):
    join("manager", user__username="manager")
    expiring(5, organization=organization)

    assert send() == ["manager"]


@needs_inactive
def test_inactive_people(organization, join):
    join("owner", user__username="owner")
    join("owner", user__is_active=False)
    join("manager", user__is_active=False)
    expiring(5, organization=organization, created_by=person("maker", is_active=False))

    assert send() == ["owner"]


@needs_inactive
def test_user_key_of_an_inactive_user():
    """Nobody can use the key, so nobody needs to replace it."""
    expiring(5, "csu", user=person("holder", is_active=False), created_by=person("maker"))

    assert send() == []


def test_user_model_without_addresses(api_key, monkeypatch):
    monkeypatch.setattr(get_user_model(), "EMAIL_FIELD", "no_such_field")

    assert send() == []
    assert not ExpiryReminder.objects.exists()


def test_maker_without_an_address(organization):
    expiring(5, organization=organization, created_by=person("maker", email=""))

    assert send() == []


@pytest.mark.parametrize(
    ("before", "days"),
    [
        (timedelta(days=30) + MICROSECOND, None),
        (timedelta(days=30), 30),
        (timedelta(days=7) + MICROSECOND, 30),
        (timedelta(days=7), 7),
        (timedelta(days=1) + MICROSECOND, 7),
        (timedelta(days=1), 1),
        (MICROSECOND, 1),
        (timedelta(0), None),
        (-MICROSECOND, None),
    ],
)
def test_thresholds(api_key, before, days):
    assert send(api_key.expires_at - before) == ([] if days is None else ["maker"])
    assert list(ExpiryReminder.objects.values_list("days", flat=True)) == ([] if days is None else [days])


def test_now_is_the_default(api_key, clock):
    clock.move_to(api_key.expires_at - timedelta(days=1), tick=False)

    assert send() == ["maker"]
    assert ExpiryReminder.objects.get().days == 1


def test_three_reminders_for_a_key_when_called_every_hour(organization, maker):
    key = expiring(40, organization=organization, created_by=maker)

    sent = {hour: send(key.expires_at - timedelta(hours=hour)) for hour in range(40 * 24, -24, -1)}

    assert {hour: names for hour, names in sent.items() if names} == dict.fromkeys([720, 168, 24], ["maker"])


def test_missed_threshold_is_not_made_up_for(api_key):
    assert send(api_key.expires_at - timedelta(hours=5)) == ["maker"]
    assert send(api_key.expires_at - timedelta(hours=4)) == []


def test_again_after_a_change_of_the_expiry(api_key, maker):
    expiring(5, "csu", user=maker)
    assert send() == ["maker", "maker"]

    api_key.change(expires_at=NOW + timedelta(days=32))
    assert send() == []
    assert send(NOW + timedelta(days=25)) == ["maker"]
    assert send(NOW + timedelta(days=25)) == []
    # The neighbour expired in the meantime.
    assert ExpiryReminder.objects.filter(api_key=api_key).count() == 2


ENDED = {
    "revoked": lambda key: key.revoke(),
    "rotated": lambda key: key.rotate(grace=timedelta(days=6)),
    "rotated and revoked": lambda key: key.rotate(),
    "expired": lambda key: ApiKey.objects.filter(pk=key.pk).update(expires_at=NOW),
    "without an expiry": lambda key: key.change(expires_at=None),
    "deleted": lambda key: key.delete(),
}


@pytest.mark.parametrize("end", ENDED)
def test_key_that_nobody_needs_to_replace(organization, maker, end):
    key = expiring(5, organization=organization, created_by=maker)
    successors = ApiKey.objects.exclude(pk=key.pk)
    beside = expiring(5, "csu", user=person("beside"))

    ENDED[end](key)
    # The successor of a rotation has the expiry of its key, and reminders of its own.
    expected = ["beside", "maker"] if successors.exclude(pk=beside.pk).exists() else ["beside"]

    assert send() == expected
    assert not ExpiryReminder.objects.filter(api_key=key.pk).exists()


@pytest.mark.parametrize("end", ENDED)
def test_key_that_ends_while_mails_are_sent(organization, monkeypatch, end):
    """The mails before may take minutes. The people of the other key are not told about a key that is gone."""
    keys = {name: expiring(5, organization=organization, created_by=person(name)) for name in ("ada", "bob")}

    def send_messages(self, messages):
        mail.outbox.extend(messages)
        (other,) = keys.keys() - recipients()
        ENDED[end](ApiKey.objects.get(pk=keys[other].pk))
        # A successor has reminders of its own.
        ApiKey.objects.filter(rotated_from=keys[other].pk).update(expires_at=None)
        return 1

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)

    assert len(send()) == 1


def test_twice(organization, join, maker):
    join("owner", user__username="owner")
    expiring(5, organization=organization, created_by=maker)
    expiring(20, "csu", user=maker)
    before = send()

    assert before == ["maker", "maker", "owner"]
    rows = list(ExpiryReminder.objects.order_by("pk").values())
    assert send() == []
    assert list(ExpiryReminder.objects.order_by("pk").values()) == rows


def test_new_owner_is_reminded_too(api_key, join):
    assert send() == ["maker"]
    join("owner", user__username="owner")

    assert send() == ["owner"]


def test_one_refused_mail(organization, join, maker, refuse_mails, caplog):
    join("owner", user__username="owner")
    join("manager", user__username="manager")
    key = expiring(5, organization=organization, created_by=maker)
    refuse_mails(ConnectionRefusedError("owner@example.com"), "owner")

    assert ExpiryReminder.objects.send_due() == Sent(sent=2, failed=1)

    assert sorted(recipients()) == ["maker", "manager"]
    assert caplog.messages == [f"reminder=not_sent id={key.pk} days=7 error=ConnectionRefusedError"]
    assert caplog.records[0].exc_info is None
    assert {reminder.user.username for reminder in ExpiryReminder.objects.all()} == {"maker", "manager"}
    refuse_mails(ConnectionRefusedError())
    assert send() == ["owner"]


def test_template_that_fails(api_key, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise TemplateSyntaxError("for maker@example.com")

    monkeypatch.setattr("closient_auth.models.mails.render_to_string", fail)

    assert ExpiryReminder.objects.send_due() == Sent(sent=0, failed=1)
    assert caplog.messages == [f"reminder=not_sent id={api_key.pk} days=7 error=TemplateSyntaxError"]
    assert not ExpiryReminder.objects.exists()


def test_backend_that_fails_silently(api_key, monkeypatch, caplog):
    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", lambda self, messages: 0)

    assert ExpiryReminder.objects.send_due() == Sent(sent=0, failed=1)
    assert caplog.messages == [f"reminder=not_sent id={api_key.pk} days=7 error=not_accepted"]
    assert not ExpiryReminder.objects.exists()


def test_address_that_is_not_one(organization, maker):
    type(maker).objects.filter(pk=maker.pk).update(email="maker@example.com\nBcc: all@example.com")
    expiring(5, organization=organization, created_by=maker)

    assert ExpiryReminder.objects.send_due() == Sent(sent=0, failed=1)
    assert mail.outbox == []


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_killed_at_a_mail(organization, join, maker, monkeypatch, error, number):
    join("owner", user__username="owner")
    expiring(5, organization=organization, created_by=maker)
    expiring(5, "cpk", organization=organization, created_by=maker)
    all_mails: list[EmailMessage] = []

    def send_messages(self, messages):
        if len(all_mails) + 1 == number:
            raise error
        all_mails.extend(messages)
        return 1

    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)
        with pytest.raises(error):
            ExpiryReminder.objects.send_due()

    assert ExpiryReminder.objects.count() == len(all_mails) == number - 1
    assert ExpiryReminder.objects.send_due() == Sent(sent=5 - number, failed=0)
    both = sorted((message.to[0], message.subject) for message in all_mails + mail.outbox)
    assert len(both) == len(set(both)) == 4


def test_sent_by_another_run_meanwhile(api_key, join, monkeypatch):
    owner = join("owner", user__username="owner").user

    def send_messages(self, messages):
        mail.outbox.extend(messages)
        ExpiryReminder.objects.create(api_key=api_key, user=owner, days=7, expires_at=api_key.expires_at)
        return 1

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)

    assert send() == ["maker"]


class LockNotAvailable(Exception):
    """The error of psycopg."""

    sqlstate = "55P03"


@pytest.mark.parametrize("cause", [LockNotAvailable(), Exception()])
def test_row_that_is_locked(api_key, join, monkeypatch, caplog, cause):
    """Another run may wait for the mail server for longer than ``lock_timeout``. This run goes on with the others."""
    join("owner", user__username="owner")
    save = ExpiryReminder.save

    def save_unless_locked(self, **kwargs):
        if self.user.username == "owner":
            raise OperationalError("...") from cause
        save(self, **kwargs)

    monkeypatch.setattr(ExpiryReminder, "save", save_unless_locked)
    if not isinstance(cause, LockNotAvailable):
        with pytest.raises(OperationalError):
            ExpiryReminder.objects.send_due()
        return
    assert ExpiryReminder.objects.send_due() == Sent(sent=1, failed=1)
    assert caplog.messages == [f"reminder=not_sent id={api_key.pk} days=7 error=OperationalError"]
    assert list(recipients()) == ["maker"]


@pytest.mark.django_db(transaction=True)
def test_not_in_a_transaction(api_key):
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        ExpiryReminder.objects.send_due()
    assert mail.outbox == []


def test_replica(api_key, replica, settings):
    replica("closient_auth")

    assert ExpiryReminder.objects.send_due() == Sent(sent=1, failed=0)


def test_mail(organization, maker, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    key = expiring(5.5, organization=organization, created_by=maker, name="Shop & <Sons>")
    ApiKey.objects.filter(pk=key.pk).update(last_used=NOW - timedelta(minutes=1))

    send()

    (message,) = mail.outbox
    assert message.subject == f"API key csb_{key.hint}... expires in 5 days"
    assert message.body == (
        "An API key expires in 5 days. From then on, requests with this key will be refused.\n"
        "\n"
        f"    Key: csb_{key.hint}... (Business)\n"
        "    Name: Shop & <Sons>\n"
        "    Organization: Acme Foods\n"
        "    Expires: 2030-05-07T00:00:00Z\n"
        "    Last used: 2030-05-01T11:59:00Z\n"
        "\n"
        "If the key is still needed, rotate it and give the new key to its clients, or set a later expiry. Otherwise, "
        "you can ignore this e-mail.\n"
    )
    ((html, kind),) = getattr(message, "alternatives", [])
    assert kind == "text/html"
    assert "<li>Name: Shop &amp; &lt;Sons&gt;</li>" in html
    assert f"<code>csb_{key.hint}...</code> (Business)" in html
    assert "<li>Expires: 2030-05-07T00:00:00Z</li>" in html
    assert key.hashed_key not in str(message.message())


def test_mail_about_a_user_key_that_was_never_used(maker):
    key = expiring(1, "csu", user=maker)

    send()

    (message,) = mail.outbox
    assert message.subject == f"API key csu_{key.hint}... expires in 1 day"
    assert message.body.startswith("An API key expires in 1 day. From")
    assert (
        f"    Key: csu_{key.hint}... (User)\n    Expires: 2030-05-02T12:00:00Z\n    Last used: never\n" in message.body
    )


def test_mail_on_the_last_day(api_key):
    send(api_key.expires_at - timedelta(hours=23, minutes=59))

    (message,) = mail.outbox
    assert message.subject.endswith(" expires in less than a day")
    assert message.body.startswith("An API key expires in less than a day. From")


def test_hostile_names(organization, api_key):
    hostile = "Acme\r\nBcc: everybody\n\n    Name: x\u202e\x1b\u2028{{ key }}"
    ApiKey.objects.filter(pk=api_key.pk).update(name=hostile)
    type(organization).objects.filter(pk=organization.pk).update(name=hostile)

    send()

    (message,) = mail.outbox
    shown = "Acme Bcc: everybody Name: x {{ key }}"
    assert f"\n    Name: {shown}\n    Organization: {shown}\n    Expires: " in message.body
    assert message.subject == f"API key csb_{api_key.hint}... expires in 5 days"
    assert "Bcc" not in message.message()


def test_times_without_time_zones(organization, maker, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"
    naive = datetime(2030, 5, 1, 12)
    key, _ = make_key(organization=organization, created_by=maker)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=naive + timedelta(days=7))

    assert send(naive) == ["maker"]
    assert "    Expires: 2030-05-08T03:00:00Z\n" in mail.outbox[0].body
    assert send(naive) == []


def test_pages_and_queries(organization, join, maker, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr("closient_auth.models.reminders.PAGE_SIZE", 2)
    for _ in range(3):
        join("owner")
        expiring(5, organization=organization, created_by=maker)
    assert len(send()) == 12

    # Three pages of ids, of which the last is empty; for each key the row, its members and its reminders; old reminders.
    # A manager that hides users takes one more for each key.
    with django_assert_num_queries(3 + 3 * (3 + may_hide_users()) + 1):
        assert send() == []


def test_deleted_with_the_user(api_key, join):
    owner = join("owner").user
    join("owner")
    expiring(5, "csu", user=owner)
    send()
    assert ExpiryReminder.objects.filter(user=owner).count() == 2

    owner.delete()

    assert ExpiryReminder.objects.count() == 2
    assert str(ExpiryReminder.objects.first()) == f"{api_key.pk}: 7"


@pytest.mark.parametrize("delete", ["key", "organization", "nothing"])
def test_old_rows_are_deleted_a_month_after_the_expiry(api_key, organization, maker, monkeypatch, delete):
    monkeypatch.setattr("closient_auth.models.reminders.PAGE_SIZE", 2)
    for days in (1, 2, 5):
        expiring(days, organization=organization, created_by=maker)
    later = expiring(6, "csu", user=maker)
    assert len(send()) == 5
    {"key": api_key.delete, "organization": organization.delete, "nothing": list}[delete]()

    send(NOW + timedelta(days=35))
    assert ExpiryReminder.objects.filter(expires_at=NOW + timedelta(days=5)).count() == 2
    send(NOW + timedelta(days=35) + MICROSECOND)
    assert ExpiryReminder.objects.get().api_key_id == later.pk


def test_other_organizations_are_not_told(api_key):
    for role in ("owner", "manager"):
        MembershipFactory.create(organization=OrganizationFactory.create(), role=role)

    assert send() == ["maker"]
