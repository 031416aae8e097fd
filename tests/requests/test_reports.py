"""Refused keys and signs of a leak: log lines, signals and audit entries."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from datetime import timedelta
from http import HTTPStatus
from logging.config import dictConfig
from threading import Barrier
from typing import Any

import django
import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.db import connection
from django.http import JsonResponse
from django.test import AsyncClient
from django.urls import path, re_path
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth import signals
from closient_auth.contrib.django import organization_permission_required
from closient_auth.core import reports, responses
from closient_auth.decorators import publishable
from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey, AuditEntry
from closient_auth.permissions import HasOrganizationPermission, IsPerson, SessionOnly
from tests.checkout import ROOT
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key
from tests.models import Project
from tests.races.threads import race
from tests.requests.last_used import NOW
from tests.views import WhoView

# Django 6.0 takes addresses, and warns of pairs.
ADMINS = ["root@example.com"] if django.VERSION >= (6, 0) else [("Root", "root@example.com")]

pytestmark = pytest.mark.django_db

needs_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="needs a database server")
BILLING = "organization.manage_billing"


class Clock:
    """Both clocks that the reports read."""

    def __init__(self, monkeypatch, traveller):
        self.seconds = 1000.0
        self.traveller = traveller
        monkeypatch.setattr(reports, "monotonic", lambda: self.seconds)

    def shift(self, seconds):
        self.seconds += seconds
        self.traveller.shift(seconds)


@pytest.fixture
def clock(monkeypatch):
    """Stop the clocks at ``NOW``."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield Clock(monkeypatch, traveller)


@pytest.fixture
def lines(caplog):
    """Return a function to get the level and the message of each line logged since the last call."""
    caplog.set_level(logging.DEBUG)

    def lines():
        found = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "closient_auth"]
        caplog.clear()
        return found

    return lines


@pytest.fixture
def heard():
    """Return the names and arguments of the signals sent during the test."""
    found = []
    receivers = {
        name: lambda sender, signal, name=name, **kwargs: found.append((name, {"sender": sender, **kwargs}))
        for name in ("api_key_refused", "revoked_api_key_used", "api_key_used_in_browser")
    }
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    yield found
    for name, receiver in receivers.items():
        getattr(signals, name).disconnect(receiver)


def serve_rest_framework(permission=None):
    class View(APIView):
        permission_classes = [HasOrganizationPermission]
        required_permissions = permission

        def get(self, request, **kwargs):
            return Response({})

        post = get

    return View.as_view()


def serve_django(permission=None):
    return organization_permission_required(permission)(lambda request, **kwargs: JsonResponse({}))


@pytest.fixture(params=[serve_rest_framework, serve_django], ids=["rest framework", "django"])
def serve(request, mount):
    """Return a function to serve a view at ``/items/<int:pk>/``, of REST framework or of Django."""
    return lambda permission=None: mount(path("items/<int:pk>/", request.param(permission)))


def revoked():
    api_key, raw_key = make_key("csb")
    api_key.revoke()
    return api_key, raw_key


def expired():
    return make_key("csb", expires_at=timezone.now() - timedelta(seconds=1))


def user_inactive():
    return make_key("csu", user=UserFactory.create(is_active=False))


def foreign():
    return make_key("csb")


def editor():
    return make_key("csu", user=MembershipFactory.create(role="editor").user)


def network():
    return make_key("csb", allowed_networks=["203.0.113.0/24"])


def suspended():
    organization = OrganizationFactory.create()
    organization.suspend()
    return make_key("csb", organization=organization)


def suspended_member():
    member = MembershipFactory.create(role="owner")
    member.organization.suspend()
    return make_key("csu", user=member.user)


def no_user_keys():
    member = MembershipFactory.create(role="owner")
    member.organization.allow_user_keys(False)
    return make_key("csu", user=member.user)


def shut_out():
    member = MembershipFactory.create(role="owner")
    pair = make_key("csu", user=member.user)
    pair[0].shut_out(member.organization)
    return pair


def malformed_permissions():
    pair = make_key("csb")
    ApiKey.objects.filter(pk=pair[0].pk).update(permissions=["unknown"])
    return pair


def narrowed():
    return make_key("csb", permissions=["organization.view_organization"])


REFUSALS = [
    ("revoked", revoked, "WARNING", HTTPStatus.UNAUTHORIZED),
    ("expired", expired, "INFO", HTTPStatus.UNAUTHORIZED),
    ("user_inactive", user_inactive, "INFO", HTTPStatus.UNAUTHORIZED),
    ("publishable", lambda: make_key("cpk"), "INFO", HTTPStatus.FORBIDDEN),
    ("organization", foreign, "INFO", HTTPStatus.NOT_FOUND),
    ("permission", editor, "INFO", HTTPStatus.FORBIDDEN),
    ("permission", narrowed, "INFO", HTTPStatus.FORBIDDEN),
    # Somebody outside the network of the customer has the key.
    ("network", network, "WARNING", HTTPStatus.FORBIDDEN),
    ("suspended", suspended, "INFO", HTTPStatus.FORBIDDEN),
    ("suspended", suspended_member, "INFO", HTTPStatus.FORBIDDEN),
    ("user_key", no_user_keys, "INFO", HTTPStatus.FORBIDDEN),
    ("user_key", shut_out, "INFO", HTTPStatus.FORBIDDEN),
    # Another program has written into the table.
    ("malformed_permissions", malformed_permissions, "WARNING", HTTPStatus.FORBIDDEN),
]


def require_report(response, lines, heard, caplog, pair, *, cause, level, status, organization):
    api_key, raw_key = pair
    assert response.status_code == status
    (record,) = [record for record in caplog.records if record.name == "closient_auth"]
    assert record.args["cause"] == cause
    # No attribute of the record has the key, not even one that a handler does not print.
    assert raw_key[4:36] not in repr(vars(record))
    assert raw_key[4:36] not in caplog.text
    # Whoever reads of a network wants to know from where.
    address = " address=127.0.0.1" if cause == "network" else ""
    assert lines() == [
        (
            level,
            f"api_key=refused cause={cause} id={api_key.pk} organization={organization or '-'} method=GET "
            f"route=/items/<int:pk>/ request_id=req-1.a:b{address}",
        )
    ]
    ((_, sent),) = [(name, sent) for name, sent in heard if name == "api_key_refused"]
    assert (sent["sender"], sent["api_key"], sent["cause"]) == (ApiKey, api_key, cause)
    assert sent["request"].path == "/items/7/"
    assert raw_key[4:36] not in repr(heard)
    assert raw_key[4:36] not in repr(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(("cause", "make", "level", "status"), REFUSALS, ids=map(str, range(len(REFUSALS))))
def test_refusal(call, serve, lines, heard, caplog, globex, cause, make, level, status):
    pair = make()
    serve(BILLING)
    headers = {"x_organization": "globex"} if cause == "organization" else {}

    response = call("/items/7/?page=2", pair[1], x_request_id="req-1.a:b", **headers)

    member = pair[0].user.closient_auth_memberships.get() if make is editor else None
    organization = member.organization_id if member else pair[0].organization_id
    require_report(
        response, lines, heard, caplog, pair, cause=cause, level=level, status=status, organization=organization
    )


def test_refusal_of_a_key_for_another_organization(call, serve, lines, heard, caplog, acme, globex):
    user = MembershipFactory.create(organization=acme, role="owner").user
    MembershipFactory.create(organization=globex, user=user, role="owner")
    pair = make_key("csu", user=user, restricted_to=acme)
    serve(BILLING)

    response = call("/items/7/", pair[1], x_request_id="req-1.a:b", x_organization="globex")

    require_report(
        response,
        lines,
        heard,
        caplog,
        pair,
        cause="organization",
        level="INFO",
        status=HTTPStatus.NOT_FOUND,
        organization=None,
    )


def test_refusal_of_a_key_on_another_web_page(call, mount, lines, heard, caplog):
    """Anybody can read a publishable key and call with it, so this is no sign of a leak."""
    pair = make_key("cpk", allowed_origins=["https://shop.example"])
    view: Any = type("View", (WhoView,), {"get": lambda self, request, **kwargs: Response({})})
    mount(path("items/<int:pk>/", publishable(view).as_view()))

    response = call("/items/7/", pair[1], x_request_id="req-1.a:b", origin="https://evil.example")

    require_report(
        response,
        lines,
        heard,
        caplog,
        pair,
        cause="origin",
        level="INFO",
        status=HTTPStatus.FORBIDDEN,
        organization=pair[0].organization_id,
    )


def test_secret_key_refused_by_its_network_is_not_reported_as_in_a_browser(call, serve, lines):
    _, raw_key = network()
    serve(BILLING)

    call("/items/7/", raw_key, origin="https://shop.example")

    assert [re.findall(r"cause=(\w+)", message) for _, message in lines()] == [["network"]]


def session_only_by_class():
    return type("View", (WhoView,), {"permission_classes": [SessionOnly]})


def session_only_by_module():
    return type("View", (WhoView,), {"__module__": "knox.views"})


def person_only():
    return type("View", (WhoView,), {"permission_classes": [IsPerson]})


@pytest.mark.parametrize("make", [session_only_by_class, session_only_by_module, person_only])
def test_refusal_of_a_key_on_a_view_for_people(call, mount, lines, heard, caplog, make):
    pair = make_key("csb")
    view = make()
    view.get = lambda self, request, **kwargs: Response({})
    mount(path("items/<int:pk>/", view.as_view()))
    cause = "person_only" if make is person_only else "session_only"

    response = call("/items/7/", pair[1], x_request_id="req-1.a:b")

    require_report(
        response,
        lines,
        heard,
        caplog,
        pair,
        cause=cause,
        level="INFO",
        status=HTTPStatus.FORBIDDEN,
        organization=pair[0].organization_id,
    )


def test_one_line_a_minute_for_each_key_and_cause(call, serve, lines, heard, clock, globex):
    serve(BILLING)
    (api_key, raw_key), (other, other_key) = editor(), editor()

    def get_reported():
        found = [re.findall(r"cause=(\w+) id=(\S+)", message)[0] for _, message in lines()]
        assert [(sent["cause"], str(sent["api_key"].pk)) for _, sent in heard] == found
        heard.clear()
        return found

    for _ in range(3):
        call("/items/7/", raw_key)
    assert get_reported() == [("permission", str(api_key.pk))]

    clock.shift(59)
    call("/items/7/", raw_key)
    call("/items/7/", raw_key, x_organization="globex")
    call("/items/7/", other_key)
    assert get_reported() == [("organization", str(api_key.pk)), ("permission", str(other.pk))]

    clock.shift(1)
    for _ in range(3):
        call("/items/7/", raw_key)
        call("/items/7/", other_key)
    assert get_reported() == [("permission", str(api_key.pk))]


@pytest.mark.parametrize(
    ("cause", "make"),
    [("malformed", lambda: "junk"), ("unknown", lambda: generate_api_key("csb"))],
    ids=["malformed", "unknown"],
)
def test_unrecognised_keys_are_counted(call, serve, lines, heard, clock, cause, make):
    serve()
    raw_keys = [make() for _ in range(20)]
    other_key = generate_api_key("csb") if cause == "malformed" else "junk"

    for raw_key in raw_keys:
        assert call("/items/7/", raw_key).status_code == HTTPStatus.UNAUTHORIZED
    assert lines() == [("INFO", f"api_key=refused cause={cause} number=1")]

    clock.shift(59)
    call("/items/7/", other_key)
    ((_, message),) = lines()
    assert f"cause={cause}" not in message

    clock.shift(1)
    for raw_key in raw_keys:
        call("/items/7/", raw_key)
    assert lines() == [("INFO", f"api_key=refused cause={cause} number=20")]
    assert heard == []


@pytest.mark.parametrize("method", ["GET\r\nX: y", "GET cause=revoked", "csb_a", "\N{LINE SEPARATOR}", "X" * 17])
def test_hostile_method(rf, lines, method):
    _, raw_key = expired()

    serve_rest_framework()(rf.generic(method, "/", headers={"X-API-Key": raw_key}))

    ((_, message),) = lines()
    assert " method=- route=- " in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        ("4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "-"),
        ("", "-"),
        ("a\nb", "-"),
        ("a cause=revoked", "-"),
        ("a\N{LINE SEPARATOR}b", "-"),
        ("%s%(id)s", "-"),
        ("{raw_key}", "csb_[redacted]"),
        ("a.{raw_key}", "a.csb_[redacted]"),
    ],
)
def test_request_id_from_the_header(rf, lines, value, logged):
    _, raw_key = expired()
    request = rf.get("/", headers={"X-API-Key": raw_key})
    request.META["HTTP_X_REQUEST_ID"] = value.replace("{raw_key}", raw_key)

    serve_rest_framework()(request)

    ((_, message),) = lines()
    assert message.endswith(f" request_id={logged}")


@pytest.mark.parametrize(
    ("attributes", "logged"),
    [
        ({"request_id": "own", "id": "other"}, "own"),
        ({"id": 42}, "42"),
        ({"request_id": None, "id": "a b"}, "header"),
        ({}, "header"),
    ],
)
def test_request_id_from_a_middleware(rf, lines, attributes, logged):
    _, raw_key = expired()
    request = rf.get("/", headers={"X-API-Key": raw_key, "X-Request-ID": "header"})
    vars(request).update(attributes)

    serve_rest_framework()(request)

    ((_, message),) = lines()
    assert message.endswith(f" request_id={logged}")


def test_route_of_several_lines(call, mount, lines):
    mount(re_path("(?x) ^items/\n(?P<pk>[^/]+)\N{RIGHT-TO-LEFT OVERRIDE}?/$ # cause=revoked", serve_rest_framework()))
    _, raw_key = expired()

    call("/items/hostile%0Acause=revoked/", raw_key)

    ((_, message),) = lines()
    assert " route=/(?x)^items/(?P<pk>[^/]+)?/$#cause=revoked request_id=-" in message


def test_failing_receiver_does_not_change_the_response(call, serve, lines):
    serve()
    _, raw_key = expired()

    def fail(**kwargs):
        raise RuntimeError("It is broken.")

    signals.api_key_refused.connect(fail)
    try:
        assert call("/items/7/", raw_key).status_code == HTTPStatus.UNAUTHORIZED
    finally:
        signals.api_key_refused.disconnect(fail)


def test_memory_is_bounded(call, serve, lines, monkeypatch):
    monkeypatch.setattr(reports, "MAX_SUBJECTS", 2)
    serve()
    keys = [expired() for _ in range(3)]

    for _, raw_key in keys:
        call("/items/7/", raw_key)
    assert len(lines()) == 3
    assert len(reports._due) == 2

    # The oldest subject is forgotten, and the newest ones are not.
    for _, raw_key in (*keys[1:], keys[0]):
        call("/items/7/", raw_key)
    ((_, message),) = lines()
    assert f"id={keys[0][0].pk}" in message


def test_subject_that_was_logged_again_is_not_the_oldest(call, serve, lines, clock, monkeypatch):
    monkeypatch.setattr(reports, "MAX_SUBJECTS", 2)
    serve()
    first_key, second_key, third_key = (expired()[1] for _ in range(3))

    call("/items/7/", first_key)
    call("/items/7/", second_key)
    clock.shift(60)
    call("/items/7/", first_key)
    call("/items/7/", third_key)
    assert len(lines()) == 4
    call("/items/7/", first_key)
    assert lines() == []


class ByMethodView(APIView):
    """Its permissions depend on the method, so that forms and OPTIONS ask for those of other methods."""

    post_permission = SessionOnly

    def get_permissions(self):
        return [] if self.request.method in ("GET", "OPTIONS") else [self.post_permission()]

    def get(self, request):
        return Response({})

    post = get


@pytest.mark.parametrize("post_permission", [SessionOnly, IsPerson])
@pytest.mark.parametrize("method", ["get", "options"])
def test_permission_of_another_method_is_not_reported(call, mount, lines, post_permission, method):
    mount(ByMethodView.as_view(post_permission=post_permission))
    _, raw_key = make_key("csb")

    assert call("/", raw_key, method=method, accept="text/html").status_code == HTTPStatus.OK
    assert lines() == []
    # The client asks for this one.
    assert call("/", raw_key, method="post").status_code == HTTPStatus.FORBIDDEN
    assert len(lines()) == 1


@pytest.mark.parametrize("method", ["get", "options"])
def test_form_that_is_not_shown_is_not_reported(call, lines, method):
    member = MembershipFactory.create(role="billing")
    Project.objects.create(organization=member.organization, name="A")
    _, raw_key = make_key("csu", user=member.user)

    page = call("/projects/", raw_key, method=method, accept="text/html")

    assert page.status_code == HTTPStatus.OK
    assert 'method="POST"' not in page.content.decode()
    assert lines() == []
    assert call("/projects/", raw_key, method="post", data={"name": "B"}).status_code == HTTPStatus.FORBIDDEN
    ((_, message),) = lines()
    assert " cause=permission " in message
    assert " method=POST " in message


# Signs of a leak


def get_entries(api_key):
    events = ("revoked_api_key_used", "api_key_used_in_browser")
    entries = AuditEntry.objects.filter(target_id=api_key.pk, event__in=events).order_by("created_at")
    return [entry.event for entry in entries]


@pytest.mark.django_db(transaction=True)
def test_use_of_a_revoked_key_is_in_the_audit_log(call, serve, heard, atomic):
    serve()
    api_key, raw_key = revoked()

    assert call("/items/7/", raw_key).status_code == HTTPStatus.UNAUTHORIZED

    entry = AuditEntry.objects.get(event="revoked_api_key_used")
    assert (entry.target_id, entry.organization_id) == (api_key.pk, api_key.organization_id)
    assert (entry.api_key_id, entry.user_id, entry.actor) == (api_key.pk, None, str(api_key))
    assert (entry.address, entry.old_values, entry.new_values) == ("127.0.0.1", {}, {})
    (sent,) = [sent for name, sent in heard if name == "revoked_api_key_used"]
    assert (sent["sender"], sent["entry"], sent["instance"]) == (ApiKey, entry, api_key)
    assert raw_key[4:36] not in repr((vars(entry), vars(sent["instance"])))


@pytest.mark.django_db(transaction=True)
def test_one_entry_an_hour(call, serve, clock, atomic):
    serve()
    (api_key, raw_key), (other, other_key) = revoked(), revoked()

    for minutes, entries in [(0, 1), (0, 1), (59, 1), (1, 2), (2, 2), (58, 3)]:
        clock.shift(minutes * 60)
        call("/items/7/", raw_key)
        assert len(get_entries(api_key)) == entries
    assert get_entries(other) == []
    call("/items/7/", other_key)
    assert get_entries(other) == ["revoked_api_key_used"]


@needs_server
@pytest.mark.django_db(transaction=True)
def test_one_entry_for_concurrent_requests(call, serve, heard, monkeypatch, atomic):
    """The threads stand for processes: the memory of one does not know of the others."""
    serve()
    api_key, raw_key = revoked()
    together = Barrier(8, timeout=30)
    after_transaction = responses.after_transaction

    def wait_and_write(*args):
        # All requests have read the key before the first one writes.
        together.wait()
        after_transaction(*args)

    monkeypatch.setattr(reports, "after_transaction", wait_and_write)
    monkeypatch.setattr(reports, "is_due", lambda subject: True)
    statuses = []

    assert race(*[lambda: statuses.append(call("/items/7/", raw_key).status_code)] * 8) == [None] * 8

    assert statuses == [HTTPStatus.UNAUTHORIZED] * 8
    assert get_entries(api_key) == ["revoked_api_key_used"]
    assert len([name for name, _ in heard if name == "revoked_api_key_used"]) == 1
    assert len([name for name, _ in heard if name == "api_key_refused"]) == 8


@needs_server
@pytest.mark.django_db(transaction=True)
def test_one_line_for_concurrent_requests(call, serve, lines):
    serve()
    _, raw_key = expired()

    assert race(*[lambda: call("/items/7/", raw_key)] * 8) == [None] * 8

    assert len(lines()) == 1


@needs_server
@pytest.mark.django_db(transaction=True)
def test_entry_under_asgi(serve, heard, atomic):
    serve()
    api_key, raw_key = revoked()

    async def get():
        return [await AsyncClient().get("/items/7/", headers={"X-API-Key": raw_key}) for _ in range(2)]

    assert [response.status_code for response in async_to_sync(get)()] == [HTTPStatus.UNAUTHORIZED] * 2
    assert get_entries(api_key) == ["revoked_api_key_used"]
    assert [name for name, _ in heard].count("revoked_api_key_used") == 1


BROWSERS = {
    "other origin": {"origin": "https://shop.example"},
    "opaque origin": {"origin": "null"},
    "same origin": {"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
    "site": {"sec_fetch_site": "none"},
    "destination": {"sec_fetch_dest": "document"},
    "user": {"sec_fetch_user": "?1"},
}
each_browser = pytest.mark.parametrize("headers", BROWSERS.values(), ids=BROWSERS)


@each_browser
@pytest.mark.parametrize("prefix", ["csb", "csu"])
def test_secret_key_in_a_browser(
    call, serve, lines, heard, prefix, headers, clock, django_capture_on_commit_callbacks, acme
):
    serve()
    user = MembershipFactory.create(organization=acme).user
    api_key, raw_key = make_key(prefix, **({"user": user} if prefix == "csu" else {"organization": acme}))

    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            assert call("/items/7/", raw_key, **headers).status_code == HTTPStatus.OK

    own = acme.pk if prefix == "csb" else "-"
    assert lines() == [
        (
            "WARNING",
            f"api_key=exposed cause=browser id={api_key.pk} organization={own} method=GET route=/items/<int:pk>/ "
            "request_id=-",
        )
    ]
    assert get_entries(api_key) == ["api_key_used_in_browser"]
    ((name, sent),) = heard
    assert (name, sent["sender"], sent["instance"]) == ("api_key_used_in_browser", ApiKey, api_key)
    assert raw_key[4:36] not in repr(heard)

    clock.shift(3600)
    call("/items/7/", raw_key, **headers)
    assert len(lines()) == 1
    assert get_entries(api_key) == ["api_key_used_in_browser"] * 2


@each_browser
def test_publishable_key_belongs_in_a_browser(call, lines, headers):
    api_key, raw_key = make_key("cpk")

    assert call("/open-who/", raw_key, **headers).status_code == HTTPStatus.OK
    assert lines() == []
    assert get_entries(api_key) == []


def test_key_without_headers_of_a_browser(call, lines):
    api_key, raw_key = make_key("csb")

    assert call("/who/", raw_key, sec_fetch_mode="cors", referer="https://shop.example/").status_code == HTTPStatus.OK
    assert lines() == []
    assert get_entries(api_key) == []


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.django_db(transaction=True)
def test_node_is_not_a_browser(mount, live_server, lines):
    sent: list[Any] = []

    class View(APIView):
        def get(self, request):
            sent.extend(name for name in request.META if name.startswith("HTTP_SEC_FETCH_"))
            return Response({})

    mount(View.as_view())
    api_key, raw_key = make_key("csb")
    script = "fetch(process.argv[1], {headers: {'X-API-Key': process.argv[2]}}).then(r => console.log(r.status))"

    run = subprocess.run(
        ["node", "-e", script, live_server.url, raw_key], capture_output=True, text=True, check=True, timeout=60
    )

    assert run.stdout == "200\n"
    assert sent == ["HTTP_SEC_FETCH_MODE"]
    assert lines() == []
    assert get_entries(api_key) == []


def test_use_after_the_revocation_of_an_exposed_key_is_news(call, lines, clock):
    api_key, raw_key = make_key("csb")
    call("/who/", raw_key, origin="https://shop.example")
    ApiKey.objects.get(pk=api_key.pk).revoke()
    clock.shift(1)

    for _ in range(2):
        call("/who/", raw_key, origin="https://shop.example")

    assert get_entries(api_key) == ["api_key_used_in_browser", "revoked_api_key_used"]
    assert [(level, re.findall(r"cause=(\w+)", message)) for level, message in lines()] == [
        ("WARNING", ["browser"]),
        ("WARNING", ["revoked"]),
    ]


# The blocks of docs/production.md


PAGE = (ROOT / "docs" / "production.md").read_text()


def get_block(words):
    (block,) = (text for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S) if words in text)
    return block


def test_documented_causes_are_those_in_the_log():
    section = PAGE.partition("\n## Refused requests in the log\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \| (\w+) \| (\d+|none)", section, re.M)
    documented = {(cause, level, status) for causes, level, status in rows for cause in re.findall(r"`(\w+)`", causes)}
    assert documented == {(cause, level, str(status.value)) for cause, _, level, status in REFUSALS} | {
        ("browser", "WARNING", "none"),
        ("origin", "INFO", "403"),
        ("session_only", "INFO", "403"),
        ("person_only", "INFO", "403"),
        ("malformed", "INFO", "401"),
        ("unknown", "INFO", "401"),
    }


def test_documented_alert(call, serve, mailoutbox, settings, django_capture_on_commit_callbacks):
    settings.ADMINS = ADMINS
    names: dict[str, Any] = {}
    exec(get_block("def alert("), names)
    serve()
    api_key, raw_key = revoked()
    try:
        with django_capture_on_commit_callbacks(execute=True):
            for _ in range(2):
                call("/items/7/", raw_key)
    finally:
        for signal in (signals.revoked_api_key_used, signals.api_key_used_in_browser):
            assert signal.disconnect(names["alert"])

    (mail,) = mailoutbox
    assert mail.subject.endswith(f"Revoked API key used: {api_key}")
    assert mail.body == f"Key {api_key.pk} was used from 127.0.0.1."


def test_documented_logging(call, serve, mailoutbox, settings, capfd):
    settings.ADMINS = ADMINS
    names: dict[str, Any] = {}
    exec(get_block("for WSGI and ASGI"), names)
    exec(get_block('LOGGING["handlers"]["mail_admins"]'), names)
    serve()
    keys = [revoked()[1], expired()[1]]
    loggers = [logging.getLogger(), logging.getLogger("closient_auth")]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    try:
        dictConfig(names["LOGGING"])
        for raw_key in keys:
            call("/items/7/", raw_key)
    finally:
        for logger, handlers, level in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)

    (mail,) = mailoutbox
    assert "api_key=refused cause=revoked" in mail.subject
    printed = capfd.readouterr().err
    assert "api_key=refused cause=revoked" in printed
    assert "api_key=refused cause=expired" in printed
    for raw_key in keys:
        assert raw_key[4:36] not in printed + mail.subject + mail.body
