"""The example for server-sent events."""

from __future__ import annotations

from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections
from django.test import AsyncClient
from rest_framework.decorators import api_view
from rest_framework.response import Response

from closient_auth.models import ApiKey
from tests.factories import MembershipFactory, make_key
from tests.models import Project
from tests.requests.test_asgi import key, needs_server, open_request

EVENT_STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def events(shop, mount):
    shop("rechecks").INTERVAL = 0
    mount(shop("events").product_events)


def read(client, change=None, **headers):
    """Return the response, and the events of its stream; ``change`` is called after the first one."""

    async def read():
        response = await client.get("/", headers={**EVENT_STREAM, **headers})
        received = []
        if response.status_code == HTTPStatus.OK:
            async for event in response:
                received.append(event)
                if len(received) == 1 and change:
                    await sync_to_async(change)()
                # An endless stream must fail the test instead of blocking it.
                assert len(received) < 10
                if len(received) == 2 and not change:
                    break
        return response, received

    return async_to_sync(read)()


@pytest.mark.usefixtures("events")
def test_stream_of_a_valid_key_goes_on(acme, csb):
    Project.objects.create(organization=acme, name="Tent")

    response, received = read(AsyncClient(), **{"X-API-Key": csb})

    assert received == [b'data: ["Tent"]\n\n'] * 2
    assert response["Content-Type"] == "text/event-stream"
    assert response["Cache-Control"] == "private, no-store"
    assert response["RateLimit-Remaining"] == "299"


@pytest.mark.usefixtures("events")
def test_stream_ends_with_its_key(csb):
    _, received = read(AsyncClient(), lambda: ApiKey.objects.get().revoke(), **{"X-API-Key": csb})

    assert received == [b"data: []\n\n"]


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("change", ["remove", "deactivate"])
@pytest.mark.parametrize("credential", ["session", "csu"])
def test_stream_ends_with_the_member(acme, change, credential):
    member = MembershipFactory.create(organization=acme)
    client, headers = AsyncClient(), {}
    if credential == "session":
        client.force_login(member.user)
    else:
        headers["X-API-Key"] = make_key("csu", user=member.user)[1]

    def end():
        if change == "remove":
            member.remove()
        else:
            type(member.user).objects.update(is_active=False)

    _, received = read(client, end, **headers)

    assert received == [b"data: []\n\n"]


@pytest.mark.usefixtures("events")
def test_refusal_is_json(cpk):
    for headers, code in [({}, "not_authenticated"), ({"X-API-Key": cpk}, "publishable_key_refused")]:
        response, received = read(AsyncClient(), **headers)
        assert (response.json()["code"], received) == (code, [])


def test_rest_framework_has_no_renderer(mount, csb):
    mount(api_view()(lambda request: Response()))

    assert read(AsyncClient(), **{"X-API-Key": csb})[0].status_code == HTTPStatus.NOT_ACCEPTABLE


@needs_server
@pytest.mark.django_db(transaction=True)
def test_stream_holds_no_connection(shop, mount, monkeypatch):
    """The handler runs each request on a thread of its own. Its connection is closed while the stream waits."""
    idle = []
    shop("rechecks")
    events = shop("events")

    def look(seconds):
        idle.append((seconds, connections["default"].connection is None))
        if len(idle) == 2:
            ApiKey.objects.get().revoke()

    monkeypatch.setattr(events, "asyncio", SimpleNamespace(sleep=sync_to_async(look)))
    mount(events.product_events)
    _, raw_key = make_key("csb")

    async def stream():
        communicator = open_request("/", key(raw_key))
        await communicator.send_input({"type": "http.request", "body": b""})
        start = await communicator.receive_output(10)
        bodies: list[dict[str, Any]] = []
        while not bodies or bodies[-1].get("more_body"):
            bodies.append(await communicator.receive_output(10))
            assert len(bodies) < 10
        await communicator.wait(10)
        return start["status"], [body["body"] for body in bodies if body.get("body")]

    assert async_to_sync(stream)() == (HTTPStatus.OK, [b"data: []\n\n"] * 2)
    assert idle == [(10, True)] * 2
