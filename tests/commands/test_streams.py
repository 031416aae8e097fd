"""Streams that cannot be written, and encodings that lack a character. ``test_processes.py`` tests real processes."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from closient_auth.models import ApiKey
from tests.factories import make_key


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "... S\\xfcd"), ("latin-1", "... Süd"), ("utf-8", "… Süd")])
def test_characters_that_the_encoding_lacks(acme, encoding, shown):
    make_key(organization=acme, name="Süd")
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)

    call_command("revoke_api_key", str(ApiKey.objects.get().pk), stdout=stdout)

    stdout.seek(0)
    assert f"csb_{ApiKey.objects.get().hint}{shown}, Acme" in stdout.read()


def test_stderr_that_is_full(acme):
    """The key is on stdout, so the command has succeeded. Python would try to write to stderr again at exit."""
    stdout, stderr = io.StringIO(), Full()

    call_command("create_api_key", "csb", "--organization", "acme", stdout=stdout, stderr=stderr)

    assert stdout.getvalue().startswith("csb_")
    assert ApiKey.objects.count() == 1
    assert stderr.closed
