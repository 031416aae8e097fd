"""The example for Django Channels."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from closient_auth.models import ApiKey
from tests.factories import MembershipFactory, make_key
from tests.models import Project

pytest.importorskip("channels")

# Channels closes a connection that is in the transaction of a test.
pytestmark = pytest.mark.django_db(transaction=True)

DENIED = {"type": "websocket.close", "code": 4401}
NO_ORIGIN = {"type": "websocket.close"}


@pytest.fixture
def application(shop, settings):
    settings.ALLOWED_HOSTS = ["shop.example"]
    shop("rechecks").INTERVAL = 0
    shop("consumers")
    return shop("asgi").application


@asynccontextmanager
async def connect(application, path, **headers):
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": path,
        "query_string": b"",
        "headers": [
            (b"host", b"shop.example"),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        ],
        "subprotocols": [],
    }
    socket = ApplicationCommunicator(application, scope)
    await socket.send_input({"type": "websocket.connect"})
    try:
        yield socket, await socket.receive_output(10)
    finally:
        if not socket.future.done():
            await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        # The consumer has stopped, so no task is left.
        await socket.wait(10)


async def ask(socket, name):
    await socket.send_input({"type": "websocket.receive", "text": json.dumps({"name": name})})
    answer = await socket.receive_output(10)
    return json.loads(answer["text"]) if answer["type"] == "websocket.send" else answer


def run(function):
    return async_to_sync(function)()


def test_key_in_the_handshake(application, acme, csb):
    async def talk():
        async with connect(application, "/ws/products", x_api_key=csb) as (socket, answer):
            return answer["type"], await ask(socket, "Tent"), await ask(socket, "Stove")

    opened, *answers = run(talk)

    assert opened == "websocket.accept"
    assert answers == [{"id": project.pk} for project in Project.objects.filter(organization=acme).order_by("pk")]
    assert ApiKey.objects.get().last_used is not None


def test_refused_handshakes(application, acme, cpk):
    member = MembershipFactory.create(organization=acme)
    revoked, raw_key = make_key("csb")
    revoked.revoke()
    _, csu = make_key("csu", user=member.user)

    async def open_all():
        for headers in (
            {},
            {"x_api_key": "junk"},
            {"x_api_key": raw_key},
            {"x_api_key": cpk},
            {"x_api_key": csu, "x_organization": "other"},
        ):
            async with connect(application, "/ws/products", **headers) as (_, answer):
                assert answer == DENIED, headers

    run(open_all)


@pytest.mark.parametrize("change", ["revoke", "expire", "deactivate", "remove", "demote"])
def test_socket_is_checked_again(application, acme, change):
    member = MembershipFactory.create(organization=acme, role="editor")
    api_key, raw_key = make_key("csu", user=member.user)

    def end():
        if change == "revoke":
            api_key.revoke()
        elif change == "expire":
            ApiKey.objects.update(expires_at=api_key.created_at)
        elif change == "deactivate":
            type(member.user).objects.update(is_active=False)
        elif change == "remove":
            member.remove()
        else:
            member.change_role("billing")

    async def talk():
        async with connect(application, "/ws/products", x_api_key=raw_key) as (socket, answer):
            assert answer["type"] == "websocket.accept"
            assert "id" in await ask(socket, "Tent")
            await sync_to_async(end)()
            return await ask(socket, "Stove")

    assert run(talk) == ({"code": "permission_denied"} if change == "demote" else DENIED)
    assert Project.objects.count() == 1


def test_check_is_not_repeated_within_the_interval(application, csb, monkeypatch):
    monkeypatch.setattr("shop.rechecks.INTERVAL", 3600)

    async def talk():
        async with connect(application, "/ws/products", x_api_key=csb) as (socket, _):
            await sync_to_async(lambda: ApiKey.objects.get().revoke())()
            return await ask(socket, "Tent")

    assert "id" in run(talk)


def test_session_needs_an_origin_of_the_site(application, acme):
    member = MembershipFactory.create(organization=acme)
    client = Client()
    client.force_login(member.user)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    good = {"cookie": cookie, "origin": "https://shop.example"}

    async def talk():
        for path, headers, expected in (
            ("/ws/pages/products", {"origin": "https://shop.example"}, DENIED),
            ("/ws/pages/products", {**good, "origin": "https://evil.example"}, NO_ORIGIN),
            ("/ws/pages/products", {"cookie": cookie}, NO_ORIGIN),
            # The address for keys takes no session.
            ("/ws/products", good, DENIED),
        ):
            async with connect(application, path, **headers) as (_, answer):
                assert {"type": answer["type"], **answer} == expected, headers
        async with connect(application, "/ws/pages/products", **good) as (socket, answer):
            assert answer["type"] == "websocket.accept"
            assert "id" in await ask(socket, "Tent")
            await sync_to_async(type(member.user).objects.update)(is_active=False)
            return await ask(socket, "Stove")

    assert run(talk) == DENIED
