"""The commands that write a new key: an unwritable key is rolled back, and no error report holds it."""

from __future__ import annotations

import io
import logging

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey
from tests.factories import make_key
from tests.leaks.sinks import read_frames

COMMANDS = {
    "create": lambda old: ["create_api_key", "csb", "--organization", old.organization.slug],
    "rotate": lambda old: ["rotate_api_key", str(old.pk)],
    "rotate with a grace": lambda old: ["rotate_api_key", str(old.pk), "--grace-seconds=60"],
}


class BrokenStream(io.StringIO):
    def write(self, text):
        raise RuntimeError("It is broken.")


class FullStream(io.StringIO):
    def flush(self):
        raise OSError(28, "No space left on device")


@pytest.fixture
def old(db):
    return make_key()[0]


@pytest.fixture
def canary(old, monkeypatch):
    """Return a list with the raw key of the next creation; the list keeps the key out of the frame of the test."""
    key = [generate_api_key("csb")]
    monkeypatch.setattr("closient_auth.models.api_keys.generate_api_key", lambda prefix: key[0])
    return key


def find_in_frames(error, secret):
    # Without the frames of the test itself.
    error.__traceback__ = error.__traceback__.tb_next
    frames = list(read_frames(error))
    assert len(frames) > 10
    return [text for text in frames if secret in text]


@pytest.mark.parametrize("stream", [BrokenStream, FullStream])
@pytest.mark.parametrize("format", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_unwritable_key(old, canary, arguments, format, stream):
    before = list(ApiKey.objects.values())

    with pytest.raises(CommandError, match="^Could not write the key to stdout; no key was ") as caught:
        call_command(*arguments(old), *format, stdout=stream())

    assert find_in_frames(caught.value, canary[0][4:36]) == []
    assert list(ApiKey.objects.values()) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_commit_that_fails(transactional_db, old, canary, monkeypatch, arguments):
    before = list(ApiKey.objects.values())

    def fail():
        raise OperationalError("server closed the connection unexpectedly\nThis means ...")

    command = arguments(old)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "commit", fail)
        with pytest.raises(CommandError) as caught:
            call_command(*command, stdout=io.StringIO())

    advice = "The change may have been made. Run list_api_keys to see."
    assert str(caught.value) == f"Database error: server closed the connection unexpectedly. {advice}"
    assert find_in_frames(caught.value, canary[0][4:36]) == []
    assert list(ApiKey.objects.values()) == before


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_key_is_nowhere_but_on_stdout(run, old, caplog, settings, arguments):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "django")
    # With DEBUG, Django also logs the queries.
    settings.DEBUG = True
    printed = run(*arguments(old), "--verbosity", "3")

    body = printed.stdout.strip().split("_")[1]
    assert "INSERT INTO" in caplog.text
    for place in [caplog.text, printed.stderr, str(ApiKey.objects.values())]:
        assert body not in place
