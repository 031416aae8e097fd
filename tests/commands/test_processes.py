"""The commands in processes of their own: encodings of the terminal, and a stdout that cannot be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import OrganizationFactory, make_key
from tests.served.databases import share_database

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "create_api_key",
    "list_api_keys",
    "list_ownerless_organizations",
    "revoke_api_key",
    "rotate_api_key",
]
# Each shell line runs the command with a stdout that cannot be written.
BROKEN = {
    "full": ('exec "$@" >/dev/full', "No space left on device"),
    "missing": ('exec "$@" >&-', "it is closed or broken"),
    "unread": ('exec "$@" >&"$UNREAD"', "Broken pipe"),
}


@pytest.fixture
def manage(transactional_db, tmp_path):
    """Return a function to run a command in another process on the rows of this test."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.served.settings",
        "PYTHONPATH": str(ROOT),
        "SERVED_LOG": str(tmp_path / "log"),
        "PYTHONWARNINGS": "error",
    }

    def manage(*arguments, encoding="utf-8", stdin=b"", shell='exec "$@"'):
        if "SERVED_DATABASE" not in environment:
            environment["SERVED_DATABASE"] = json.dumps(share_database(tmp_path))
        reader, unread = os.pipe()
        os.close(reader)
        try:
            return subprocess.run(
                ["sh", "-c", shell, "sh", sys.executable, "-m", "django", *arguments],
                env=environment | {"PYTHONIOENCODING": encoding, "UNREAD": str(unread)},
                pass_fds=[unread],
                cwd=tmp_path,
                input=stdin,
                capture_output=True,
                timeout=60,
            )
        finally:
            os.close(unread)

    return manage


@pytest.fixture
def states(manage):
    """Return a function for the states of the keys by id, as another process sees them."""

    def states():
        return {row["id"]: row["state"] for row in json.loads(manage("list_api_keys", "--json").stdout)}

    return states


def read_error(finished):
    """Return the one line that a failed command has written to stderr."""
    (line,) = finished.stderr.decode().splitlines()
    assert finished.returncode == 1
    return line.removeprefix("CommandError: ")


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", rb"S\xfcd"), ("latin-1", b"S\xfcd"), ("cp437", b"S\x81d")])
def test_encodings_of_the_terminal(manage, states, encoding, shown):
    # Only UTF-8 has all of these characters. "é" is no character of ASCII, and "東" is none of all three.
    organization = OrganizationFactory.create(slug="acme", name="Süd 東京")
    first, _ = make_key(organization=organization, name="Süd 東京")
    second, raw_key = make_key(organization=organization, name="Süd 東京")

    listed = manage("list_api_keys", encoding=encoding)
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert listed.stdout.count(shown + rb" \u6771\u4eac") == 2
    rows = json.loads(manage("list_api_keys", "--json", encoding=encoding).stdout)
    assert {row["name"] for row in rows} == {"Süd 東京"}

    revoked = manage("revoke_api_key", str(first.pk), encoding=encoding)
    assert (revoked.returncode, revoked.stderr) == (0, b"")
    assert revoked.stdout.startswith(f"{first.pk} csb_{first.hint}".encode() + rb"\u2026 " + shown + rb" \u6771")
    rotated = manage("rotate_api_key", str(second.pk), "--grace-seconds", "60", encoding=encoding)
    assert rotated.returncode == 0
    assert rotated.stdout.startswith(b"csb_")
    # The text around the key is in another encoding than stdin.
    revoked = manage("revoke_api_key", encoding=encoding, stdin=f"Süd 東京 {raw_key} é".encode())
    assert (revoked.returncode, revoked.stderr) == (0, b"")
    assert revoked.stdout.startswith(str(second.pk).encode())
    ownerless = manage("list_ownerless_organizations", "--json", encoding=encoding)
    assert json.loads(ownerless.stdout) == [{"id": str(organization.pk), "slug": "acme", "name": "Süd 東京"}]

    created = manage("create_api_key", "csb", "--organization", "acme", "--name", "Süd 東京", encoding=encoding)
    assert created.returncode == 0
    assert sorted(states().values()) == ["active", "active", "revoked", "revoked"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_ascii(manage, command):
    printed = manage(command, "--help", encoding="ascii")
    assert (printed.returncode, printed.stderr) == (0, b"")
    assert b"--json" in printed.stdout


def test_argument_that_is_no_text(manage):
    OrganizationFactory.create(slug="acme")

    refused = manage("create_api_key", "csb", "--organization", b"acm\xe9")
    assert read_error(refused) == "An argument is not text in the encoding of the locale. Use UTF-8."


@pytest.mark.parametrize("format", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize(("shell", "reason"), BROKEN.values(), ids=BROKEN)
def test_secret_that_cannot_be_written_is_rolled_back(manage, states, shell, reason, format):
    old, _ = make_key(organization=OrganizationFactory.create(slug="acme"))

    created = manage("create_api_key", "csb", "--organization", "acme", *format, shell=shell)
    assert read_error(created) == f"Could not write the key to stdout; no key was created: {reason}."
    rotated = manage("rotate_api_key", str(old.pk), *format, shell=shell)
    assert read_error(rotated) == f"Could not write the key to stdout; no key was rotated: {reason}."
    assert states() == {str(old.pk): "active"}


@pytest.mark.parametrize("format", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize(("shell", "reason"), BROKEN.values(), ids=BROKEN)
def test_revocation_stays_if_its_result_cannot_be_written(manage, states, shell, reason, format):
    (first, _), (second, _), (neighbour, _) = make_key(), make_key(), make_key()

    revoked = manage("revoke_api_key", str(first.pk), str(second.pk), *format, shell=shell)
    keys = f"These keys are revoked: {first.pk}, {second.pk}."
    assert read_error(revoked) == f"Could not write the result to stdout: {reason}. {keys}"
    assert states() == {str(first.pk): "revoked", str(second.pk): "revoked", str(neighbour.pk): "active"}


@pytest.mark.parametrize("format", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize(("shell", "reason"), BROKEN.values(), ids=BROKEN)
def test_lists_that_cannot_be_written(manage, shell, reason, format):
    make_key()
    OrganizationFactory.create()

    listed = manage("list_api_keys", *format, shell=shell)
    ownerless = manage("list_ownerless_organizations", *format, shell=shell)
    if reason == "Broken pipe":
        # The reader, such as ``head``, has read enough.
        assert (listed.returncode, listed.stderr) == (0, b"")
        assert read_error(ownerless).startswith("2 organizations have no active Owner.")
    else:
        assert read_error(listed) == read_error(ownerless) == f"Could not write to stdout: {reason}."


@pytest.mark.parametrize("shell", ['exec "$@" 2>/dev/full', 'exec "$@" 2>&-'], ids=["full", "missing"])
def test_message_that_cannot_be_written_changes_nothing(manage, states, shell):
    old, _ = make_key(organization=OrganizationFactory.create(slug="acme"))

    created = manage("create_api_key", "csb", "--organization", "acme", shell=shell)
    rotated = manage("rotate_api_key", str(old.pk), shell=shell)
    assert [created.returncode, rotated.returncode] == [0, 0]
    assert sorted(states().values()) == ["active", "active", "revoked"]
