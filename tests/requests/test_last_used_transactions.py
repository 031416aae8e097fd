"""Writes of ``last_used`` immediately, or after the transaction of the request, even if it is rolled back."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.http import Http404, StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.decorators import method_decorator
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.models import ApiKey
from tests.factories import make_key
from tests.requests.last_used import NOW, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


class View(APIView):
    """Record the stored time during the request, then return or raise ``answer``."""

    seen: list[datetime | None] = []
    answer: object = None

    def get(self, request):
        self.seen.append(stored(request.auth))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or Response()


@pytest.fixture
def seen(mount):
    """Serve the view; return its records."""
    view: list[datetime | None] = []
    mount(View.as_view(seen=view))
    return view


def test_outside_a_transaction_it_is_written_at_once(call, seen):
    api_key, raw_key = make_key("csb")
    neighbour, _ = make_key("csb", organization=api_key.organization)

    call("/", raw_key)

    assert seen == [NOW]
    assert stored(neighbour) is None


@pytest.mark.usefixtures("atomic_requests")
def test_inside_a_transaction_it_is_written_after_the_request(call, seen):
    api_key, raw_key = make_key("csb")

    call("/", raw_key)

    assert seen == [None]
    assert stored(api_key) == NOW


@pytest.mark.usefixtures("atomic_requests")
def test_transaction_of_the_request_is_over_by_then(call, seen):
    _, raw_key = make_key("csb")

    with CaptureQueriesContext(connection) as queries:
        call("/", raw_key)

    statements = [query["sql"].split()[0] for query in queries]
    assert statements[-1] == "UPDATE"
    assert "COMMIT" in statements[:-1]


@pytest.mark.parametrize(
    ("answer", "status"), [(NotFound(), 404), (Http404(), 404), (ZeroDivisionError(), 500), (Response(status=400), 400)]
)
def test_it_is_written_when_the_view_fails(mount, atomic, answer, status):
    mount(View.as_view(answer=answer))
    api_key, raw_key = make_key("csb")

    response = Client(raise_request_exception=False).get("/", headers={"X-API-Key": raw_key})

    assert response.status_code == status
    assert stored(api_key) == NOW


@pytest.mark.usefixtures("atomic_requests")
def test_what_a_failing_view_wrote_is_still_undone(call, mount):
    class Failing(APIView):
        def get(self, request):
            ApiKey.objects.update(name="changed")
            raise NotFound

    mount(Failing.as_view())
    api_key, raw_key = make_key("csb")
    call("/", raw_key)

    api_key.refresh_from_db()
    assert (api_key.name, api_key.last_used) == ("", NOW)


@pytest.mark.usefixtures("atomic_requests")
def test_view_outside_the_transactions_of_its_host(call, mount):
    seen: list[datetime | None] = []
    mount(transaction.non_atomic_requests(View.as_view(seen=seen)))

    call("/", make_key("csb")[1])

    assert seen == [NOW]


def test_view_in_a_transaction_of_its_own(call, mount):
    class Atomic(View):
        pass

    seen: list[datetime | None] = []
    mount(method_decorator(transaction.atomic, name="dispatch")(Atomic).as_view(seen=seen))
    api_key, raw_key = make_key("csb")

    call("/", raw_key)

    assert seen == [None]
    assert stored(api_key) == NOW


def test_streaming_response(mount, client, atomic):
    mount(View.as_view(answer=StreamingHttpResponse(iter([b"one", b"two"]))))
    api_key, raw_key = make_key("csb")

    response = client.get("/", headers={"X-API-Key": raw_key})
    assert stored(api_key) == (None if atomic else NOW)
    assert b"".join(response.streaming_content) == b"onetwo"

    assert stored(api_key) == NOW


def test_what_was_uploaded_is_still_closed(client, mount, atomic):
    files = []

    class Upload(APIView):
        def post(self, request):
            files.append(request.FILES["file"])
            return Response()

    mount(Upload.as_view())
    api_key, raw_key = make_key("csb")

    client.post("/", {"file": SimpleUploadedFile("a.txt", b"a")}, headers={"X-API-Key": raw_key})

    assert [file.closed for file in files] == [True]
    assert stored(api_key) == NOW
