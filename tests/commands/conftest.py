from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command


class Stdin(io.TextIOWrapper):
    is_terminal = False

    def isatty(self):
        return self.is_terminal


class Finished:
    """The output of a command, and its error message if it failed."""

    def __init__(self, stdout, stderr, error=None):
        self.stdout = stdout.getvalue()
        self.stderr = stderr.getvalue()
        self.error = error

    @property
    def lines(self):
        return self.stdout.splitlines()


@pytest.fixture
def run(db):
    """Return a function to run a command and expect success."""

    def run(*arguments, **options):
        stdout, stderr = io.StringIO(), io.StringIO()
        call_command(*arguments, stdout=stdout, stderr=stderr, **options)
        return Finished(stdout, stderr)

    return run


@pytest.fixture
def refuse(db):
    """Return a function to run a command, expect a ``CommandError`` of one line, and return the output."""

    def refuse(*arguments, **options):
        stdout, stderr = io.StringIO(), io.StringIO()
        with pytest.raises(CommandError) as caught:
            call_command(*arguments, stdout=stdout, stderr=stderr, **options)
        assert "\n" not in str(caught.value)
        return Finished(stdout, stderr, str(caught.value))

    return refuse


@pytest.fixture
def feed(monkeypatch):
    """Return a function to replace stdin by this text or these bytes."""

    def feed(text, *, is_terminal=False):
        stdin = Stdin(io.BytesIO(text if isinstance(text, bytes) else text.encode()), "utf-8")
        stdin.is_terminal = is_terminal
        monkeypatch.setattr("sys.stdin", stdin)

    return feed
