"""Header values by category: each function takes a raw key and yields pairs of name and bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from hashlib import md5, sha256
from urllib.parse import quote
from zlib import adler32, crc32

from tests.hostile import symbols

Values = Iterator[tuple[str, bytes]]


def sizes(raw_key: str) -> Values:
    key = raw_key.encode()
    for length in range(len(key)):
        yield f"first {length}", key[:length]
    for start in (1, 4, 5, 36, 37, 44):
        yield f"from {start}", key[start:]
    for more in (1, 2, 8, 64, 1000, 4000, 8000, 60_000):
        yield f"{more} zeros more", key + b"0" * more
        yield f"{more} zeros before", b"0" * more + key
        yield f"{more} letters", b"a" * more
        yield f"{more} separators", b"_" * more
    prefix, body, _ = raw_key.split("_")
    for length in (0, 1, 16, 31, 33, 64):
        other = (body * 2)[:length]
        yield f"body of {length} with its checksum", f"{prefix}_{other}_{crc32(other.encode()):08x}".encode()


def checksums(raw_key: str) -> Values:
    prefix, body, right = raw_key.split("_")
    number = int(right, 16)
    spellings = {
        "none": "",
        "upper case": right.upper(),
        "one upper-case letter": right[:-1] + right[-1].upper(),
        "no zeros in front": f"{number:x}",
        "one zero fewer": right[1:],
        "one zero more": "0" + right,
        "eight zeros more": "0" * 8 + right,
        "spaces for zeros": f"{number:8x}",
        "0x": hex(number),
        "0x in eight": f"{number:#08x}"[:8],
        "0x before all": "0x" + right,
        "0X": "0X" + right[2:],
        "plus": "+" + right[1:],
        "plus before all": "+" + right,
        "minus": f"{number - 2**32:x}",
        "minus before all": "-" + right,
        "underscore within": f"{right[:4]}_{right[4:]}",
        "underscore for a zero": f"0_{right[2:]}",
        "underscore at the end": right[:7] + "_",
        "space for a zero": " " + right[1:],
        "space at the end": right[:7] + " ",
        "hyphen within": f"{right[:4]}-{right[4:]}",
        "decimal": str(number),
        "octal": f"{number:o}",
        "binary": f"{number:b}",
        "base64": base64.b64encode(number.to_bytes(4)).decode(),
        "bytes turned round": number.to_bytes(4, "little").hex(),
        "digits turned round": right[::-1],
        "complement": f"{number ^ 0xFFFFFFFF:08x}",
        "one more": f"{(number + 1) % 2**32:08x}",
        "one fewer": f"{(number - 1) % 2**32:08x}",
        "of prefix and body": f"{crc32(raw_key[:36].encode()):08x}",
        "of the whole key": f"{crc32(raw_key.encode()):08x}",
        "of nothing": f"{crc32(b''):08x}",
        "of the lower-case body": f"{crc32(body.lower().encode()):08x}",
        "of the body in UTF-16": f"{crc32(body.encode('utf-16')):08x}",
        "started at all ones": f"{crc32(body.encode(), 0xFFFFFFFF):08x}",
        "Adler-32": f"{adler32(body.encode()):08x}",
        "MD5": md5(body.encode()).hexdigest()[:8],
        "zeros": "0" * 8,
        "all ones": "f" * 8,
        "no hexadecimal digits": "g" * 8,
        "full-width digits": right.translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
        "Arabic digits": right.translate({ord("0") + n: 0x0660 + n for n in range(10)}),
        "superscript digits": right.translate({ord("0"): "\u2070"}),
    }
    for name, spelling in spellings.items():
        yield name, f"{prefix}_{body}_{spelling}".encode()
    for place, digit in enumerate(right):
        other = "0123456789abcdef"[(int(digit, 16) + 1) % 16]
        yield f"digit {place} one more", f"{prefix}_{body}_{right[:place]}{other}{right[place + 1 :]}".encode()


def bodies(raw_key: str) -> Values:
    """Yield keys with a changed body and the unchanged checksum."""
    prefix, body, checksum = raw_key.split("_")
    for place, symbol in enumerate(body):
        other = "b" if symbol == "a" else "a"
        yield f"symbol {place} another", f"{prefix}_{body[:place]}{other}{body[place + 1 :]}_{checksum}".encode()
        turned = body[:place] + body[place : place + 2][::-1] + body[place + 2 :]
        yield f"symbol {place} and the next swapped", f"{prefix}_{turned}_{checksum}".encode()
    for name, other in {"upper": body.upper(), "lower": body.lower(), "swapped": body.swapcase()}.items():
        yield f"{name} case", f"{prefix}_{other}_{checksum}".encode()


def prefixes(raw_key: str) -> Values:
    rest = raw_key.partition("_")[2]
    for prefix in (
        "",
        "c",
        "cs",
        "csbb",
        "CSB",
        "Csb",
        "csB",
        "csa",
        "cpb",
        "sk",
        "sk_live",
        "ghp",
        "*",
        "%",
        "csb|csu",
    ):
        yield prefix or "none", f"{prefix}_{rest}".encode()
    for name, prefix in {
        "Cyrillic": "\u0441sb",
        "full-width": "\uff43\uff53\uff42",
        "long s": "c\u017fb",
        "soft hyphen": "c\xadsb",
    }.items():
        yield name, f"{prefix}_{rest}".encode()
        yield f"{name} in UTF-16", f"{prefix}_{rest}".encode("utf-16-be")


def separators(raw_key: str) -> Values:
    prefix, body, checksum = raw_key.split("_")
    for separator in ("", "-", ".", " ", "\t", ":", "/", "+", "=", "__", "%5F", "\uff3f", "\u2017", "\xaf"):
        yield f"{separator.encode()!r} for both", separator.join((prefix, body, checksum)).encode()
        yield f"{separator.encode()!r} for the first", f"{prefix}{separator}{body}_{checksum}".encode()
        yield f"{separator.encode()!r} for the second", f"{prefix}_{body}{separator}{checksum}".encode()
    for name, value in {
        "one in front": f"_{raw_key}",
        "one behind": f"{raw_key}_",
        "a fourth part": f"{raw_key}_{checksum}",
        "a second prefix": f"{prefix}_{raw_key}",
        "another order": f"{checksum}_{body}_{prefix}",
    }.items():
        yield name, value.encode()


def lists(raw_key: str) -> Values:
    for joined in (",", ", ", ";", "; ", " ", "|", "&", "\t"):
        yield f"twice with {joined!r}", f"{raw_key}{joined}{raw_key}".encode()
        yield f"something after {joined!r}", f"{raw_key}{joined}x".encode()
        yield f"something before {joined!r}", f"x{joined}{raw_key}".encode()
        yield f"nothing after {joined!r}", f"{raw_key}{joined}".encode()
    for pair in ('""', "''", "``", "[]", "{}", "<>", "()", "**", "%%"):
        yield f"within {pair}", f"{pair[0]}{raw_key}{pair[1]}".encode()


def encodings(raw_key: str) -> Values:
    key = raw_key.encode()
    yield from {
        "base64": base64.b64encode(key),
        "base64 of a pair": base64.b64encode(key + b":"),
        "hexadecimal": key.hex().encode(),
        "percent": "".join(f"%{byte:02x}" for byte in key).encode(),
        "percent, one symbol": quote(raw_key[:3]).encode() + b"%5f" + key[4:],
        "HTML": raw_key.replace("_", "&#95;").encode(),
        "JSON": json.dumps(raw_key).encode(),
        "JSON object": json.dumps({"key": raw_key}).encode(),
        "backwards": key[::-1],
        "twice": key * 2,
        "MIME word": b"=?utf-8?b?" + base64.b64encode(key) + b"?=",
        "extended parameter": b"utf-8''" + key,
    }.items()
    for scheme in ("Bearer", "ApiKey", "Api-Key", "Token", "Key", "bearer", "X-API-Key:", "key="):
        yield scheme, f"{scheme} {raw_key}".encode()
        yield f"{scheme} without a space", f"{scheme}{raw_key}".encode()


def attacks(raw_key: str) -> Values:
    for text in (
        "' OR '1'='1",
        '" OR ""="',
        "'; DROP TABLE closient_auth_apikey; --",
        f"{raw_key}' --",
        f"{raw_key}%",
        "csb_%",
        "csb_________________________________________",
        "{{7*7}}",
        "${jndi:ldap://127.0.0.1/a}",
        "<script>alert(1)</script>",
        "../../../../etc/passwd",
        "() { :; }; /bin/true",
        "%n%n%n%s%s%s",
        "{0.__class__}",
        "$(sleep 9)",
        "*)(uid=*))(|(uid=*",
        "null",
        "None",
        "undefined",
        "true",
        "0",
        "-1",
        "NaN",
        "[object Object]",
        "anonymous",
        "",
        " ",
    ):
        yield text.partition(raw_key)[2] or text or "nothing", text.encode()


def stored(raw_key: str) -> Values:
    """Yield values built from the database row or from an admin page."""
    digest = sha256(raw_key.encode())
    body = raw_key[4:36]
    for name, value in {
        "hash": digest.hexdigest(),
        "hash in upper case": digest.hexdigest().upper(),
        "hash in base64": base64.b64encode(digest.digest()).decode(),
        "hash behind a prefix": f"csb_{digest.hexdigest()}",
        "hash and checksum": f"csb_{digest.hexdigest()}_{crc32(digest.hexdigest().encode()):08x}",
        "hash of the hash": sha256(digest.hexdigest().encode()).hexdigest(),
        "hash of the body": sha256(body.encode()).hexdigest(),
        "as shown": f"{raw_key[:8]}…",
        "as shown, with dots": f"{raw_key[:8]}...",
        "starred": f"{raw_key[:8]}{'*' * 28}{raw_key[36:]}",
        "placeholder": "csb_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEf_1a2b3c4d",
        "identifier": "6f1c5f0e-4a55-4d2e-9a39-0c7f5d3c2b1a",
    }.items():
        yield name, value.encode()


def other_types(raw_key: str) -> Values:
    """Yield well-formed keys with another prefix; only the stored hash reveals the change."""
    for prefix in ("csu", "cpk"):
        yield prefix, f"{prefix}{raw_key[3:]}".encode()


def unknown(raw_key: str) -> Values:
    """Yield well-formed keys with forged bodies; the checksum is public."""
    digest = sha256(raw_key.encode()).hexdigest()
    body = raw_key[4:36]
    bodies = {
        "body backwards": body[::-1],
        "body in other case": body.swapcase(),
        "beginning of the hash": digest[:32],
        "end of the hash": digest[32:],
        "shown beginning": body[:4] + "0" * 28,
        "letters": "a" * 32,
        "digits": "0" * 32,
    }
    for name, other in bodies.items():
        yield name, f"csb_{other}_{crc32(other.encode()):08x}".encode()
    for place in range(32):
        other = body[:place] + ("b" if body[place] == "a" else "a") + body[place + 1 :]
        yield f"symbol {place} another, its checksum", f"csb_{other}_{crc32(other.encode()):08x}".encode()


WELL_FORMED: tuple[Callable[[str], Values], ...] = (other_types, unknown)
CATEGORIES: tuple[Callable[[str], Values], ...] = (
    sizes,
    checksums,
    bodies,
    prefixes,
    separators,
    symbols.unicode,
    symbols.control_bytes,
    symbols.forged_lines,
    lists,
    encodings,
    attacks,
    stored,
    *WELL_FORMED,
)
