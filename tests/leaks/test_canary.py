"""Only the response that creates a raw key contains it, after any use and any error."""

from __future__ import annotations

import io
import re
import sys
from datetime import timedelta

import pytest
from django.contrib.admin import AdminSite
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client, override_settings
from django.urls import reverse
from rest_framework.test import APIClient

from closient_auth.keys import hash_api_key
from closient_auth.models import ApiKey, Organization
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db

# A cache at a closed port.
AWAY = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}}


@pytest.fixture
def staff():
    """Return a superuser's client; errors give an error page instead of an exception."""
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client


def by_model(organization, staff, sinks):
    api_key, raw_key = ApiKey.objects.create_key(prefix="csb", organization=organization)
    sinks.add("model", api_key, repr(api_key), vars(api_key) | {"hashed_key": ""})
    return raw_key


def by_rotation(organization, staff, sinks):
    old, old_raw_key = ApiKey.objects.create_key(prefix="csb", organization=organization)
    _, raw_key = old.rotate(grace=timedelta(days=1))
    assert old_raw_key[4:36] not in raw_key
    return raw_key


def by_command(organization, staff, sinks):
    stdout, stderr = io.StringIO(), io.StringIO()
    call_command("create_api_key", "csb", organization=organization.slug, stdout=stdout, stderr=stderr)
    sinks.add("command", stderr.getvalue())
    return stdout.getvalue().strip()


def by_command_rotation(organization, staff, sinks):
    old, _ = ApiKey.objects.create_key(prefix="csb", organization=organization)
    stdout, stderr = io.StringIO(), io.StringIO()
    call_command("rotate_api_key", str(old.pk), "--grace-seconds=60", stdout=stdout, stderr=stderr)
    sinks.add("command", stderr.getvalue())
    return stdout.getvalue().strip()


def read_field(response):
    (raw_key,) = re.findall(r'id="raw-key"[^>]* value="([^"]+)"', response.content.decode())
    return raw_key


def by_admin(organization, staff, sinks):
    page = reverse("admin:closient_auth_apikey_add")
    form = sinks.add_response(staff.get(page)).context["adminform"].form
    data = {name: form[name].value() for name in form.fields}
    data |= {"prefix": "csb", "organization": organization.pk, "name": "Server"}
    data = {name: value for name, value in data.items() if value is not None}
    response = staff.post(page, data)
    # Sending the form again neither creates a second key nor shows the first.
    sinks.add_response(staff.post(page, data))
    sinks.add("cookie", response.cookies.output())
    sinks.add("header", response.headers)
    return read_field(response)


def by_admin_rotation(organization, staff, sinks):
    old, old_raw_key = ApiKey.objects.create_key(prefix="csb", organization=organization)
    page = reverse("admin:closient_auth_apikey_rotate", args=[old.pk])
    assert sinks.add_response(staff.get(page)).status_code == 200
    response = staff.post(page, {"grace": 3600})
    # Neither sending the form again nor the page shows the new key.
    assert sinks.add_response(staff.post(page, {"grace": 3600})).status_code == 409
    assert sinks.add_response(staff.get(page)).status_code == 409
    sinks.add("cookie", response.cookies.output())
    sinks.add("header", response.headers)
    assert old_raw_key[4:36] not in response.content.decode()
    return read_field(response)


def by_dashboard(organization, staff, sinks):
    page = f"/settings/o/{organization.slug}/keys/new/"
    form = sinks.add_response(staff.get(page)).context["form"]
    data = {"name": "Server", "type": "csb", "nonce": form["nonce"].value()}
    response = staff.post(page, data)
    assert sinks.add_response(staff.post(page, data)).status_code == 409
    return read_secret(response, sinks)


def by_dashboard_rotation(organization, staff, sinks):
    old, old_raw_key = ApiKey.objects.create_key(prefix="csb", organization=organization)
    page = f"/settings/o/{organization.slug}/keys/{old.pk}/rotate/"
    response = staff.post(page, {"grace": "3600"})
    assert sinks.add_response(staff.post(page, {"grace": "3600"})).status_code == 409
    assert old_raw_key[4:36] not in response.content.decode()
    return read_secret(response, sinks)


def read_secret(response, sinks):
    assert response.status_code == 200
    sinks.add("cookie", response.cookies.output())
    sinks.add("header", response.headers)
    return response.content.decode().partition('id="ca-key"')[2].partition(">")[2].partition("<")[0]


def by_api(organization, staff, sinks, tree="organizations/{}", address="", **data):
    client = APIClient()
    client.force_login(MembershipFactory.create(organization=organization, role="owner").user)
    keys = f"/account/{tree.format(organization.pk)}/keys"
    response = client.post(f"{keys}{address}", data or {"prefix": "csb"})
    sinks.add("cookie", response.cookies.output())
    sinks.add("header", response.headers)
    for page in (keys, f"{keys}/{response.json()['id']}"):
        assert sinks.add_response(client.get(page)).status_code == 200
    return response.json()["key"]


def by_api_for_oneself(organization, staff, sinks):
    return by_api(organization, staff, sinks, tree="me", name="Mine")


def by_api_rotation(organization, staff, sinks):
    old, _ = ApiKey.objects.create_key(prefix="csb", organization=organization)
    return by_api(organization, staff, sinks, address=f"/{old.pk}/rotate", grace_seconds=60)


CREATORS = [
    by_model,
    by_rotation,
    by_admin,
    by_admin_rotation,
    by_dashboard,
    by_dashboard_rotation,
    by_command,
    by_command_rotation,
    by_api,
    by_api_for_oneself,
    by_api_rotation,
]


@pytest.fixture
def walk(call, staff, sinks, settings, monkeypatch):
    """Return a function to use and manage a key in all ways, including failures."""

    def walk(raw_key):
        api_key = ApiKey.objects.get(hashed_key=hash_api_key(raw_key))
        use_it(raw_key)
        let_it_fail(raw_key)
        manage_it(api_key, raw_key)
        assert use(raw_key, "/who/") == 401

    def use(raw_key, path, **options):
        client = APIClient(raise_request_exception=False)
        for accept in ("application/json", "text/html"):
            response = sinks.add_response(call(path, raw_key, client=client, accept=accept, **options))
        return response.status_code

    def use_it(raw_key):
        assert use(raw_key, "/who/") == 200
        assert use(raw_key, "/projects/", method="post", data={"name": "One"}) == 201
        assert use(raw_key, "/projects/", method="post", data={}) == 400
        for other in (f"{raw_key} ", raw_key[:-1], raw_key.upper(), as_another_type(raw_key), f"{raw_key},{raw_key}"):
            assert use(other, "/who/") == 401
        assert use(raw_key, "/staff/") == 403
        assert use(raw_key, "/nothing/") == 404
        assert use(raw_key, "/projects/0/") == 404
        assert use(raw_key, "/who/", method="delete") == 405

    def let_it_fail(raw_key):
        assert use(raw_key, "/broken/") == 500
        with connection.execute_wrapper(fail):
            assert use(raw_key, "/who/") == 500
        with monkeypatch.context() as patch, override_settings(CACHES=AWAY):
            patch.setattr("closient_auth.limits.counter.PATIENCE", 0)
            assert use(raw_key, "/who/") == 200
            settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": False}
            assert use(raw_key, "/who/") == 503
        ApiKey.objects.update(rate_limit_per_minute=1)
        assert use(raw_key, "/who/") == 429

    def manage_it(api_key, raw_key):
        def page(name, *args):
            return reverse(f"admin:closient_auth_apikey_{name}", args=args)

        found = page("change", api_key.pk)
        for address in (page("changelist"), found, page("history", api_key.pk), page("find"), reverse("admin:index")):
            assert sinks.add_response(staff.get(address)).status_code == 200
        assert sinks.add_response(staff.get(page("changelist"), {"q": raw_key}))["Location"] == page("find")
        assert sinks.add_response(staff.post(page("find"), {"api_key": raw_key}))["Location"] == found
        # The page says that this is the key.
        for address in (found, page("revoke", api_key.pk), reverse("admin:closient_auth_auditentry_changelist")):
            assert sinks.add_response(staff.get(address)).status_code == 200
        other_key = as_another_type(raw_key)
        for other in (raw_key[:-1], other_key, f"X-API-Key: {other_key}", f"{raw_key} {other_key}"):
            assert sinks.add_response(staff.post(page("find"), {"api_key": other})).status_code == 200
        with connection.execute_wrapper(fail_for_keys):
            for text in (raw_key, f"X-API-Key: {raw_key}"):
                assert sinks.add_response(staff.post(page("find"), {"api_key": text})).status_code == 500
        with monkeypatch.context() as patch:
            patch.setattr(AdminSite, "each_context", lambda site, request: 1 / 0)
            assert sinks.add_response(staff.post(page("find"), {"api_key": raw_key[:-1]})).status_code == 500
        manage_it_in_the_dashboard(api_key, raw_key)
        stdout, stderr = io.StringIO(), io.StringIO()
        call_command("list_api_keys", stdout=stdout)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(f"X-API-Key: {raw_key}"))
            call_command("revoke_api_key", "--stdin", stdout=stdout, stderr=stderr)
        sinks.add("command", stdout.getvalue(), stderr.getvalue())
        assert sinks.add_response(staff.get(page("rotate", api_key.pk))).status_code == 302
        assert sinks.add_response(staff.get(page("revoke", api_key.pk))).status_code == 302

    def manage_it_in_the_dashboard(api_key, raw_key):
        # A user key belongs to somebody else than the staff.
        is_here = api_key.organization_id is not None
        keys = f"/settings/o/{Organization.objects.get().slug}/keys/" if is_here else "/settings/keys/"
        for address in (keys, f"{keys}{api_key.pk}/", f"{keys}{api_key.pk}/rotate/", f"{keys}{api_key.pk}/revoke/"):
            assert sinks.add_response(staff.get(address)).status_code == (200 if is_here or address == keys else 404)
        assert sinks.add_response(staff.get(keys, {"q": raw_key}))["Location"] == f"{keys}leaked/"
        other_key = as_another_type(raw_key)
        for text in (raw_key, f"X-API-Key: {raw_key}", raw_key[:-1], other_key, f"{raw_key} {other_key}"):
            assert sinks.add_response(staff.post(f"{keys}leaked/", {"api_key": text})).status_code == 200
        for failing in (fail_for_keys, fail):
            with connection.execute_wrapper(failing):
                assert sinks.add_response(staff.post(f"{keys}leaked/", {"api_key": raw_key})).status_code == 500

    return walk


def as_another_type(raw_key):
    return {"csb": "csu", "csu": "csb"}[raw_key[:3]] + raw_key[3:]


def fail(execute, sql, params, many, context):
    raise OperationalError("The database is away.")


def fail_for_keys(execute, sql, params, many, context):
    if "closient_auth_apikey" in sql:
        raise OperationalError("The database is away.")
    return execute(sql, params, many, context)


# The database matters little for ``DEBUG``, so the servers try each creator with one of its values.
CASES = [
    pytest.param(create, debug, id=f"{create.__name__}-debug {'on' if debug else 'off'}")
    for number, create in enumerate(CREATORS)
    for debug in ([False, True] if connection.vendor == "sqlite" else [number % 2 == 1])
]


@pytest.mark.parametrize(("create", "debug"), CASES)
def test_key_is_told_once(create, debug, staff, sinks, walk, settings):
    settings.DEBUG = debug

    raw_key = create(OrganizationFactory.create(), staff, sinks)
    walk(raw_key)

    assert len(raw_key) == 45
    assert sinks.find(raw_key) == set()
    assert sinks.find(raw_key[4:36]) == set()
    # The hash does not work as a key. Django logs and reports it in the SQL of failed queries.
    told = {"log django.db.backends", "log django.template", "frames", "mail"} | ({"response"} if debug else set())
    assert sinks.find(hash_api_key(raw_key)) - told == {"closient_auth_apikey.hashed_key"}


def test_a_leak_would_be_found(call, sinks):
    _, raw_key = ApiKey.objects.create_key(
        prefix="csb", organization=OrganizationFactory.create(), description="of the leaky host"
    )
    client = APIClient(raise_request_exception=False)

    sinks.add_response(call("/leaky/", raw_key, client=client))
    sinks.add_response(call("/leaky-broken/", raw_key, client=client))
    ApiKey.objects.update(description=raw_key)

    assert sinks.find(raw_key) >= {
        "response",
        "cookie",
        "session",
        "cache",
        "log tests.leaks",
        "frames",
        "mail",
        "closient_auth_apikey.description",
    }
