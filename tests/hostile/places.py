"""The correct key in wrong places: repeated headers, other headers, query strings, cookies and bodies."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from urllib.parse import urlencode

Header = tuple[bytes, bytes]
NAME = b"X-API-Key"
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="api_key"\r\n\r\n%s\r\n--x--\r\n'


def duplicates(key: bytes) -> Iterator[tuple[str, tuple[Header, ...]]]:
    for name, given in {
        "twice": [key, key],
        "three times": [key] * 3,
        "thirty times": [key] * 30,
        "and a bad one": [key, b"bad"],
        "after a bad one": [b"bad", key],
        "and nothing": [key, b""],
        "after nothing": [b"", key],
        "and another type": [key, b"csu" + key[3:]],
        "in two halves": [key[:20], key[20:]],
        "at the underscores": key.split(b"_"),
    }.items():
        yield name, tuple((NAME, value) for value in given)
    yield "in two spellings", ((NAME, key), (b"x-api-key", key))
    yield "bad, and good with underscores", ((NAME, b"bad"), (b"X_API_Key", key))
    yield "good with underscores, and bad", ((b"X_API_Key", key), (NAME, b"bad"))


def names(key: bytes) -> Iterator[tuple[str, Header]]:
    for name in (
        b"X_API_Key",
        b"X-API_Key",
        b"X_API-KEY",
        b"HTTP_X_API_KEY",
        b"HTTP-X-API-Key",
        b"X-APIKey",
        b"XAPIKey",
        b"API-Key",
        b"Api_Key",
        b"ApiKey",
        b"Key",
        b"X-API-Key-",
        b"-X-API-Key",
        b"X--API-Key",
        b"X-API-Key2",
        b"X-API-Token",
        b"X-Auth-Token",
        b"X-API-Key\x00",
        b"X-API-Key ",
        b"X-API-Key\t",
        b" X-API-Key",
        b"X.API.Key",
        b"X-\xc4PI-Key",
    ):
        yield name.decode("latin-1"), (name, key)


def other_headers(key: bytes) -> Iterator[tuple[str, Header]]:
    for scheme in (b"Bearer", b"ApiKey", b"Api-Key", b"Token", b"X-API-Key", b"Digest", b""):
        yield f"Authorization {scheme.decode()}", (b"Authorization", b" ".join(filter(None, (scheme, key))))
    for name, pair in {"user": key + b":", "password": b":" + key}.items():
        yield f"Authorization Basic, as {name}", (b"Authorization", b"Basic " + base64.b64encode(pair))
    for cookie in (b"X-API-Key", b"x_api_key", b"api_key", b"apikey", b"key", b"csrftoken"):
        yield f"Cookie {cookie.decode()}", (b"Cookie", cookie + b"=" + key)
    for name in ("Proxy-Authorization", "Referer", "From", "User-Agent", "X-Forwarded-For", "X-CSRFToken"):
        yield name, (name.encode(), key)


def queries(key: bytes) -> Iterator[tuple[str, bytes]]:
    for name in (
        "X-API-Key",
        "x-api-key",
        "x_api_key",
        "HTTP_X_API_KEY",
        "api_key",
        "apikey",
        "api-key",
        "key",
        "token",
    ):
        yield name, urlencode({name: key}).encode()
    yield "bare", key


def bodies(key: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    for name in ("X-API-Key", "x_api_key", "api_key", "key"):
        yield f"form, {name}", b"application/x-www-form-urlencoded", urlencode({name: key}).encode()
        yield f"JSON, {name}", b"application/json", json.dumps({name: key.decode()}).encode()
    yield "multipart", b"multipart/form-data; boundary=x", MULTIPART % key
    yield "text", b"text/plain", key
