"""Format values for the terminal."""

from datetime import UTC, datetime

from django.utils import timezone


def to_text(moment: datetime | None) -> str | None:
    """Return the time in UTC as ISO 8601, or ``None``."""
    if moment is None:
        return None
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """Replace line breaks and control characters, as a name could send escape sequences to the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
