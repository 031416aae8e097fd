"""The base classes of the management commands, and functions to read their arguments and to format their output."""

import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import chain, pairwise
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import BaseCommand, CommandError
from django.core.management.base import OutputWrapper
from django.db import Error, router, transaction
from django.db.models import Model, QuerySet

from closient_auth.core.responses import format_utc
from closient_auth.keys import KeyType
from closient_auth.memberships import get_memberships, get_organizations, read_uuid
from closient_auth.models import ApiKey, Organization
from closient_auth.models.key_policies import MAX_DAYS
from closient_auth.models.locks import is_deadlock

PAGE_SIZE = 1000
# Match a prefix with nine characters of a key. The hints in the admin and in lists are shorter.
RAW_KEY = re.compile(rf"(?:{'|'.join(KeyType.values)})_[a-z0-9]{{9}}", re.IGNORECASE)


class OutputError(Exception):
    """Stdout cannot be written. ``reason`` says why; ``is_closed`` is set if the reader has closed the pipe."""

    def __init__(self, error: Exception) -> None:
        self.reason = getattr(error, "strerror", None) or "it is closed or broken"
        self.is_closed = isinstance(error, BrokenPipeError)
        super().__init__(f"Could not write to stdout: {self.reason}.")


class DatabaseCommand(BaseCommand):
    """A command that works with every encoding of its terminal and reports errors in one sentence.

    Write to stdout with ``write()`` or ``write_json()`` and to stderr with ``note()``. A command that changes rows sets
    ``nothing``, makes all changes in one ``changing()`` block, and writes its results after the block.
    """

    # Skip the system checks, so a broken setting cannot stop you revoking a key.
    requires_system_checks = []
    # What to say before the reason of a failure, such as "nothing was revoked". Empty: the command only reads.
    nothing = ""
    may_have_changed = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="write one JSON document to stdout")

    def run_from_argv(self, argv: list[str]) -> None:
        # Check before the parser, as its error messages repeat unknown arguments.
        try:
            self.check_arguments(argv[2:])
        except CommandError as error:
            self.stderr.write(f"CommandError: {error}")
            sys.exit(error.returncode)
        super().run_from_argv(argv)

    def check_arguments(self, arguments: list[str]) -> None:
        """Raise ``CommandError`` if the command line cannot be used."""
        try:
            "".join(arguments).encode()
        except UnicodeEncodeError:
            # No database stores such a text.
            raise CommandError("An argument is not text in the encoding of the locale. Use UTF-8.") from None

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.may_have_changed = False
        try:
            return super().execute(*args, **options)
        except (OutputError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from None
        except Error as error:
            # Omit the number of MariaDB's error, and the lines in which PostgreSQL quotes the SQL statement.
            reason = str(*error.args[-1:]).partition("\n")[0].rstrip(".")
            if self.may_have_changed:
                # The connection may have broken before or after the database received the commit.
                advice = "The change may have been made. Run list_api_keys to see."
                raise CommandError(f"Database error: {reason}. {advice}") from error
            advice = "Check the connection, and run manage.py migrate if needed."
            if is_deadlock(error):
                advice = "Run the command again."
            raise self.failure(f"database error: {reason}. {advice}") from error

    def failure(self, reason: str) -> CommandError:
        """Return an error that says that nothing was changed, and why."""
        text = f"{self.nothing}: {reason}" if self.nothing else reason
        return CommandError(text[:1].upper() + text[1:])

    @contextmanager
    def changing(self, model: type[Model] = ApiKey) -> Iterator[str]:
        """Open a transaction for all changes of the command in the model's database. Return the alias of the database."""
        using = router.db_for_write(model)
        with transaction.atomic(using=using):
            yield using
            self.may_have_changed = True

    def write(self, lines: Iterable[str], *, is_list: bool = False) -> None:
        """Write these lines to stdout and flush it. Raise ``OutputError`` if stdout cannot be written.

        ``is_list`` stops without an error if the reader, such as ``head``, has closed the pipe.
        """
        try:
            for line in lines:
                _send(self.stdout, line)
            _flush(self.stdout)
        except OutputError as error:
            # Close stdout now, as Python would try to flush its buffer again at exit.
            with suppress(Exception):
                self.stdout.close()
            if not (is_list and error.is_closed):
                raise

    def write_json(self, document: Mapping[str, Any] | Iterable[Mapping[str, Any]], *, is_list: bool = False) -> None:
        """Write an object, or an array with a line for each object, in ASCII. ``is_list`` is that of ``write()``."""
        lines = [json.dumps(document)] if isinstance(document, Mapping) else _to_array(document)
        self.write(lines, is_list=is_list)

    def note(self, text: str, style: Callable[[str], str] | None = None) -> None:
        """Write a line to stderr, if possible: a closed stderr does not make the command fail after its work."""
        try:
            _send(self.stderr, text, style)
            _flush(self.stderr)
        except OutputError:
            # Python would try again at exit, and then exit with 120.
            with suppress(Exception):
                self.stderr.close()

    def write_new_key(self, make: Callable[[], tuple[ApiKey, str]], *, as_json: bool) -> ApiKey:
        """Make a key and write its raw key to stdout. Return the key."""
        # If the key cannot be written, nobody knows it, so roll it back.
        with self.changing():
            api_key, problem = self._make_and_write(make, as_json=as_json)
            if problem:
                raise CommandError(f"Could not write the key to stdout; {self.nothing}: {problem}.")
        return api_key

    def _make_and_write(self, make: Callable[[], tuple[ApiKey, str]], *, as_json: bool) -> tuple[ApiKey, str]:
        # Return the problem, as the frame of an exception raised here would put the raw key into an error report.
        api_key, raw_key = make()
        try:
            if as_json:
                self.write_json(describe_new_key(api_key) | {"key": raw_key})
            else:
                self.write([raw_key])
        except OutputError as error:
            return api_key, error.reason
        return api_key, ""


class KeyCommand(DatabaseCommand):
    """A command that takes ids of keys, and refuses raw keys on the command line."""

    unknown_id = "no key has this id. Run list_api_keys to see the ids."
    # What to do instead of passing the raw key.
    instead = "Pass its id."

    def check_arguments(self, arguments: list[str]) -> None:
        super().check_arguments(arguments)
        if any(map(RAW_KEY.search, arguments)):
            shown = "Do not pass a key on the command line, as process lists and the shell history show it."
            raise CommandError(f"{shown} {self.instead}")

    def read_ids(self, texts: list[str]) -> list[UUID]:
        """Return the ids in the given order, each of them once. The error does not repeat what may be a secret."""
        # ``call_command()`` does not check the arguments.
        self.check_arguments(texts)
        ids: dict[UUID, None] = {}
        for text in texts:
            pk = read_uuid(text)
            if pk is None:
                raise self.failure(self.unknown_id)
            ids[pk] = None
        return list(ids)


def find_organization(text: str) -> Organization:
    """Return the organization with this id, or the name that URLs use for it. Raise ``CommandError`` if two match."""
    found: list[Organization] = get_memberships().find_named(get_organizations(), [text], limit=2)
    if not found:
        raise CommandError(f"Organization {text!r} does not exist. Use an id or slug shown in the admin.")
    if len(found) > 1:
        raise CommandError(f"Several organizations are named {text!r}. Use an id shown in the admin.")
    return found[0]


def find_user(text: str) -> AbstractBaseUser:
    """Return the user with this username or id. Raise ``CommandError`` if two users match."""
    model = get_user_model()
    # The default manager may hide deleted users, whose keys and entries are there.
    users = model._base_manager.using(router.db_for_write(model))
    found = {*users.filter(**{model.USERNAME_FIELD: text})}
    # A text that is not a valid id can only be a username.
    with suppress(ValidationError):
        found |= {*users.filter(pk=model._meta.pk.to_python(text))}
    if len(found) > 1:
        raise CommandError("Ambiguous user: this is one user's name and another's id. Use the other identifier.")
    if not found:
        raise CommandError("This user does not exist. Use a username or id.")
    return found.pop()


def read_days(days: int, option: str, *, least: int = 0) -> timedelta:
    """Return a number of days between ``least`` and ``MAX_DAYS`` as a ``timedelta``."""
    if not least <= days <= MAX_DAYS:
        raise CommandError(f"{option} should be between {least} and {MAX_DAYS} days.")
    return timedelta(days=days)


def iter_pages(rows: QuerySet[Any]) -> Iterator[Any]:
    """Yield the rows in primary-key order, with one page in memory at a time."""
    # ``QuerySet.iterator()`` would load all rows on MariaDB, and behind a connection pool without server-side cursors.
    rows = rows.order_by("pk")
    page = list(rows[:PAGE_SIZE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE_SIZE])


def describe_holder(api_key: ApiKey) -> dict[str, Any]:
    """Return the organization and the user of a key for JSON; one of them is ``None``."""
    organization, user = api_key.organization, api_key.user
    return {
        "organization": organization and {"id": str(organization.pk), "slug": get_memberships().get_slug(organization)},
        "user": user and {"id": str(user.pk), "username": user.get_username()},
    }


def get_holder_name(api_key: ApiKey) -> str:
    """Return what commands call the organization, or the username."""
    if api_key.organization is not None:
        return get_memberships().get_slug(api_key.organization) or api_key.organization.name
    return str(describe_holder(api_key)["user"]["username"])


def describe_new_key(api_key: ApiKey) -> dict[str, Any]:
    """Return a key for JSON. ``rotated_from`` is the key that it replaces; that key is refused without ``valid_until``."""
    description: dict[str, Any] = {
        "id": str(api_key.pk),
        "prefix": api_key.prefix,
        "hint": api_key.hint,
        "name": api_key.name,
        **describe_holder(api_key),
        "expires_at": to_text(api_key.expires_at),
    }
    if old := api_key.rotated_from:
        description["rotated_from"] = {
            "id": str(old.pk),
            "valid_until": to_text(old.expires_at) if old.is_active else None,
        }
    return description


def to_text(moment: datetime | None) -> str | None:
    """Return the time in UTC as ISO 8601, or ``None``."""
    return None if moment is None else format_utc(moment)


def printable(text: str) -> str:
    """Replace line breaks and control characters, as a name could send escape sequences to the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _send(stream: OutputWrapper, text: str, style: Callable[[str], str] | None = None) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with _output_errors():
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            # Three dots are better to read than the code of an ellipsis.
            text = text.replace("…", "...").encode(encoding, "backslashreplace").decode(encoding)
        stream.write(text, style)


def _flush(stream: OutputWrapper) -> None:
    with _output_errors():
        stream.flush()


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # A closed, full or missing stream raises errors of several types.
        raise OutputError(error) from None


def _to_array(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield "["
    for row, following in pairwise(chain(rows, [None])):
        yield json.dumps(row) + ("," if following else "")
    yield "]"
