"""Requests under ASGI, with Django's handler and with its test client."""

from __future__ import annotations

import asyncio
import json
import threading
from http import HTTPStatus

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.db import connection
from django.test import AsyncClient
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.models import ApiKey
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.requests.last_used import NOW, stored

# Threads share one in-memory SQLite database, so each may find its tables locked.
needs_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="needs a database server")


def open_request(path, *headers):
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver"), *headers],
    }
    return ApplicationCommunicator(get_asgi_application(), scope)


async def get(path, *headers):
    communicator = open_request(path, *headers)
    await communicator.send_input({"type": "http.request", "body": b""})
    start = await communicator.receive_output(10)
    body = await communicator.receive_output(10)
    await communicator.wait(10)
    return start["status"], body["body"]


def key(raw_key):
    return b"x-api-key", raw_key.encode()


@needs_server
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize("prefix", ["csb", "csu", "cpk"])
def test_handler_serves_keys(atomic, prefix):
    api_key, raw_key = make_key(prefix)

    status, body = async_to_sync(get)("/open-who/", key(raw_key))

    assert (status, json.loads(body)["key"]) == (HTTPStatus.OK, str(api_key.pk))
    assert stored(api_key) == NOW


@needs_server
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("address", ["/who/", "/public/"])
def test_handler_refuses_as_under_wsgi(address):
    api_key, raw_key = make_key("csb")
    _, other_key = make_key("csb")

    for headers in [(key("junk"),), (key(""),), (key(raw_key), key(raw_key)), (key(raw_key), key(other_key))]:
        status, body = async_to_sync(get)(address, *headers)
        assert (status, json.loads(body)["code"]) == (HTTPStatus.UNAUTHORIZED, "invalid_api_key")
    # A proxy that has to remove ``X-API-Key`` would not recognize this spelling.
    status, body = async_to_sync(get)("/who/", (b"x_api_key", raw_key.encode()))
    assert (status, json.loads(body)) == (
        HTTPStatus.UNAUTHORIZED,
        {"detail": "Authentication credentials were not provided."},
    )
    assert stored(api_key) is None


@needs_server
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("atomic")
def test_requests_at_the_same_time_keep_to_themselves():
    pairs = [make_key(prefix) for prefix in ("csb", "csu") for _ in range(5)]
    members = [MembershipFactory.create() for _ in range(5)]
    member_keys = [make_key("csu", user=member.user)[1] for member in members]

    async def get_all():
        who = [get("/who/", key(raw_key)) for _, raw_key in pairs for _ in range(3)]
        organizations = [get("/organization/", key(raw_key)) for raw_key in member_keys]
        return await asyncio.gather(*who), await asyncio.gather(*organizations)

    who, organizations = async_to_sync(get_all)()

    assert [json.loads(body)["key"] for _, body in who] == [str(api_key.pk) for api_key, _ in pairs for _ in range(3)]
    assert [json.loads(body)["organization"] for _, body in organizations] == [
        member.organization.slug for member in members
    ]
    assert not ApiKey.objects.filter(last_used=None).exists()


@needs_server
@pytest.mark.django_db(transaction=True)
def test_client_that_goes_away_leaves_nothing_behind(atomic, mount):
    entered, release = threading.Event(), threading.Event()

    class Slow(APIView):
        def get(self, request):
            entered.set()
            release.wait(10)
            return Response()

    mount(Slow.as_view())
    api_key, raw_key = make_key("csb")

    async def go_away():
        communicator = open_request("/", key(raw_key))
        await communicator.send_input({"type": "http.request", "body": b""})
        await asyncio.to_thread(entered.wait, 10)
        await communicator.send_input({"type": "http.disconnect"})
        await asyncio.sleep(0.05)
        release.set()
        await communicator.wait(10)

    async_to_sync(go_away)()

    # The update is lost in a transaction: Django does not close a request after the client disconnects.
    assert (stored(api_key) is None) is atomic
    assert async_to_sync(get)("/", key(raw_key))[0] == HTTPStatus.OK
    assert stored(api_key) is not None


@pytest.mark.django_db
def test_client_of_hosts_within_the_transaction_of_a_test(caplog):
    """The client closes the response on another thread, without access to the rows of the test."""
    api_key, raw_key = make_key("csb")

    response = async_to_sync(AsyncClient().get)("/who/", headers={"X-API-Key": raw_key})

    assert response.json()["key"] == str(api_key.pk)
    assert not [record for record in caplog.records if record.name == "closient_auth"]


@pytest.mark.django_db
def test_client_of_hosts_with_a_session():
    user, client = UserFactory.create(), AsyncClient()
    client.force_login(user)

    assert async_to_sync(client.get)("/who/").json() == {"user": str(user.pk), "key": None}
    assert async_to_sync(client.get)("/who/", headers={"X-API-Key": "junk"}).status_code == HTTPStatus.UNAUTHORIZED
