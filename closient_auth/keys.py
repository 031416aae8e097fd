"""
Make, check and hash API keys: ``<prefix>_<body>_<checksum>``.

Plain functions of their arguments: nothing here reads settings, the database or a request.
"""

from __future__ import annotations

import re
from hashlib import sha256
from zlib import crc32

from django.db.models import TextChoices
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _

# 32 symbols of 62 are 190 bits from the operating system's generator: far past the 112 bits from which
# an unsalted fast hash is enough for a look-up secret (NIST SP 800-63B, OWASP ASVS 6.5.2).
BODY_LENGTH = 32
BODY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
HINT_LENGTH = 4


class KeyType(TextChoices):
    """What a key may be used for; its value is the key's prefix."""

    BUSINESS = "csb", _("Business")
    USER = "csu", _("User")
    PUBLISHABLE = "cpk", _("Publishable")


# A key has one spelling. ASCII classes and ``fullmatch``, because ``\w`` takes full-width letters and
# ``$`` takes a trailing newline: either would give one key two accepted texts.
_KEY = re.compile(rf"(?:{'|'.join(KeyType.values)})_(?P<body>[A-Za-z0-9]{{{BODY_LENGTH}}})_(?P<checksum>[0-9a-f]{{8}})")


def generate_api_key(key_type: str) -> str:
    """
    Return a new raw key of the given type (a ``KeyType`` or its prefix).

    Raise ``ValueError`` for an unknown type.
    """
    body = get_random_string(BODY_LENGTH, BODY_ALPHABET)
    return f"{KeyType(key_type).value}_{body}_{_checksum(body)}"


def verify_api_key(api_key: object) -> bool:
    """
    Return whether this is a well-formed key: 45 ASCII characters with a known prefix and a right checksum.

    The checksum finds typing errors and helps secret scanners; anyone can compute it, so it proves nothing.
    It covers the body only: a changed prefix passes here and is refused by the stored hash.
    """
    match = _KEY.fullmatch(api_key) if isinstance(api_key, str) else None
    # Compared as text: as numbers, "0x1a2b3c", "+1a2b3c4" and "1a_2b3c4" would pass as well.
    return match is not None and match["checksum"] == _checksum(match["body"])


def find_api_keys(text: str) -> set[str]:
    """Return the well-formed keys in a text, such as a line of a log."""
    found = {match[0] for match in re.finditer(rf"\b{_KEY.pattern}\b", text)}
    return set(filter(verify_api_key, found))


def hash_api_key(api_key: str) -> str:
    """Return the 64 lower-case hexadecimal characters of SHA-256 over the whole key, prefix included."""
    return sha256(api_key.encode()).hexdigest()


def get_hint(api_key: str) -> str:
    """Return the first characters of the key's body, by which people recognise it in a list."""
    return api_key.partition("_")[2][:HINT_LENGTH]


def _checksum(body: str) -> str:
    return f"{crc32(body.encode()):08x}"
