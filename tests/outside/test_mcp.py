"""The setting for django-mcp-server."""

from __future__ import annotations

import importlib
import sys
from http import HTTPStatus

import pytest

from tests.factories import make_key
from tests.outside.page import get_block
from tests.readme import run

pytest.importorskip("mcp_server")

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
LIST_TOOLS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPT = "application/json, text/event-stream"


@pytest.fixture
def server(settings, mount, monkeypatch):
    name = "DJANGO_MCP_AUTHENTICATION_CLASSES"
    setattr(settings, name, run(get_block("DJANGO_MCP_AUTHENTICATION_CLASSES "))[name])
    # The module reads the setting when it is imported.
    monkeypatch.delitem(sys.modules, "mcp_server.urls", raising=False)
    mount(*importlib.import_module("mcp_server.urls").urlpatterns)


@pytest.mark.django_db
@pytest.mark.usefixtures("server")
def test_tools_need_a_key(call):
    _, raw_key = make_key("csb")

    started = call("/mcp", raw_key, method="post", data=INITIALIZE, accept=ACCEPT)
    session = {"accept": ACCEPT, "mcp_session_id": started["Mcp-Session-Id"]}
    listed = call("/mcp", raw_key, method="post", data=LIST_TOOLS, **session)

    assert [tool["name"] for tool in listed.json()["result"]["tools"]] == ["get_server_instructions"]
    assert listed["RateLimit-Remaining"] == "298"
    assert listed["Cache-Control"] == "private, no-store"
    # The session of the protocol is not a credential.
    for refused_key, status in [(None, 401), ("junk", 401), (make_key("cpk")[1], 403)]:
        assert call("/mcp", refused_key, method="post", data=LIST_TOOLS, **session).status_code == HTTPStatus(status)
