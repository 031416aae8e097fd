"""Reminders of expiring keys: each is sent once, by concurrent runs and after a run that was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import timedelta
from itertools import count

import pytest
from django.core import mail
from django.db import connection, transaction
from django.utils import timezone

from closient_auth.models import ApiKey, ExpiryReminder
from closient_auth.models.reminders import Sent
from tests.factories import MembershipFactory, make_key
from tests.races.threads import needs_server, race, rounds
from tests.served.databases import share_database
from tests.served.servers import get_environment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def keys():
    """Three keys with two recipients each: the maker, who is the Owner, and a Manager."""
    owner = MembershipFactory.create(role="owner")
    MembershipFactory.create(role="manager", organization=owner.organization)
    expires_at = timezone.now() + timedelta(days=5)
    organization, maker = owner.organization, owner.user
    return [make_key(organization=organization, created_by=maker, expires_at=expires_at)[0] for _ in range(3)]


def run_at_once(number):
    """Send the reminders in several threads at once. Return the number of failures, and the errors."""
    failed = []
    errors = race(*[lambda: failed.append(ExpiryReminder.objects.send_due().failed)] * number)
    assert errors == [None] * number
    return sum(failed)


def assert_each_once():
    mails = [(message.to[0], message.subject) for message in mail.outbox]
    assert len(mails) == len(set(mails)) == ExpiryReminder.objects.count() == 6


@needs_server
@pytest.mark.parametrize("runs", [2, 8])
@pytest.mark.parametrize("round", rounds(4))
def test_concurrent_runs_send_each_once(keys, runs, round, monkeypatch):
    def send_messages(self, messages):
        time.sleep(0.01)
        mail.outbox.extend(messages)
        return 1

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)

    assert run_at_once(runs) == 0
    assert_each_once()


@needs_server
@pytest.mark.parametrize("round", rounds(4))
def test_waiting_runs_send_what_the_first_could_not(keys, round, monkeypatch):
    """MariaDB ends a deadlock if several runs wait for one row that is rolled back; then a run counts a failure."""
    numbers = count()

    def send_messages(self, messages):
        time.sleep(0.05)
        if next(numbers) % 3 == 0:
            raise ConnectionRefusedError
        mail.outbox.extend(messages)
        return 1

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)

    assert run_at_once(4) > 0
    monkeypatch.undo()
    assert ExpiryReminder.objects.send_due().failed == 0
    assert_each_once()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="sets lock_timeout")
def test_run_that_waits_for_longer_than_the_database_allows(keys):
    owner = keys[0].created_by
    values = {"api_key": keys[0], "user": owner, "days": 7, "expires_at": keys[0].expires_at}
    sent = []

    def run():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        sent.append(ExpiryReminder.objects.send_due())

    with transaction.atomic():
        ExpiryReminder.objects.create(**values)
        assert race(run) == [None]

    assert sent == [Sent(sent=5, failed=1)]
    ExpiryReminder.objects.filter(**values).delete()
    assert ExpiryReminder.objects.send_due() == Sent(sent=1, failed=0)
    assert_each_once()


LOCK_TIMEOUTS = {"postgresql": "SET lock_timeout = '2s'", "mysql": "SET innodb_lock_wait_timeout = 2"}


@needs_server
def test_requests_do_not_wait_for_the_mail_server(keys, monkeypatch):
    """While a mail is sent, the key is used and changed, and its maker signs in."""
    maker = keys[0].created_by

    def use_key():
        with connection.cursor() as cursor:
            cursor.execute(LOCK_TIMEOUTS[connection.vendor])
        ApiKey.objects.filter(pk__in=[key.pk for key in keys]).update(last_used=timezone.now())
        ApiKey.objects.get(pk=keys[0].pk).change(name="used")
        maker.save()

    def send_messages(self, messages):
        assert race(use_key) == [None]
        mail.outbox.extend(messages)
        return 1

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)

    assert ExpiryReminder.objects.send_due() == Sent(sent=6, failed=0)


@pytest.mark.parametrize("last", [1, 2, 6])
def test_run_that_is_killed_at_a_mail(keys, tmp_path, last):
    mails = tmp_path / "mails"
    environment = get_environment() | {
        "DJANGO_SETTINGS_MODULE": "tests.served.settings",
        "SERVED_DATABASE": json.dumps(share_database(tmp_path)),
        "SERVED_LOG": str(tmp_path / "log"),
        "SERVED_MAILS": str(mails),
    }

    def run(**variables):
        command = [sys.executable, "-m", "django", "remind_expiring_api_keys", "--json"]
        return subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=60)

    killed = run(SERVED_LAST_MAIL=str(last))
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, ""), killed.stderr
    first = mails.read_text().splitlines() if last > 1 else []
    assert len(first) == last - 1

    second = run()
    assert (second.returncode, json.loads(second.stdout)) == (0, {"sent": 7 - last, "failed": 0}), second.stderr
    sent = mails.read_text().splitlines()
    assert sent[: last - 1] == first
    assert len(sent) == len(set(sent)) == 6
    assert json.loads(run().stdout) == {"sent": 0, "failed": 0}
