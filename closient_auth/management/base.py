"""The base class of the management commands."""

from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError


class DatabaseCommand(BaseCommand):
    """Turn database errors, such as missing tables, into a ``CommandError``."""

    # Skip the system checks, so a broken setting cannot stop you revoking a key.
    requires_system_checks = []

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            # Keep the first line only: PostgreSQL quotes the SQL statement in the following lines.
            reason = str(error).partition("\n")[0]
            raise CommandError(
                f"Database error: {reason.rstrip('.')}. Check the connection, and run manage.py migrate if needed."
            ) from error
