"""Writes of ``last_used`` by several threads and connections."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections, transaction
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.models import ApiKey
from tests.factories import make_key
from tests.requests.last_used import NOW, stored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="needs a database server"),
]


def in_threads(function, *arguments):
    """Run the function once for each argument, concurrently and with separate connections. Return the results."""

    def run(argument):
        try:
            return function(argument)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


def start_response(status, headers, exc_info=None):
    """Start a response, as a WSGI server does."""
    assert status == "200 OK"


def test_view_runs_without_a_lock_on_the_key(call, mount, atomic):
    def rename(pk):
        with transaction.atomic():
            ApiKey.objects.select_for_update(nowait=True).get(pk=pk)
            return ApiKey.objects.filter(pk=pk).update(name="renamed")

    class View(APIView):
        def get(self, request):
            return Response(in_threads(rename, request.auth.pk))

    mount(View.as_view())
    api_key, raw_key = make_key("csb")

    assert call("/", raw_key).json() == [1]
    assert stored(api_key) is not None


def test_requests_of_one_key_run_side_by_side(call, mount, atomic):
    together = threading.Barrier(4)

    class View(APIView):
        def get(self, request):
            # The barrier breaks, with a 500, if one request waits for another.
            together.wait(10)
            return Response()

    mount(View.as_view())
    api_key, raw_key = make_key("csb")

    responses = in_threads(lambda _: call("/", raw_key), *range(4))

    assert [response.status_code for response in responses] == [HTTPStatus.OK] * 4
    assert stored(api_key) is not None


def test_it_never_moves_backwards_under_load(call, atomic):
    api_key, raw_key = make_key("csb")
    done = threading.Event()

    def watch(_):
        seen = [stored(api_key)]
        while not done.is_set():
            seen.append(stored(api_key))
        return [time for time in seen if time is not None]

    def use(_):
        return {call("/who/", raw_key).status_code for _ in range(20)}

    def use_and_stop(_):
        try:
            return in_threads(use, *range(4))
        finally:
            done.set()

    seen, statuses = in_threads(lambda job: job(None), watch, use_and_stop)

    assert set.union(*statuses) == {HTTPStatus.OK}
    assert len(set(seen)) > 1
    assert seen == sorted(seen)


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(("max_age", "kept"), [(0, False), (None, True), (600, True)])
def test_server_closes_or_keeps_its_connection_as_it_is_told(monkeypatch, rf, atomic, max_age, kept):
    """The write happens before the connection is closed, and opens no second connection."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", max_age)
    api_key, raw_key = make_key("csb")
    application = get_wsgi_application()

    def serve(_):
        for _ in range(2):
            response = application(rf.get("/who/", headers={"X-API-Key": raw_key}).environ, start_response)
            assert b"".join(response)
            response.close()
        return connection.connection is not None

    assert in_threads(serve, None) == [kept]
    assert stored(api_key) == NOW


@pytest.mark.usefixtures("noon")
def test_server_that_closes_a_request_on_another_thread(rf, atomic):
    api_key, raw_key = make_key("csb")
    environ = rf.get("/who/", headers={"X-API-Key": raw_key}).environ
    response = get_wsgi_application()(environ, start_response)

    in_threads(lambda response: response.close(), response)

    assert stored(api_key) == NOW
