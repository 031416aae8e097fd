"""The base class of the management commands, and functions to read their arguments and to format their output."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.management import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError, router
from django.db.models import QuerySet
from django.utils import timezone

from closient_auth.models import Organization

# The maximum in days (about 100 years); adding more could overflow ``datetime``.
MOST_DAYS = 36_500
PAGE_SIZE = 1000


class DatabaseCommand(BaseCommand):
    """Turn database errors, such as missing tables, into a ``CommandError``."""

    # Skip the system checks, so a broken setting cannot stop you revoking a key.
    requires_system_checks = []

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            # Keep the first line only: PostgreSQL quotes the SQL statement in the following lines.
            reason = str(error).partition("\n")[0].rstrip(".")
            advice = "Check the connection, and run manage.py migrate if needed."
            raise CommandError(f"Database error: {reason}. {advice}") from error


def find_organization(text: str) -> Organization:
    """Return the organization with this id or slug."""
    organization = Organization.objects.using(router.db_for_write(Organization)).named(text).first()
    if organization is None:
        raise CommandError(f"Organization {text!r} does not exist. Use an id or slug shown in the admin.")
    return organization


def find_user(text: str) -> AbstractBaseUser:
    """Return the user with this username or id. Raise ``CommandError`` if two users match."""
    model = get_user_model()
    users = model._default_manager.using(router.db_for_write(model))
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
    """Return a number of days between ``least`` and ``MOST_DAYS`` as a ``timedelta``."""
    if not least <= days <= MOST_DAYS:
        raise CommandError(f"{option} should be between {least} and {MOST_DAYS} days.")
    return timedelta(days=days)


def iter_pages(rows: QuerySet[Any]) -> Iterator[Any]:
    """Yield the rows in primary-key order, with one page in memory at a time."""
    # ``QuerySet.iterator()`` would load all rows on MariaDB, and behind a connection pool without server-side cursors.
    rows = rows.order_by("pk")
    page = list(rows[:PAGE_SIZE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE_SIZE])


def to_text(moment: datetime | None) -> str | None:
    """Return the time in UTC as ISO 8601, or ``None``."""
    if moment is None:
        return None
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """Replace line breaks and control characters, as a name could send escape sequences to the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
