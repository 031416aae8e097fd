"""Generate, verify and hash API keys: ``<prefix>_<body>_<checksum>``.

These functions do not read settings, the database or the request.
"""

import re
from hashlib import sha256
from zlib import crc32

from django.db.models import TextChoices
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _

# 32 of 62 characters from the operating system's generator give 190 bits. An unsalted fast hash is enough for a look-up
# secret of at least 112 bits (NIST SP 800-63B, OWASP ASVS 6.5.2).
BODY_LENGTH = 32
BODY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
HINT_LENGTH = 4


class KeyType(TextChoices):
    """The type of a key; the value is the prefix of the key."""

    BUSINESS = "csb", _("Business")
    USER = "csu", _("User")
    PUBLISHABLE = "cpk", _("Publishable")


# ASCII classes and ``fullmatch()`` accept exactly one text for each key: ``\w`` would also match full-width letters,
# and ``$`` would allow a trailing newline.
KEY_PATTERN = re.compile(
    rf"(?P<prefix>{'|'.join(KeyType.values)})_(?P<body>[A-Za-z0-9]{{{BODY_LENGTH}}})_(?P<checksum>[0-9a-f]{{8}})"
)


def generate_api_key(key_type: str) -> str:
    """Return a new raw key of a type (a ``KeyType`` or its prefix). Raise ``ValueError`` for an unknown type."""
    body = get_random_string(BODY_LENGTH, BODY_ALPHABET)
    return f"{KeyType(key_type).value}_{body}_{_checksum(body)}"


def verify_api_key(api_key: object) -> bool:
    """Return whether this is a well-formed key: 45 ASCII characters with a known prefix and a correct checksum.

    The checksum detects typing errors and helps secret scanners. It proves nothing, as anyone can compute it.
    It covers the body only: a key with a changed prefix passes here, but its hash does not match the stored hash.
    """
    match = KEY_PATTERN.fullmatch(api_key) if isinstance(api_key, str) else None
    # Compare the checksums as text: ``int()`` would also accept "0x1a2b3c", "+1a2b3c4" and "1a_2b3c4".
    return match is not None and match["checksum"] == _checksum(match["body"])


def find_api_keys(text: str) -> set[str]:
    """Return the well-formed keys in a text, such as a log line."""
    found = {match[0] for match in re.finditer(rf"\b{KEY_PATTERN.pattern}\b", text)}
    return set(filter(verify_api_key, found))


def hash_api_key(api_key: str) -> str:
    """Return the SHA-256 of the complete key, including its prefix, as 64 lower-case hexadecimal digits."""
    return sha256(api_key.encode()).hexdigest()


def get_hint(api_key: str) -> str:
    """Return the first characters of the body, so people can recognise the key in a list."""
    return api_key.partition("_")[2][:HINT_LENGTH]


def _checksum(body: str) -> str:
    return f"{crc32(body.encode()):08x}"
