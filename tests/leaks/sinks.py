"""Search responses, logs, mails, tracebacks, the cache and the database for a leaked key."""

from __future__ import annotations

import json
import logging
import sys
import traceback
import zlib
from collections.abc import Iterator
from typing import Any

from django.contrib.sessions.models import Session
from django.core import signing
from django.core.cache import cache
from django.core.signals import got_request_exception
from django.db import connection
from django.utils.log import AdminEmailHandler

logger = logging.getLogger("tests.leaks")


class Sinks(logging.Handler):
    """
    Collect responses, cookies, log messages, error mails and the variables of tracebacks, while open.

    ``find()`` searches them, the cache, and every column of every table.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[tuple[str, str]] = []
        self.mails = Mails(self)

    def __enter__(self) -> Sinks:
        self.loggers = {name: logging.getLogger(name) for name in (None, *logging.root.manager.loggerDict)}
        self.levels = {name: logger.level for name, logger in self.loggers.items()}
        for name, logger in self.loggers.items():
            logger.setLevel(logging.DEBUG)
            if name is None or not logger.propagate:
                logger.addHandler(self)
        logging.getLogger("django").addHandler(self.mails)
        got_request_exception.connect(self.note_exception)
        return self

    def __exit__(self, *exc_info: object) -> None:
        got_request_exception.disconnect(self.note_exception)
        logging.getLogger("django").removeHandler(self.mails)
        for name, logger in self.loggers.items():
            logger.removeHandler(self)
            logger.setLevel(self.levels[name])

    def emit(self, record: logging.LogRecord) -> None:
        self.add(f"log {record.name}", self.format(record), record.args)

    def note_exception(self, **kwargs: Any) -> None:
        error = sys.exception()
        assert error is not None
        self.add("frames", *read_frames(error))

    def add(self, place: str, *texts: object) -> None:
        self.texts += [(place, str(text)) for text in texts]

    def add_response(self, response: Any) -> Any:
        self.add("response", response.status_code, response.headers, response.content.decode())
        for cookie in response.cookies.values():
            self.add("cookie", cookie.output(), *map(_open_signed, cookie.value.split(":")))
        return response

    def find(self, secret: str) -> set[str]:
        """Return the names of the places with this text; for tables as ``table.column``."""
        found = {place for place, text in self.texts if secret in text}
        found |= {"session" for session in Session.objects.all() if secret in json.dumps(session.get_decoded())}
        found |= {"cache" for text in read_cache() if secret in text}
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                columns = [column[0] for column in cursor.description]
                for row in cursor.fetchall():
                    found |= {
                        f"{table}.{name}" for name, value in zip(columns, row, strict=True) if secret in str(value)
                    }
        return found


class Mails(AdminEmailHandler):
    """Collect the error mails for ``ADMINS``, including the HTML page with every frame."""

    def __init__(self, sinks: Sinks) -> None:
        super().__init__(include_html=True)
        self.setLevel(logging.ERROR)
        self.sinks = sinks

    def send_mail(self, subject: object, message: object, *args: Any, **kwargs: Any) -> None:
        self.sinks.add("mail", subject, message, kwargs["html_message"])


def _open_signed(part: str) -> str:
    """Return the decoded part of a signed cookie; Django compresses messages in cookies."""
    try:
        packed = signing.b64_decode(part.removeprefix(".").encode())
        return (zlib.decompress(packed) if part.startswith(".") else packed).decode()
    except (ValueError, zlib.error):
        return part


def read_cache() -> Iterator[str]:
    """Yield all stored keys and values of Django's cache."""
    store: Any = cache
    if isinstance(store._cache, dict):
        yield from map(str, store._cache.items())
        return
    client = store._cache.get_client()
    for key in client.scan_iter():
        yield str((key, client.hgetall(key) if client.type(key) == b"hash" else client.get(key)))


def read_frames(error: BaseException | None) -> Iterator[str]:
    """Yield the messages and frame variables of an exception and its causes."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        for frame, _ in traceback.walk_tb(error.__traceback__):
            yield from map(_represent, frame.f_locals.values())
        error = error.__cause__ or error.__context__


def _represent(value: object) -> str:
    # The representation of a queryset runs a query, and the database may have failed.
    try:
        return repr(value)
    except Exception as error:
        return repr(error)
