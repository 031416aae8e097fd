"""Header values with characters other than ASCII letters, digits and underscores, by category as in ``values``."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from zlib import crc32

Values = Iterator[tuple[str, bytes]]


def unicode(raw_key: str) -> Values:
    prefix, body, checksum = raw_key.split("_")
    alike = {
        "full-width letter": "\uff41",
        "Arabic digit": "\u0661",
        "Cyrillic a": "\u0430",
        "Kelvin sign": "\u212a",
        "long s": "\u017f",
        "dotless i": "\u0131",
        "mathematical a": "\U0001d41a",
        "emoji": "\U0001f511",
        "umlaut": "\xe4",
    }
    for name, symbol in alike.items():
        # The checksum matches, so a check of length and checksum alone would accept the value.
        other = symbol + body[1:]
        yield f"{name}, its checksum", f"{prefix}_{other}_{crc32(other.encode()):08x}".encode()
        other = other.encode()[:32].decode(errors="ignore")
        yield f"{name}, 32 bytes, its checksum", f"{prefix}_{other}_{crc32(other.encode()):08x}".encode()
        yield f"{name}, old checksum", f"{prefix}_{symbol}{body[1:]}_{checksum}".encode()
        yield f"{name} in latin-1", f"{prefix}_{symbol}{body[1:]}_{checksum}".encode("latin-1", "replace")
    invisible = {
        "zero-width space": "\u200b",
        "zero-width joiner": "\u200d",
        "byte order mark": "\ufeff",
        "no-break space": "\xa0",
        "next line": "\x85",
        "line separator": "\u2028",
        "right to left": "\u202e",
        "combining accent": "\u0301",
        "variation selector": "\ufe0f",
        "tag": "\U000e0041",
    }
    for name, symbol in invisible.items():
        for place, value in {
            "before": symbol + raw_key,
            "behind": raw_key + symbol,
            "within": _within(raw_key, symbol),
        }.items():
            yield f"{name} {place}", value.encode()
            yield f"{name} {place} in latin-1", value.encode("latin-1", "replace")
    key = raw_key.encode()
    for name, broken in {
        "lone continuation": b"\x80",
        "cut sequence": b"\xc3",
        "overlong slash": b"\xc0\xaf",
        "overlong null": b"\xc0\x80",
        "surrogate": b"\xed\xa0\x80",
        "past Unicode": b"\xf4\x90\x80\x80",
        "all ones": b"\xff",
    }.items():
        yield f"{name} before", broken + key
        yield f"{name} behind", key + broken
        yield f"{name} within", key[:9] + broken + key[9:]
    for form in ("NFD", "NFKD"):
        yield f"full width in {form}", unicodedata.normalize(form, "\uff43" + raw_key[1:] + "\u0301").encode()
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-7"):
        yield encoding, ("\ufeff" + raw_key).encode(encoding)
    for byte in range(0xA0, 0x100, 3):
        yield f"byte {byte:02x} behind", key + bytes([byte])


def control_bytes(raw_key: str) -> Values:
    key = raw_key.encode()
    for byte in (*range(0x21), 0x7F):
        yield f"{byte:02x} before", bytes([byte]) + key
        yield f"{byte:02x} within", key[:9] + bytes([byte]) + key[9:]
        yield f"{byte:02x} behind", key + bytes([byte])


def forged_lines(raw_key: str) -> Values:
    """Yield values that try to inject a line into a log or a response (CWE-93, CWE-117)."""
    key = raw_key.encode()
    for name, lines in {
        "header": b"\r\nSet-Cookie: admin=1",
        "response": b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "request": b"\r\n\r\nGET /public/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "fold": b"\r\n ",
        "log line": b"\nINFO api_key=accepted",
        "terminal": b"\x1b[2J\x1b[31mroot\x1b[0m",
        "carriage return": b"\rapi_key=accepted",
    }.items():
        yield f"{name} behind", key + lines
        yield f"{name} within", key[:9] + lines + key[9:]


def _within(raw_key: str, symbol: str) -> str:
    return raw_key[:9] + symbol + raw_key[9:]
