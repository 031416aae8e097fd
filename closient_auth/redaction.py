"""Keep raw API keys out of texts, log records and error reports.

A key is recognised by its format and its checksum, whatever the header or variable is called. A key that is cut,
encoded (base64, gzip) or changed is not recognised. These functions do not read settings, the database or the request.
"""

import logging
import sys
from collections.abc import Iterable
from types import NoneType
from typing import Any, TypeVar, cast

from closient_auth.keys import KEY_PATTERN, verify_api_key

_Event = TypeVar("_Event")


def redact_api_keys(text: str) -> str:
    """Return the text with a mark, such as ``csb_[redacted]``, in place of each raw key."""
    parts: list[str] = []
    copied = position = 0
    while match := KEY_PATTERN.search(text, position):
        # Matches can overlap: a body may end with "csb", and a checksum with "c". If the search went on after a match
        # with a wrong checksum, the text in front of a key could hide the key.
        position = match.start() + 1
        if verify_api_key(match[0]):
            parts += text[copied : match.start()], match["prefix"], "_[redacted]"
            copied = match.end()
    return "".join((*parts, text[copied:])) if parts else text


class RedactKeysFilter(logging.Filter):
    """Replace raw API keys in the records of a handler: message, arguments, traceback, stack and ``extra``.

    The filter passes every record and never raises. If a record contains a key, the handler gets a copy, and other
    handlers get the original. Python 3.11 does not support copies, so there the filter changes the record itself.

    The filter calls ``str()`` and ``repr()`` of the objects in ``extra``, and replaces an object by a text if these
    contain a key or fail. A traceback that contains a key is kept as text only (``exc_text``). The filter does not
    read the variables of stack frames. For a handler that reports variables, such as ``AdminEmailHandler``, redact the
    report instead.
    """

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        attributes = _redact_attributes(record)
        if attributes.keys() == vars(record).keys() and _is_same(vars(record).values(), attributes.values()):
            return True
        redacted = object.__new__(type(record)) if sys.version_info >= (3, 12) else record
        redacted.__dict__ = attributes
        return redacted


def redact_event(event: _Event, hint: object = None) -> _Event:
    """Return a Sentry event without raw API keys, for ``before_send``. The hint is not used.

    The event consists of dicts, lists and simple values. The function also takes a transaction or a log
    (``before_send_transaction``, ``before_send_log``), and does not change its argument. If it raises an error, the
    Sentry SDK drops the event.
    """
    return cast("_Event", _walk(event))


def _redact_attributes(record: logging.LogRecord) -> dict[str, Any]:
    attributes = {
        redact_api_keys(name): value if name == "exc_info" else _redact(value) for name, value in vars(record).items()
    }
    if (traceback := _redact_traceback(record.exc_info)) is not None:
        attributes["exc_info"] = None
        attributes["exc_text"] = attributes["exc_text"] or traceback
    message = _render(record)
    trial = object.__new__(type(record))
    trial.__dict__ = attributes
    # The redacted arguments can render differently: a key may be split between message and arguments, and "%d" does not
    # accept the text that replaces an object.
    if message is not None and _render(trial) != redact_api_keys(message):
        attributes |= {"msg": redact_api_keys(message), "args": ()}
    return attributes


def _redact_traceback(exc_info: Any) -> str | None:
    """Return the formatted traceback if it or the exception's arguments contain a key."""
    if not exc_info:
        return None
    try:
        traceback, arguments = logging.Formatter().formatException(exc_info), repr(exc_info[1])
    except Exception as error:
        return _describe(error)
    redacted = redact_api_keys(traceback)
    return None if redacted == traceback and redact_api_keys(arguments) == arguments else redacted


def _render(record: logging.LogRecord) -> str | None:
    try:
        return record.getMessage()
    except Exception:
        # The handler reports the error, with the redacted arguments.
        return None


def _redact(value: object) -> object:
    try:
        return _walk(value)
    except Exception:
        # The value contains itself or is nested too deeply; ``repr()`` can represent a value that contains itself.
        return _redact_object(value)


def _walk(value: object) -> object:
    """Return the value itself, or a copy without keys."""
    if isinstance(value, str):
        return redact_api_keys(value)
    if isinstance(value, (int, float, NoneType)):
        return value
    if isinstance(value, (bytes, bytearray)):
        text = value.decode("latin-1")
        redacted = redact_api_keys(text)
        return value if redacted == text else redacted.encode("latin-1")
    if isinstance(value, dict):
        # ``QueryDict.items()`` omits values, ``dict.items()`` does not.
        items = [item for pair in dict.items(value) for item in pair]
        walked = list(map(_walk, items))
        return value if _is_same(items, walked) else dict(zip(walked[::2], walked[1::2], strict=True))
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            walked = list(map(_walk, value))
            return value if _is_same(value, walked) else kind(walked)
    return _redact_object(value)


def _redact_object(value: object) -> object:
    try:
        texts = str(value), repr(value)
    except Exception as error:
        return _describe(error)
    return next((redacted for text in texts if (redacted := redact_api_keys(text)) != text), value)


def _describe(error: Exception) -> str:
    return f"[unreadable: {type(error).__name__}]"


def _is_same(old: Iterable[object], new: Iterable[object]) -> bool:
    return all(a is b for a, b in zip(old, new, strict=True))
