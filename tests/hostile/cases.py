"""
Requests with malformed or forged credentials, derived deterministically from one raw key.

All must be refused: with an unknown key they find crashes, with a live key they find lenient parsing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.hostile import places, values

# The body has upper and lower case letters and digits. The leading zeros of the checksum would be lost in a number.
UNHELD = "csb_00341atNobodyHoldsAnywhereEver00_00e6e137"
LIVE = "csb_TheLiveKeyOfTheHostileInput00004_0d23c90c"


@dataclass(frozen=True)
class Case:
    """A request with headers, query string and body; ``queries`` is the expected number of database queries."""

    name: str
    headers: tuple[tuple[bytes, bytes], ...]
    query: bytes = b""
    body: bytes = b""
    queries: int = 0
    # False if a server changes the value: servers strip surrounding spaces, and a line break ends a header.
    is_whole_on_the_wire: bool = True

    @property
    def secrets(self) -> list[bytes]:
        """Return the values forbidden in responses and logs, as raw bytes and decoded as latin-1; skip short values."""
        sent = [value for name, value in self.headers if name != b"Content-Type"] + [self.query, self.body]
        return [text for value in sent if len(value) >= 12 for text in (value, value.decode("latin-1").encode())]


def get_cases(raw_key: str) -> list[Case]:
    """Return the cases for this key, without duplicates."""
    cases: dict[object, Case] = {}
    for case in (*_get_values(raw_key), *_get_places(raw_key)):
        cases.setdefault((case.headers, case.query, case.body), case)
    return list(cases.values())


def _get_values(raw_key: str) -> Iterator[Case]:
    for category in values.CATEGORIES:
        for name, value in category(raw_key):
            if value != raw_key.encode():
                yield Case(
                    name=f"{category.__name__}/{name}",
                    headers=((b"X-API-Key", value),),
                    queries=1 if category in values.WELL_FORMED else 0,
                    is_whole_on_the_wire=value == value.strip(b" \t\r\n") and b"\r\n" not in value,
                )


def _get_places(raw_key: str) -> Iterator[Case]:
    key = raw_key.encode()
    for name, headers in places.duplicates(key):
        yield Case(f"duplicates/{name}", headers)
    for name, header in places.names(key):
        yield Case(f"names/{name}", (header,))
    for name, header in places.other_headers(key):
        yield Case(f"other_headers/{name}", (header,))
    for name, query in places.queries(key):
        yield Case(f"queries/{name}", (), query=query)
    for name, content_type, body in places.bodies(key):
        yield Case(f"bodies/{name}", ((b"Content-Type", content_type),), body=body)
