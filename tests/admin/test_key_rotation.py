from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.utils import timezone

from closient_auth.admin import ApiKeyAdmin
from closient_auth.keys import generate_api_key, hash_api_key
from closient_auth.models import ApiKey, AuditEntry
from tests.domain.test_key_frames import read_frames
from tests.factories import UserFactory, make_key

DAY = 24 * 60 * 60
SAME = (
    "prefix",
    "organization_id",
    "user_id",
    "name",
    "rate_limit_per_day",
    "permissions",
    "restricted_to_id",
    "allowed_networks",
    "family",
)


def stored(api_key):
    return ApiKey.objects.values().get(pk=api_key.pk)


def messages(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def get_errors(response):
    assert response.status_code == HTTPStatus.OK
    return response.context["adminform"].form.errors


@pytest.fixture
def rotate(page):
    def rotate(client, api_key, grace=0, **data):
        return client.post(page("apikey_rotate", api_key.pk), {"grace": grace, **data})

    return rotate


def test_page_shows_what_will_end(root, page, organization):
    used = timezone.now().replace(2020, 5, 17)
    api_key, _ = make_key(organization=organization, name="Server <1>", expires_at=timezone.now() + timedelta(days=400))
    ApiKey.objects.update(last_used=used)
    before = stored(api_key)

    response = root.get(page("apikey_rotate", api_key.pk))

    content = response.content.decode()
    assert response.status_code == HTTPStatus.OK
    assert f"csb_{api_key.hint}… Server &lt;1&gt;" in content
    assert "Acme Foods" in content
    assert "May 17, 2020" in content
    assert str((timezone.localtime() + timedelta(days=400)).year) in content
    assert re.findall(r'name="grace" value="(\d+)"', content) == ["0", "3600", "86400", "604800"]
    assert " checked" not in content
    assert stored(api_key) == before
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("prefix", ["csb", "csu", "cpk"])
def test_new_key_is_shown_once(root, root_user, rotate, page, prefix, organization):
    restrictions = {"permissions": ["organization.view_organization"], "allowed_networks": ["203.0.113.0/24"]}
    if prefix == "csu":
        restrictions["restricted_to"] = organization
    maker = UserFactory.create()
    old, _ = make_key(prefix, name="Server", rate_limit_per_day=7, created_by=maker, **restrictions)
    neighbour, _ = make_key(prefix)
    beside = stored(neighbour)

    response = rotate(root, old)

    new = ApiKey.objects.get(rotated_from=old)
    (raw_key,) = re.findall(rf"{prefix}_\w{{32}}_\w{{8}}", response.content.decode())
    assert response.status_code == HTTPStatus.OK
    assert hash_api_key(raw_key) == new.hashed_key
    assert {"no-store", "private"} <= set(response["Cache-Control"].split(", "))
    assert f"{prefix}_{old.hint}… Server" in response.content.decode()
    assert "revoked" in response.content.decode()
    assert page("apikey_change", new.pk) in response.content.decode()
    assert (new.created_by, new.expires_at) == (root_user, None)
    assert {name: stored(new)[name] for name in SAME} == {name: stored(old)[name] for name in SAME}
    assert not stored(old)["is_active"]
    assert stored(old)["created_by_id"] == maker.pk
    assert stored(neighbour) == beside
    log = LogEntry.objects.get()
    assert (log.object_id, log.user, str(log)) == (str(old.pk), root_user, f"Changed “{old}” — Rotated.")
    entry = AuditEntry.objects.get(event="api_key_rotated")
    assert (entry.actor, entry.user, entry.address) == ("root", root_user, "127.0.0.1")


@pytest.mark.parametrize("grace", [3600, DAY, 7 * DAY])
def test_grace(root, rotate, grace):
    old, _ = make_key()

    content = rotate(root, old, grace).content.decode()

    end = stored(old)["expires_at"]
    assert stored(old)["is_active"]
    assert abs(end - timezone.now() - timedelta(seconds=grace)) < timedelta(seconds=60)
    assert f"works until {timezone.localtime(end):%b}" in content
    assert ApiKey.objects.active().count() == 2


def test_expiry_is_kept_or_chosen(root, rotate):
    expires_at = timezone.now() + timedelta(days=30)
    tomorrow = timezone.localtime() + timedelta(days=1)
    kept, chosen = (make_key(expires_at=expires_at)[0] for _ in range(2))

    rotate(root, kept)
    rotate(root, chosen, expires_at_0=f"{tomorrow:%Y-%m-%d}", expires_at_1=f"{tomorrow:%H:%M:%S}")

    assert kept.successor.expires_at == expires_at
    assert chosen.successor.expires_at == tomorrow.replace(microsecond=0)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"grace": ""}, "grace"),
        ({"grace": "60"}, "grace"),
        ({"grace": "-3600"}, "grace"),
        ({"grace": str(8 * DAY)}, "grace"),
        ({"grace": "0", "expires_at_0": "2020-01-01", "expires_at_1": "12:00:00"}, "expires_at"),
        ({"grace": "3600", "expires_at_0": "2020-01-01", "expires_at_1": "12:00:00"}, "expires_at"),
        ({"grace": "0", "expires_at_0": "9999-12-30", "expires_at_1": "12:00:00"}, "expires_at"),
        ({"grace": "0", "expires_at_0": "soon", "expires_at_1": "12:00:00"}, "expires_at"),
        ({"grace": "0", "expires_at_0": "2999-01-01", "expires_at_1": ""}, "expires_at"),
    ],
)
def test_error_is_at_its_field(root, rotate, data, field):
    api_key, _ = make_key()
    before = stored(api_key)

    response = rotate(root, api_key, **data)

    assert list(get_errors(response)) == [field]
    assert "raw-key" not in response.content.decode()
    if data.get("expires_at_0"):
        assert f'value="{data["expires_at_0"]}"' in response.content.decode()
    assert ApiKey.objects.values().get() == before
    assert not LogEntry.objects.exists()
    assert AuditEntry.objects.filter(event__startswith="api_key").count() == 1


@pytest.mark.parametrize("grace", [0, DAY])
@pytest.mark.parametrize("second", ["get", "post"])
def test_second_rotation_makes_no_second_key(root, rotate, page, grace, second):
    old, _ = make_key(name="Server")
    rotate(root, old, grace)
    before = list(ApiKey.objects.order_by("pk").values())

    response = rotate(root, old, grace) if second == "post" else root.get(page("apikey_rotate", old.pk))

    content = response.content.decode()
    assert response.status_code == HTTPStatus.CONFLICT
    assert "This key has already been rotated. No second key was created" in content
    assert page("apikey_change", old.successor.pk) in content
    assert "raw-key" not in content
    assert list(ApiKey.objects.order_by("pk").values()) == before
    assert LogEntry.objects.count() == 1


def test_page_of_a_rotated_key_says_how_the_old_one_ended(root, rotate, page):
    old, _ = make_key()
    rotate(root, old, DAY)
    ApiKey.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(days=1))

    content = root.get(page("apikey_rotate", old.pk)).content.decode()

    assert "expired" in content
    assert "works until" not in content


def test_rotation_at_the_same_time(root, rotate, monkeypatch):
    """Another request rotates the key after this one has read it."""
    old, _ = make_key()
    attempt = ApiKeyAdmin._rotate

    def attempt_late(self, *args, **kwargs):
        ApiKey.objects.get(pk=old.pk).rotate(grace=timedelta(hours=1))
        return attempt(self, *args, **kwargs)

    monkeypatch.setattr(ApiKeyAdmin, "_rotate", attempt_late)
    response = rotate(root, old)

    assert response.status_code == HTTPStatus.CONFLICT
    assert "No second key was created" in response.content.decode()
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize("method", ["get", "post"])
def test_inactive_key_is_not_rotated(root, rotate, page, method):
    revoked, _ = make_key()
    revoked.revoke()
    expired, _ = make_key(expires_at=timezone.now() - timedelta(days=1))
    user_key, _ = make_key("csu", user=UserFactory.create(is_active=False))

    for api_key in (revoked, expired, user_key):
        response = rotate(root, api_key) if method == "post" else root.get(page("apikey_rotate", api_key.pk))
        assert (response.status_code, response["Location"]) == (
            HTTPStatus.FOUND,
            page("apikey_change", api_key.pk),
        )
        assert messages(response)[-1] == "Only an active key can be rotated."
        assert page("apikey_rotate", api_key.pk) not in root.get(response["Location"]).content.decode()
    assert ApiKey.objects.count() == 3


def test_button_leads_to_the_page_and_keeps_the_filters(root, page):
    api_key, _ = make_key()
    filters = "?_changelist_filters=state%3Dactive"

    content = root.get(page("apikey_change", api_key.pk) + filters).content.decode()

    assert f'href="{page("apikey_rotate", api_key.pk)}{filters}"' in content
    content = root.get(page("apikey_rotate", api_key.pk) + filters).content.decode()
    assert f'href="{page("apikey_change", api_key.pk)}{filters}"' in content


def test_both_keys_lead_to_each_other(root, rotate, page):
    old, _ = make_key(name="Server")
    rotate(root, old, DAY)
    new = old.successor

    before, after = (root.get(page("apikey_change", api_key.pk)).content.decode() for api_key in (old, new))

    assert f'href="{page("apikey_change", new.pk)}"' in before
    assert "Active</span> (rotated)" in before
    assert page("apikey_rotate", old.pk) not in before
    assert f'href="{page("apikey_change", old.pk)}"' in after
    assert "(rotated)" not in after
    assert page("apikey_rotate", new.pk) in after
    assert root.get(page("apikey_changelist")).content.decode().count("Active</span> (rotated)") == 1


def test_key_whose_predecessor_is_gone(root, rotate, page):
    old, _ = make_key()
    rotate(root, old)
    new = old.successor
    ApiKey.objects.filter(pk=old.pk)._raw_delete("default")

    assert root.get(page("apikey_change", new.pk)).status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        (["view_apikey"], HTTPStatus.FORBIDDEN),
        (["view_apikey", "change_apikey", "delete_apikey"], HTTPStatus.FORBIDDEN),
        (["view_apikey", "add_apikey", "delete_apikey"], HTTPStatus.FORBIDDEN),
        (["change_organization", "view_organization"], HTTPStatus.FORBIDDEN),
        (["change_apikey", "add_apikey"], HTTPStatus.OK),
    ],
)
def test_rotation_needs_two_permissions(page, make_staff, rotate, permissions, status):
    client = make_staff(*permissions)
    api_key, _ = make_key()
    address = page("apikey_rotate", api_key.pk)
    change = client.get(page("apikey_change", api_key.pk))

    assert (address in change.content.decode()) == (status == HTTPStatus.OK)
    assert client.get(address).status_code == status
    assert rotate(client, api_key).status_code == status
    assert stored(api_key)["is_active"] == (status != HTTPStatus.OK)
    assert ApiKey.objects.count() == (2 if status == HTTPStatus.OK else 1)


def test_staff_are_not_limited(make_staff, rotate, settings):
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 30}
    old, _ = make_key()

    rotate(make_staff("change_apikey", "add_apikey"), old)

    assert (old.successor.permissions, old.successor.expires_at) == (None, None)


@pytest.mark.parametrize("name", ["00000000-0000-4000-8000-000000000000", "nothing"])
def test_rotation_of_no_key(root, page, name):
    assert root.get(page("apikey_rotate", name)).status_code == HTTPStatus.NOT_FOUND
    assert root.post(page("apikey_rotate", name), {"grace": "0"}).status_code == HTTPStatus.NOT_FOUND


def test_rotation_needs_a_csrf_token(make_staff, rotate):
    client = make_staff("change_apikey", "add_apikey", enforce_csrf_checks=True)
    api_key, _ = make_key()

    response = rotate(client, api_key)

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert "CSRF verification failed" in response.content.decode()
    assert stored(api_key)["is_active"]
    assert ApiKey.objects.count() == 1


def test_strangers_are_sent_to_the_login(db, client, rotate, page):
    api_key, _ = make_key()

    response = rotate(client, api_key)

    assert response.status_code == HTTPStatus.FOUND
    assert response["Location"].startswith("/admin/login/")
    assert stored(api_key)["is_active"]


@pytest.fixture
def canary(monkeypatch):
    """Return a list with the raw key of the next creation; the list keeps the key out of the frame of the test."""
    key = [generate_api_key("csb")]
    monkeypatch.setattr("closient_auth.models.api_keys.generate_api_key", lambda prefix: key[0])
    return key


def test_key_is_nowhere_else(root, rotate, page, canary, caplog):
    caplog.set_level("DEBUG")
    old, _ = make_key(name="Server")
    canary[:] = [generate_api_key("csb")]
    body = canary[0].split("_")[1]

    rotated = rotate(root, old, DAY)
    new = ApiKey.objects.get(rotated_from=old)
    pages = [page("apikey_changelist"), "/admin/"]
    pages += [page(f"apikey_{name}", key.pk) for name in ("change", "history", "rotate") for key in (old, new)]
    others = [rotate(root, old, DAY), *map(root.get, pages)]

    assert rotated.content.decode().count(body) == 1
    rows = [str(row) for model in apps.get_models() for row in model._default_manager.values()]
    sessions = [session.get_decoded() for session in Session.objects.all()]
    heads = [str(response.headers.items()) + str(response.cookies) for response in (rotated, *others)]
    told = [*rows, *heads, *(response.content.decode() for response in others), str(sessions), str(root.cookies)]
    assert any("Server" in text for text in told)
    assert [text for text in [*told, caplog.text] if body in text] == []


@pytest.mark.parametrize("table", ["closient_auth_apikey", "closient_auth_auditentry", "django_admin_log"])
def test_failure_shows_no_raw_key(root, rotate, canary, table):
    old, _ = make_key()
    before = stored(old)
    canary[:] = [generate_api_key("csb")]

    def fail(execute, sql, params, many, context):
        if sql.translate(str.maketrans("", "", '"`')).startswith(f"INSERT INTO {table}"):
            raise OperationalError("The database is away.")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail), pytest.raises(OperationalError) as caught:
        rotate(root, old)

    frames = list(read_frames(caught.value))
    assert len(frames) > 10
    assert not [text for text in frames if canary[0][4:36] in text]
    assert ApiKey.objects.values().get() == before


def test_rotation_beside_a_replica(root, rotate, page, replica):
    old, _ = make_key(name="Server")
    replica("closient_auth")

    assert root.get(page("apikey_rotate", old.pk)).status_code == HTTPStatus.OK
    assert "raw-key" in rotate(root, old).content.decode()
    assert rotate(root, old).status_code == HTTPStatus.CONFLICT


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("permissions", '["catalogue.publish"]', "“catalogue.publish” is not a known permission."),
        ("allowed_networks", '["anywhere"]', "“anywhere” is not a network"),
        ("allowed_origins", '["https://a.example"]', "Only publishable keys can have allowed origins."),
    ],
)
@pytest.mark.parametrize("grace", [0, DAY])
def test_key_with_a_row_that_does_not_validate(root, rotate, field, value, message, grace):
    api_key, _ = make_key(name="Server")
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE closient_auth_apikey SET {field} = %s WHERE hashed_key = %s", [value, api_key.hashed_key]
        )
    before = stored(api_key)

    response = rotate(root, api_key, grace)

    errors = get_errors(response)
    assert list(errors) == ["__all__"]
    assert message in errors["__all__"][0]
    assert message in response.content.decode()
    assert stored(api_key) == before
    assert not ApiKey.objects.filter(rotated_from=api_key).exists()
    assert not LogEntry.objects.exists()
