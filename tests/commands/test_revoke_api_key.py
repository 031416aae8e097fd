from __future__ import annotations

import io
import json
import logging
import os
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import uuid4

import pytest
from django.core.management import CommandError, ManagementUtility, call_command
from django.db import connection

from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey
from tests.factories import OrganizationFactory, UserFactory, make_key


def active():
    return set(ApiKey.objects.filter(is_active=True))


def line(api_key, verdict="revoked"):
    return f"{api_key.pk} {api_key}, {api_key.organization or api_key.user}, never used: {verdict}"


def test_by_id(run, call):
    api_key, raw_key = make_key()
    neighbour, _ = make_key()
    assert call("/who/", raw_key).status_code == HTTPStatus.OK
    ApiKey.objects.update(last_used=None)

    assert run("revoke_api_key", str(api_key.pk)).stdout == f"{line(api_key)}\n"
    assert active() == {neighbour}
    assert call("/who/", raw_key).status_code == HTTPStatus.UNAUTHORIZED


def test_several(run):
    first, _ = make_key()
    second, _ = make_key("csu")
    neighbour, _ = make_key()

    assert run("revoke_api_key", str(first.pk), second.pk.hex).lines == [line(first), line(second)]
    assert active() == {neighbour}


ALREADY = "was already revoked"


def test_json(run):
    acme = OrganizationFactory.create(slug="acme")
    first, _ = make_key(organization=acme, name="Lager Süd")
    second, _ = make_key("csu", user=UserFactory.create(username="ada"))
    ApiKey.objects.filter(pk=first.pk).update(last_used=datetime(2026, 11, 26, 2, tzinfo=UTC))
    second.revoke()

    revoked = run("revoke_api_key", str(second.pk), str(first.pk), str(second.pk), "--json")
    assert revoked.stdout.isascii()
    assert json.loads(revoked.stdout) == [
        {
            "id": str(second.pk),
            "hint": second.hint,
            "name": "",
            "holder": "ada",
            "last_used": None,
            "revoked": False,
        },
        {
            "id": str(first.pk),
            "hint": first.hint,
            "name": "Lager Süd",
            "holder": "acme",
            "last_used": "2026-11-26T02:00:00Z",
            "revoked": True,
        },
    ]
    assert active() == set()


def test_again_is_harmless(run):
    api_key, _ = make_key()
    api_key.revoke()

    assert run("revoke_api_key", str(api_key.pk)).stdout == f"{line(api_key, ALREADY)}\n"


def test_the_same_one_twice(run):
    api_key, _ = make_key()

    revoked = run("revoke_api_key", str(api_key.pk), api_key.pk.hex)
    assert revoked.lines == [line(api_key)]


def test_line_says_whose_it_is(run):
    acme = OrganizationFactory.create(name="Alpine\nOutdoor")
    api_key, raw_key = make_key(organization=acme, name="ware\x1bhouse")
    own, own_raw_key = make_key("csu", user=UserFactory.create(username="ada"))
    ApiKey.objects.filter(pk=api_key.pk).update(last_used=datetime(2026, 11, 26, 2, tzinfo=UTC))

    assert run("revoke_api_key", str(api_key.pk), str(own.pk)).lines == [
        f"{api_key.pk} {raw_key[:8]}… ware�house, Alpine�Outdoor, last used 2026-11-26T02:00:00Z: revoked",
        f"{own.pk} {own_raw_key[:8]}…, ada, never used: revoked",
    ]


TEXTS = {
    "latin-1": lambda key: f"Süd {key} é".encode("latin-1"),
    "no encoding": lambda key: b"\xff\xfe\x81" + key.encode() + b"\x80\n",
    "UTF-16 of Windows": lambda key: f"Süd {key}\r\n".encode("utf-16"),
    "UTF-16, big endian": lambda key: f"Süd {key}\n".encode("utf-16-be"),
    "environment": lambda key: f"PATH=/bin\0API_KEY={key}\0HOME=/\0".encode(),
}


@pytest.mark.parametrize("write", TEXTS.values(), ids=TEXTS)
def test_by_bytes(run, feed, write):
    """A key is ASCII in whatever surrounds it."""
    api_key, raw_key = make_key()
    neighbour, _ = make_key()
    feed(write(raw_key))

    assert run("revoke_api_key").stdout == f"{line(api_key)}\n"
    assert active() == {neighbour}


@pytest.mark.parametrize("arguments", [[], ["--stdin"]])
@pytest.mark.parametrize("text", ["{}", "{}\n", "{}\r\n", "X-API-Key: {}\n", '02:00 key="{}" 200\n', "{0}\n{0}\n"])
def test_by_text(run, feed, text, arguments):
    api_key, raw_key = make_key("cpk")
    neighbour, _ = make_key("cpk")
    feed(text.format(raw_key))

    revoked = run("revoke_api_key", *arguments)
    assert (revoked.stdout, revoked.stderr) == (f"{line(api_key)}\n", "")
    assert active() == {neighbour}


def test_at_a_terminal_it_says_what_it_waits_for(run, feed):
    _, raw_key = make_key()
    feed(raw_key, is_terminal=True)

    assert run("revoke_api_key", "--stdin").stderr == "Paste the key, then press Enter and Ctrl-D.\n"
    assert active() == set()


def test_without_a_stdin(refuse, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)

    assert refuse("revoke_api_key").error == "There is no stdin. Pass the ids of the keys instead."


def test_stdin_that_cannot_be_read(refuse, monkeypatch, tmp_path):
    api_key, _ = make_key()
    folder = os.open(tmp_path, os.O_RDONLY)
    with closing(io.TextIOWrapper(io.BufferedReader(io.FileIO(os.dup(0), "r")))) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        os.dup2(folder, stdin.fileno())
        error = "Nothing was revoked: stdin cannot be read: Is a directory."
        assert refuse("revoke_api_key").error == error
    os.close(folder)
    assert refuse("revoke_api_key").error == "Nothing was revoked: stdin cannot be read: it is closed."
    assert active() == {api_key}


def test_text_stream_as_stdin(run, monkeypatch):
    """A caller of ``call_command()`` may have replaced stdin by text."""
    api_key, raw_key = make_key()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Süd {raw_key}"))

    assert run("revoke_api_key").stdout == f"{line(api_key)}\n"
    assert active() == set()


NO_KEY = "Nothing was revoked: stdin has no complete key. Is it cut off or misspelt? "
NO_KEY += "Look for its first eight characters: list_api_keys | grep csb_Cel5"
TWO_KEYS = "Nothing was revoked: stdin has 2 keys. Write one at a time, or pass their ids together."


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda key: "", NO_KEY),
        (lambda key: key[:-1], NO_KEY),
        (lambda key: f"X-API-Key: {key}0", NO_KEY),
        (lambda key: f"{key}\n{generate_api_key('csb')}", TWO_KEYS),
        (lambda key: f"{key}\0{generate_api_key('csb')}", TWO_KEYS),
        (lambda key: b"\xff\xfe", NO_KEY),
    ],
    ids=["nothing", "cut", "with more", "two", "two after NUL", "no text"],
)
def test_text_that_is_not_one_key(refuse, feed, change, error):
    api_key, raw_key = make_key()
    feed(change(raw_key))

    assert refuse("revoke_api_key", "--stdin").error == error
    assert active() == {api_key}


def test_text_of_no_key(refuse, feed):
    api_key, _ = make_key()
    raw_key = generate_api_key("csb")
    feed(raw_key)

    refused = refuse("revoke_api_key", "--stdin")
    assert refused.error.startswith("Nothing was revoked: no key matches.")
    assert raw_key not in refused.error
    assert active() == {api_key}


@pytest.mark.parametrize("other", ["", "7", "warehouse", "csb_Cel5", str(uuid4())])
def test_id_of_no_key(refuse, other):
    """The message does not repeat the argument, because it may be part of a secret."""
    api_key, _ = make_key()

    error = "Nothing was revoked: no key has this id. Run list_api_keys to see the ids."
    assert refuse("revoke_api_key", str(api_key.pk), other).error == error
    assert active() == {api_key}


def test_key_that_is_deleted_meanwhile(refuse):
    """Another process deletes it just before its lock."""
    api_key, _ = make_key()
    neighbour, _ = make_key()

    def delete(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            ApiKey.objects.filter(pk=api_key.pk)._raw_delete("default")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(delete):
        refused = refuse("revoke_api_key", str(neighbour.pk), str(api_key.pk))
    assert refused.error == "Nothing was revoked: no key has this id. Run list_api_keys to see the ids."
    assert neighbour in active()


def test_revocation_stays_if_nobody_reads_the_result(db):
    (first, _), (second, _), (neighbour, _) = make_key(), make_key(), make_key()
    reader, writer = os.pipe()
    os.close(reader)

    with open(writer, "w") as stdout, pytest.raises(CommandError) as caught:
        call_command("revoke_api_key", str(first.pk), str(second.pk), stdout=stdout)

    keys = f"These keys are revoked: {first.pk}, {second.pk}."
    assert str(caught.value) == f"Could not write the result to stdout: Broken pipe. {keys}"
    assert active() == {neighbour}


def test_both(refuse):
    api_key, _ = make_key()

    error = "Pass ids or --stdin, not both."
    assert refuse("revoke_api_key", "--stdin", str(api_key.pk)).error == error
    assert active() == {api_key}


def test_raw_key_as_an_argument(refuse):
    api_key, raw_key = make_key()

    refused = refuse("revoke_api_key", raw_key)
    assert refused.error.startswith("Do not pass a key on the command line, as process lists and the shell")
    assert raw_key.split("_")[1] not in refused.error
    assert active() == {api_key}


@pytest.mark.parametrize("option", ["{}", "--key={}", "--stdin={}", "x {}"])
@pytest.mark.parametrize("spell", [str, str.upper, lambda key: key[:20]])
def test_raw_key_on_the_command_line_is_not_repeated(db, capsys, option, spell):
    """The argument parser normally repeats unknown arguments in its error message."""
    api_key, raw_key = make_key()
    arguments = option.format(spell(raw_key)).split()

    with pytest.raises(SystemExit) as exit:
        ManagementUtility(["manage.py", "revoke_api_key", *arguments]).execute()

    printed = capsys.readouterr()
    assert exit.value.code == 1
    assert printed.err.startswith("CommandError: Do not pass a key on the command line")
    assert printed.out == ""
    assert raw_key.split("_")[1][:16].lower() not in printed.err.lower()
    assert active() == {api_key}


# A command run by ManagementUtility closes its connections, so the test cannot run in a transaction.
@pytest.mark.django_db(transaction=True)
def test_from_the_command_line(capsys):
    api_key, _ = make_key()
    ManagementUtility(["manage.py", "revoke_api_key", str(api_key.pk)]).execute()

    assert capsys.readouterr().out == f"{line(api_key)}\n"
    assert active() == set()


@pytest.mark.django_db(transaction=True)
def test_mistake_in_the_settings_is_no_hindrance(capsys, settings):
    """Web servers run no system checks, so a mistake may go unnoticed until the key must be revoked in a hurry."""
    settings.CLOSIENT_AUTH = {"HEADR": "X-Key"}
    api_key, _ = make_key()
    neighbour, _ = make_key()

    for arguments in (["list_api_keys"], ["revoke_api_key", str(api_key.pk)]):
        ManagementUtility(["manage.py", *arguments]).execute()

    printed = capsys.readouterr()
    assert printed.out.endswith(f"\n{line(api_key)}\n")
    assert printed.err == ""
    assert active() == {neighbour}


def test_key_stays_on_stdin(run, feed, caplog, settings):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "django")
    settings.DEBUG = True
    _, raw_key = make_key()
    feed(raw_key)

    revoked = run("revoke_api_key", "--stdin", "--verbosity", "3")
    assert "UPDATE" in caplog.text
    for place in [caplog.text, revoked.stdout, revoked.stderr]:
        assert raw_key.split("_")[1] not in place
