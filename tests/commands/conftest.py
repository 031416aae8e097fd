from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command


class Stdin(io.TextIOWrapper):
    is_terminal = False

    def isatty(self):
        return self.is_terminal


class Finished:
    """What a command printed, and how it ended."""

    def __init__(self, stdout, stderr, error=None):
        self.stdout = stdout.getvalue()
        self.stderr = stderr.getvalue()
        self.error = error

    @property
    def lines(self):
        return self.stdout.splitlines()


@pytest.fixture
def run(db):
    """Run a command that is to succeed."""

    def run(*arguments, **options):
        stdout, stderr = io.StringIO(), io.StringIO()
        call_command(*arguments, stdout=stdout, stderr=stderr, **options)
        return Finished(stdout, stderr)

    return run


@pytest.fixture
def refuse(db):
    """Run a command that is to fail with one sentence, and return what it printed before."""

    def refuse(*arguments, **options):
        stdout, stderr = io.StringIO(), io.StringIO()
        with pytest.raises(CommandError) as caught:
            call_command(*arguments, stdout=stdout, stderr=stderr, **options)
        assert "\n" not in str(caught.value)
        return Finished(stdout, stderr, str(caught.value))

    return refuse


@pytest.fixture
def feed(monkeypatch):
    """Put text on stdin; bytes as they are."""

    def feed(text, *, is_terminal=False):
        stdin = Stdin(io.BytesIO(text if isinstance(text, bytes) else text.encode()), "utf-8")
        stdin.is_terminal = is_terminal
        monkeypatch.setattr("sys.stdin", stdin)

    return feed
