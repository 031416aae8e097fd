"""The commands in processes of their own: encodings of the terminal, and a stdout that cannot be written."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from closient_auth.models import ApiKey
from tests.factories import OrganizationFactory, make_key
from tests.served.databases import share_database

# The other tests of this folder cover the same lines.
pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "create_api_key",
    "list_api_keys",
    "list_ownerless_organizations",
    "revoke_api_key",
    "rotate_api_key",
    "sync_organizations",
]
# Run several commands, with a NUL after the output of each.
RUN = """
import json, sys
from django.core.management import execute_from_command_line
for arguments in json.loads(sys.argv[1]):
    try:
        execute_from_command_line(["manage.py", *arguments])
    except SystemExit as error:
        print("exit", error.code, file=sys.stderr)
    sys.stdout.flush()
    sys.stdout.buffer.write(bytes(1))
"""
# Each shell line runs a command with a stdout that cannot be written; nobody reads descriptor 9.
BROKEN = {
    "full": ('exec "$@" >/dev/full', "No space left on device"),
    "missing": ('exec "$@" >&-', "it is closed or broken"),
    "unread": ('exec "$@" >&9', "Broken pipe"),
}


@pytest.fixture
def spawn(transactional_db, tmp_path):
    """Return a function to run Python in another process on the rows of this test."""

    def spawn(*arguments, encoding="utf-8", stdin=b"", shell='exec "$@"'):
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.served.settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": encoding,
            "SERVED_DATABASE": json.dumps(share_database(tmp_path)),
            "SERVED_LOG": str(tmp_path / "log"),
        }
        reader, unread = os.pipe()
        os.close(reader)
        with closing(os.fdopen(unread, "wb")):
            return subprocess.run(
                ["sh", "-c", f"exec 9>/proc/self/fd/{unread}; {shell}", "sh", sys.executable, *arguments],
                env=environment,
                pass_fds=[unread],
                input=stdin,
                capture_output=True,
                timeout=60,
            )

    return spawn


@pytest.fixture
def manage(spawn):
    """Return a function to run one command as ``manage.py`` does, and return its exit status and its lines of stderr."""

    def manage(*arguments, **kwargs):
        finished = spawn("-m", "django", *arguments, **kwargs)
        return finished.returncode, finished.stderr.decode().splitlines()

    return manage


@pytest.fixture
def active(tmp_path):
    """Return a function for the number of active keys, as the other process left them."""

    def active():
        if connection.vendor != "sqlite":
            return ApiKey.objects.filter(is_active=True).count()
        with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as copy:
            return copy.execute("SELECT count(*) FROM closient_auth_apikey WHERE is_active").fetchone()[0]

    return active


# "ü" is no character of ASCII, and "東" is in none of these encodings.
@pytest.mark.parametrize(("encoding", "shown"), [("ascii", rb"S\xfcd"), ("latin-1", b"S\xfcd"), ("cp437", b"S\x81d")])
def test_encodings_of_the_terminal(spawn, encoding, shown):
    name = "Süd 東京"
    organization = OrganizationFactory.create(slug="acme", name=name)
    first, _ = make_key(organization=organization, name=name)
    second, raw_key = make_key(organization=organization, name=name)
    commands = [
        ["list_api_keys"],
        ["list_api_keys", "--json"],
        ["revoke_api_key", str(first.pk)],
        ["rotate_api_key", str(second.pk), "--grace-seconds", "60"],
        ["revoke_api_key"],
        ["create_api_key", "csb", "--organization", "acme", "--name", name],
        ["list_ownerless_organizations", "--json"],
        *[[command, "--help"] for command in COMMANDS],
    ]

    # The text around the key is in another encoding than stdin.
    finished = spawn("-c", RUN, json.dumps(commands), encoding=encoding, stdin=f"{name} {raw_key} é".encode())

    assert b"Traceback" not in finished.stderr
    listed, rows, by_id, rotated, by_text, created, ownerless, *helps, rest = finished.stdout.split(b"\0")
    assert rest == b""
    assert listed.count(shown + rb" \u6771\u4eac") == 2
    assert [row["name"] for row in json.loads(rows)] == [name, name]
    assert by_id.startswith(f"{first.pk} csb_{first.hint}".encode() + b"... " + shown + rb" \u6771")
    assert by_text.startswith(str(second.pk).encode())
    assert [len(rotated), len(created)] == [46, 46]
    assert json.loads(ownerless) == [{"id": str(organization.pk), "slug": "acme", "name": name}]
    assert all(b"--json" in help for help in helps)
    notes = [line for line in finished.stderr.decode().splitlines() if not line.startswith("Created ")]
    assert notes == [
        "CommandError: 1 organization has no active Owner. In the admin, make an active user the Owner.",
        "exit 1",
        *["exit 0"] * len(COMMANDS),
    ]


def test_argument_that_is_no_text(manage):
    OrganizationFactory.create(slug="acme")

    status, lines = manage("create_api_key", "csb", "--organization", b"acm\xe9")
    error = "CommandError: An argument is not text in the encoding of the locale. Use UTF-8."
    assert (status, lines) == (1, [error])


@pytest.mark.parametrize(("shell", "reason"), BROKEN.values(), ids=BROKEN)
def test_stdout_that_cannot_be_written(manage, active, shell, reason):
    first, _ = make_key(organization=OrganizationFactory.create(slug="acme"))
    second, _ = make_key()
    make_key()

    # A secret that nobody has read is rolled back.
    created = manage("create_api_key", "csb", "--organization", "acme", shell=shell)
    assert created == (1, [f"CommandError: Could not write the key to stdout; no key was created: {reason}."])
    assert active() == 3
    rotated = manage("rotate_api_key", str(first.pk), "--json", shell=shell)
    assert rotated == (1, [f"CommandError: Could not write the key to stdout; no key was rotated: {reason}."])
    assert active() == 3

    # A revocation stays.
    revoked = manage("revoke_api_key", str(second.pk), str(first.pk), shell=shell)
    problem = f"CommandError: Could not write the result to stdout: {reason}."
    assert revoked == (1, [f"{problem} These keys are revoked: {second.pk}, {first.pk}."])
    assert active() == 1

    listed = manage("list_api_keys", "--json", shell=shell)
    ownerless = manage("list_ownerless_organizations", shell=shell)
    if reason == "Broken pipe":
        # The reader, such as ``head``, has read enough. Monitoring still needs the exit status.
        count = "CommandError: 3 organizations have no active Owner. In the admin, make an active user the Owner."
        assert (listed, ownerless) == ((0, []), (1, [count]))
    else:
        assert listed == ownerless == (1, [f"CommandError: Could not write to stdout: {reason}."])


@pytest.mark.parametrize("shell", ['exec "$@" 2>/dev/full', 'exec "$@" 2>&-'], ids=["full", "missing"])
def test_stderr_that_cannot_be_written(manage, active, shell):
    """The key is on stdout, so the command has succeeded."""
    OrganizationFactory.create(slug="acme")

    assert manage("create_api_key", "csb", "--organization", "acme", shell=shell) == (0, [])
    assert active() == 1
