"""An error in any line of the authenticator refuses the request, and the error report does not contain the key."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.db import OperationalError, connection, connections
from rest_framework.test import APIClient

import closient_auth
from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.decorators import publishable
from closient_auth.keys import KeyType
from tests.factories import make_key
from tests.views import PublicView

# The authenticator also writes ``last_used`` if there is no enclosing transaction.
pytestmark = pytest.mark.django_db(transaction=True)

PACKAGE = str(Path(closient_auth.__file__).parent)
LIMITS = str(Path(PACKAGE) / "limits")
UNLIMITED = {"rate_limit_per_minute": 1_000_000, "rate_limit_per_day": 1_000_000}
FAULTS = [OperationalError, MemoryError]
if connection.vendor == "sqlite":
    # Their lines are the same on every database.
    FAULTS += [AttributeError, KeyError, UnicodeError, TimeoutError]


class Lines:
    """
    Record the lines of the package executed by ``authenticate()``, and raise ``fault`` at the first execution of a line.

    ``seen`` has each line once, as (function, line). A ``with`` statement is executed again at the end of its block, and
    an error there would leave a lock held. The lines of ``limits`` are left out: its errors do not refuse a request.
    """

    def __init__(self, fault: type[Exception] | None = None, place: tuple[str, int] | None = None) -> None:
        self.fault = fault
        self.place = place
        self.seen: dict[tuple[str, int], None] = {}
        self.is_inside = False

    def __enter__(self) -> Lines:
        # Coverage uses the trace function too, so restore it afterwards.
        self.previous = sys.gettrace()
        sys.settrace(self.enter)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self.previous)

    def enter(self, frame, event, argument):
        if frame.f_code is ApiKeyAuthentication.authenticate.__code__:
            self.is_inside = True
            return self.leave
        path = frame.f_code.co_filename
        return self.run if self.is_inside and path.startswith(PACKAGE) and not path.startswith(LIMITS) else None

    def leave(self, frame, event, argument):
        self.is_inside = event != "return"
        return self.run(frame, event, argument) and self.leave

    def run(self, frame, event, argument):
        if event == "line":
            place = (frame.f_code.co_qualname, frame.f_lineno)
            is_first = place not in self.seen
            self.seen[place] = None
            if self.fault and is_first and place == self.place:
                raise self.fault("injected")
        return self.run


@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic requests"])
@pytest.mark.parametrize("prefix", KeyType.values)
def test_a_fault_lets_nobody_in(call, mount, monkeypatch, prefix, is_atomic):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", is_atomic)
    # A write of the usage history would empty the buffer, and the next request would run other lines.
    monkeypatch.setattr("closient_auth.usage.buffer.WRITE_INTERVAL", 3600)
    # A public view would return 200 if a failed authentication were treated as an anonymous request.
    mount(publishable(PublicView).as_view())
    path = "/"
    _, raw_key = make_key(prefix, **UNLIMITED)
    client = APIClient(raise_request_exception=False)
    # The first request of a process fills caches and runs more lines.
    call(path, raw_key, client=client)
    with Lines() as lines:
        assert call(path, raw_key, client=client).status_code == 200

    statuses = {}
    for fault in FAULTS:
        for place in lines.seen:
            with Lines(fault, place) as faulty:
                response = call(path, raw_key, client=client)
            assert place in faulty.seen
            statuses[fault, *place] = response.status_code

    assert len(statuses) > 30 * len(FAULTS)
    assert set(statuses.values()) <= {200, 500}
    # A failed write of ``last_used`` does not refuse a key already accepted. On PostgreSQL, the statement that also finds
    # the key of an organization is repeated without the write.
    at_once = connection.vendor == "postgresql" and prefix != KeyType.USER
    reading = {"find_key", "_Part", "RestrictionField", "AuditedModel"}
    writing = {"find_and_record_use", *reading} if at_once else {"_write"}
    passed = {
        # Until Python 3.11, a comprehension is a separate function.
        (fault, function.partition(".")[0])
        for (fault, function, _), status in statuses.items()
        if status == 200
    }
    assert passed == (set() if is_atomic else {(OperationalError, name) for name in writing})


def test_reports_hold_no_key(call, error_reports):
    _, raw_key = make_key("csb", **UNLIMITED)
    client = APIClient(raise_request_exception=False)
    call("/who/", raw_key, client=client)
    with Lines() as lines:
        call("/who/", raw_key, client=client)

    for place in lines.seen:
        error_reports.clear()
        with Lines(MemoryError, place):
            call("/who/", raw_key, client=client)
        assert "MemoryError: injected" in error_reports[-1]
        assert raw_key[4:36] not in error_reports[-1], place
    assert len(lines.seen) > 30


class Unreadable(str):
    """Text with a failing ``encode()``, called for the hash."""

    def encode(self, *args, **kwargs):
        raise MemoryError(f"in the middle of {len(self)} characters")


def test_report_of_a_failed_hash_holds_no_key(error_reports):
    _, raw_key = make_key()

    response = APIClient(raise_request_exception=False).get("/who/", headers={"x-api-key": Unreadable(raw_key)})

    assert response.status_code == 500
    [report] = error_reports
    assert "MemoryError: in the middle of 45 characters" in report
    assert raw_key[4:36] not in report


def test_report_of_a_failed_refusal_holds_no_key(call, error_reports, settings):
    # A mistyped key still reveals most of the correct key.
    _, raw_key = make_key()
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "EXCEPTION_HANDLER": "tests.faults.test_authenticator.fail"}

    call("/who/", f"{raw_key} ", client=APIClient(raise_request_exception=False))

    [report] = error_reports
    assert "InvalidApiKey" in report
    assert raw_key[4:36] not in report


def fail(error, context):
    raise RuntimeError("the host's own handler fails")
