"""Send each malformed or forged credential directly to Django, as a WSGI environ or an ASGI scope."""

from __future__ import annotations

import asyncio
import io
import logging
from contextvars import Context
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection

from tests.hostile.cases import LIVE, UNHELD, Case, get_cases

pytestmark = [pytest.mark.django_db, pytest.mark.unmeasured]

CORRECT = Case("correct", ((b"X-API-Key", LIVE.encode()),))


@pytest.fixture(autouse=True)
def open_connection(settings):
    """Keep the connection of the test's transaction open, as Django's test client does."""
    settings.ALLOWED_HOSTS = ["*"]
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def through_wsgi(cases, look):
    """Send a WSGI environ (PEP 3333) for each case, and call ``look`` with the status and the bytes of the response."""
    for case in cases:
        environ = {
            "REQUEST_METHOD": "POST" if case.body else "GET",
            "PATH_INFO": "/who/",
            "QUERY_STRING": case.query.decode("latin-1"),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "CONTENT_LENGTH": str(len(case.body)),
            "wsgi.input": io.BytesIO(case.body),
            "wsgi.url_scheme": "http",
        }
        for name, value in case.headers:
            # Servers drop header names with underscores, because they would collide with names with hyphens.
            if b"_" not in name:
                meta = name.decode("latin-1").upper().replace("-", "_")
                meta = meta if meta == "CONTENT_TYPE" else f"HTTP_{meta}"
                text = value.decode("latin-1")
                environ[meta] = f"{environ[meta]},{text}" if meta in environ else text
        response = WSGIHandler()(environ, lambda *args: lambda data: None)
        body = b"".join(response)
        response.close()
        look(case, response.status_code, response.serialize_headers() + body)


def through_asgi(cases, look):
    """Send an ASGI scope for each case, and call ``look`` with the status and the bytes of the response."""

    async def send_all():
        for case in cases:
            scope = {
                "type": "http",
                "method": "POST" if case.body else "GET",
                "path": "/who/",
                "query_string": case.query,
                "headers": [(name.lower(), value) for name, value in case.headers],
            }
            messages = [{"type": "http.request", "body": case.body}]
            sent: list[dict[str, Any]] = []

            async def receive(messages=messages):
                # The client does not disconnect before the response.
                return messages.pop() if messages else await asyncio.Event().wait()

            async def send(message, sent=sent):
                sent.append(message)

            await ASGIHandler()(scope, receive, send)
            look(case, sent[0]["status"], repr(sent).encode())

    # An empty context avoids copying the context variables of other tests for each request.
    Context().run(async_to_sync(send_all))


@pytest.mark.parametrize("send", [through_wsgi, through_asgi])
@pytest.mark.parametrize("raw_key", [UNHELD, LIVE], ids=["unheld", "live"])
def test_refused_without_a_trace(send, raw_key, live_key, caplog):
    caplog.set_level(logging.DEBUG)
    cases = get_cases(raw_key)
    queries: list[str] = []
    names: list[str] = []
    wrong: list[object] = []

    def note(execute, sql, *args):
        queries.append(sql)
        return execute(sql, *args)

    def look(case, status, answer):
        names.append(case.name)
        log = [record.getMessage() for record in caplog.records]
        if status != 401:
            wrong.append((case.name, status))
        if len(queries) != case.queries:
            wrong.append((case.name, [*queries]))
        for secret in (*case.secrets, raw_key[4:36].encode()):
            if secret in answer or secret in "\n".join(log).encode():
                wrong.append((case.name, "repeated", secret[:50], answer[:500], log))
        if any(not line.isprintable() for line in log):
            wrong.append((case.name, "more than a line", log))
        queries.clear()
        caplog.clear()

    with connection.execute_wrapper(note):
        send(cases, look)
    live_key.refresh_from_db()

    assert wrong == []
    assert names == [case.name for case in cases]
    assert live_key.last_used is None


@pytest.mark.parametrize("send", [through_wsgi, through_asgi])
def test_the_live_key_itself_passes(send, live_key):
    statuses: list[int] = []

    send([CORRECT], lambda case, status, answer: statuses.append(status))

    assert statuses == [200]
    live_key.refresh_from_db()
    assert live_key.last_used is not None
