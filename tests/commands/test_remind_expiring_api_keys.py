from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import CommandError, ManagementUtility, call_command
from django.utils import timezone

from closient_auth.models import ExpiryReminder
from tests.factories import UserFactory, make_key

NAME = "Żółć"


@pytest.fixture
def expiring(db):
    """Three keys that expire, each with a recipient."""
    expires_at = timezone.now() + timedelta(days=5)
    return [make_key("csu", user=UserFactory.create(), name=NAME, expires_at=expires_at)[0] for _ in range(3)]


@pytest.fixture
def refuse_first(expiring, monkeypatch):
    """Let the mail server refuse the mail about the first key."""

    def send_messages(self, messages):
        if messages[0].to == [expiring[0].user.email]:
            raise ConnectionRefusedError(messages[0].to)
        mail.outbox.extend(messages)
        return 1

    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send_messages)
        yield patch


def test_prints_the_number(run, expiring):
    finished = run("remind_expiring_api_keys")

    assert (finished.stdout, finished.stderr) == ("Sent 3 reminders.\n", "")
    assert sorted(message.to[0] for message in mail.outbox) == sorted(key.user.email for key in expiring)
    assert run("remind_expiring_api_keys").stdout == "Sent 0 reminders.\n"


def test_one(run):
    make_key("csu", expires_at=timezone.now() + timedelta(days=5))

    assert run("remind_expiring_api_keys").stdout == "Sent 1 reminder.\n"


def test_json(run, expiring):
    assert json.loads(run("remind_expiring_api_keys", "--json").stdout) == {"sent": 3, "failed": 0}


def test_failure(refuse, run, expiring, refuse_first):
    refused = refuse("remind_expiring_api_keys")

    assert (refused.stdout, refused.stderr) == ("Sent 2 reminders.\n", "")
    assert refused.error == "1 of 3 reminders could not be sent. Run the command again."
    refuse_first.undo()
    assert run("remind_expiring_api_keys").stdout == "Sent 1 reminder.\n"


def test_failure_as_json(refuse, expiring, refuse_first):
    refused = refuse("remind_expiring_api_keys", "--json")

    assert json.loads(refused.stdout) == {"sent": 2, "failed": 1}
    assert refused.error == "1 of 3 reminders could not be sent. Run the command again."


def test_ascii_stdout(expiring):
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")

    call_command("remind_expiring_api_keys", stdout=stdout)

    stdout.seek(0)
    assert stdout.read() == "Sent 3 reminders.\n"
    assert f"    Name: {NAME}\n" in mail.outbox[0].body


def test_broken_stdout(expiring):
    """Nothing is printed before the work is done, so a failing print cannot stop the mails."""
    with pytest.raises(CommandError, match="Could not write to stdout"):
        call_command("remind_expiring_api_keys", stdout=_closed())

    assert len(mail.outbox) == ExpiryReminder.objects.count() == 3


def _closed():
    stdout = io.StringIO()
    stdout.close()
    return stdout


# A command run by ManagementUtility closes its connections, so the test cannot run in a transaction.
@pytest.mark.django_db(transaction=True)
def test_exit_status(expiring, refuse_first, capsys):
    command = ManagementUtility(["manage.py", "remind_expiring_api_keys"])
    with pytest.raises(SystemExit) as exit:
        command.execute()
    assert exit.value.code == 1
    assert capsys.readouterr().err == "CommandError: 1 of 3 reminders could not be sent. Run the command again.\n"

    refuse_first.undo()
    command.execute()
    assert capsys.readouterr().out == "Sent 1 reminder.\n"
