from __future__ import annotations

from datetime import UTC, datetime

from django.utils import timezone


def to_text(moment: datetime | None) -> str | None:
    """Return the time in UTC."""
    if moment is None:
        return None
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """Return the text on one line. People choose names, and a terminal obeys what some characters tell it."""
    return "".join(character if character.isprintable() else "�" for character in text)
