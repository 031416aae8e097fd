from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError


class DatabaseCommand(BaseCommand):
    """A command that ends in one sentence where the database is away, or without this package's tables."""

    # A mistake in some setting must not keep anybody from revoking a key.
    requires_system_checks = []

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            # PostgreSQL goes on to quote the statement.
            reason = str(error).partition("\n")[0]
            raise CommandError(
                f"The database answers: {reason.rstrip('.')}. Is it there, and did manage.py migrate run?"
            ) from error
