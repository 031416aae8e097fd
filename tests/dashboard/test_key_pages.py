"""The pages of one key: usage, details, activity, rotation and revocation."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.keys import hash_api_key
from closient_auth.limits.windows import StoreUnavailable, Window
from closient_auth.models import ApiKey, AuditEntry
from tests.dashboard.pages import change, find_secret, get_fields, is_in, use
from tests.factories import make_key

pytestmark = pytest.mark.django_db

LIST = "/settings/o/acme/keys/"
DAY = timedelta(days=1)


@pytest.fixture
def api_key(acme, people):
    api_key, _ = make_key(organization=acme, name="Warehouse", description="Counts.", created_by=people["manager"])
    return api_key


@pytest.fixture
def page(api_key):
    return f"{LIST}{api_key.pk}/"


def save(client, page, **values):
    """Save the form of a page with other values."""
    return client.post(page, get_fields(client.get(page)) | values)


# What the page shows


def test_the_page_shows_the_key(owner, api_key, page):
    text = owner.get(page).text

    assert re.search(r"<h1>Warehouse <span class=\"ca-badge ca-good\">Active</span>\s*</h1>", text)
    assert f"<code>csb_{api_key.hint}…</code> · Business · created by the-manager on <time " in text
    assert "<p>Counts.</p>" in text
    assert f'href="{page}rotate/"' in text
    assert f'href="{page}revoke/"' in text
    assert api_key.hashed_key not in text


def test_a_key_without_a_name_or_a_maker(owner, acme):
    api_key, _ = make_key("cpk", organization=acme)
    text = owner.get(f"{LIST}{api_key.pk}/").text

    assert "<h1>No name " in text
    assert "· created on <time" in text
    assert "Safe in web pages" in text
    # All that a publishable key may do is to read.
    assert 'name="access"' not in text
    assert 'name="allowed_origins"' in text
    save(owner, f"{LIST}{api_key.pk}/", name="Widget", allowed_origins="https://www.example.com")
    api_key.refresh_from_db()
    assert (api_key.name, api_key.permissions) == ("Widget", None)
    assert api_key.allowed_origins == ["https://www.example.com"]


def test_texts_of_members_are_escaped(owner, api_key, page):
    change(api_key, name="<script>alert(1)</script>", description="<img src=x>")
    for path in (LIST, page, f"{page}rotate/", f"{page}revoke/"):
        text = owner.get(path).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "&lt;script&gt;" in text


def test_the_page_reads_the_limits_without_counting(owner, api_key, page, call):
    change(api_key, rate_limit_per_minute=50)
    _, raw_key = api_key.rotate(grace=DAY)
    call("/who/", raw_key)
    call("/who/", raw_key)
    owner.get(page)
    text = owner.get(page).text

    assert '2 of 50<meter min="0" max="50" value="2" aria-label="This minute">' in text
    assert '2 of 10,000<meter min="0" max="10000" value="2" aria-label="Today">' in text


def test_limits_that_are_unknown_or_unlimited(owner, page, settings, monkeypatch):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 0}
    text = owner.get(page).text
    assert "<dt>Limits</dt><dd>None</dd>" in text

    def fail(*args):
        raise StoreUnavailable

    monkeypatch.setattr("closient_auth.dashboard.usage.read_windows", fail)
    text = owner.get(page).text
    assert "<dt>Limits</dt><dd>Not available now</dd>" in text
    assert "<meter" not in text


def test_the_usage_of_30_days(owner, api_key, page):
    now = datetime.now(UTC)
    use(api_key, now, 1100, 7)
    use(api_key, now - 3 * DAY, 200)
    use(api_key, now - 40 * DAY, 50, 5)
    text = owner.get(page).text

    busiest = f"{now:%B} {now.day}"
    assert f"1,300 requests, 7 refused by a limit. Highest: 1,107 ({busiest})." in text
    assert "<dt>Refused by a limit, 30 days</dt><dd>7</dd>" in text
    assert text.count("<rect") == 3
    assert text.count('<tr><th scope="row">') == 30
    assert f'<th scope="row">{busiest}</th><td class="ca-number" data-label="Requests">1,100</td>' in text


@pytest.mark.parametrize(
    ("name", "bars", "requests"), [("24h", 24, 10), ("7d", 7, 110), ("90d", 90, 1110), ("x", 30, 110)]
)
def test_other_ranges(owner, api_key, page, name, bars, requests):
    now = datetime.now(UTC)
    use(api_key, now, 10)
    use(api_key, now - 5 * DAY, 100)
    use(api_key, now - 80 * DAY, 1000, 2)
    response = owner.get(page, {"range": name})

    assert len(response.context["plot"].bars) == bars
    assert response.context["plot"].requests == requests
    # This number is always that of 30 days.
    assert "<dt>Refused by a limit, 30 days</dt><dd>0</dd>" in response.text
    assert response.text.count('aria-current="true"') == 1 + 1


def test_a_key_without_requests(owner, page):
    text = owner.get(page).text

    assert "No requests." in text
    assert "<rect" not in text


def test_activity(owner, api_key, page, people):
    for number in range(6):
        api_key.change(name=f"Name {number}", by=people["manager"])
    make_key(organization=api_key.organization)
    text = owner.get(page).text

    assert text.count("<b>the-manager</b> changed the key") == 5
    assert "created the key" not in text
    assert f'href="/settings/o/acme/audit/?target={api_key.pk}"' in text


def test_activity_is_part_of_the_audit_log(sign_in, api_key, page, monkeypatch, people, settings):
    client = sign_in(people["manager"])
    assert "Activity" in client.get(page).text
    monkeypatch.setattr(
        "closient_auth.core.access.Access.allows", lambda self, name: name == "organization.manage_api_keys"
    )
    assert "Activity" not in client.get(page).text


# Changing a key


def test_changes(owner, api_key, page, people):
    other, _ = make_key(organization=api_key.organization, name="Other")
    response = save(
        owner,
        page,
        name="Store",
        description="",
        expires_at="30",
        rate_limit_per_minute="5",
        rate_limit_per_day="50",
        access="only",
        permissions=["organization.view_organization"],
        allowed_networks="203.0.113.7",
    )
    assert (response.status_code, response["Location"]) == (302, page)
    api_key.refresh_from_db()

    assert (api_key.name, api_key.description) == ("Store", "")
    assert (api_key.rate_limit_per_minute, api_key.rate_limit_per_day) == (5, 50)
    assert api_key.permissions == ["organization.view_organization"]
    assert api_key.allowed_networks == ["203.0.113.7/32"]
    assert is_in(api_key, 30 * DAY)
    assert AuditEntry.objects.get(event="api_key_changed").user == people["owner"]
    assert "The changes are saved." in owner.get(page).text
    other.refresh_from_db()
    assert (other.name, other.permissions) == ("Other", None)

    save(owner, page, access="all", allowed_networks="", rate_limit_per_minute="", expires_at="never")
    api_key.refresh_from_db()
    assert (api_key.permissions, api_key.allowed_networks, api_key.rate_limit_per_minute) == (None, [], 0)
    assert api_key.expires_at is None


def test_saving_without_a_change_changes_nothing(owner, api_key, page):
    change(
        api_key,
        expires_at=timezone.now() + 3 * DAY,
        rate_limit_per_minute=7,
        permissions=["organization.view_organization", "organization.manage_billing"],
        allowed_networks=["203.0.113.0/24", "2001:db8::/32"],
    )
    before = ApiKey.objects.values().get()

    assert save(owner, page).status_code == 302
    assert ApiKey.objects.values().get() == before
    assert not AuditEntry.objects.filter(event="api_key_changed").exists()


def test_an_old_page_does_not_undo_what_somebody_else_restricts(owner, api_key, page):
    change(
        api_key,
        rate_limit_per_minute=100,
        permissions=["organization.view_organization", "organization.manage_billing"],
    )
    data = get_fields(owner.get(page))
    api_key.change(
        rate_limit_per_minute=5,
        permissions=["organization.view_organization"],
        allowed_networks=["203.0.113.0/24"],
        expires_at=timezone.now() + DAY,
        description="Restricted.",
    )
    owner.post(page, data | {"name": "Store"})
    now = ApiKey.objects.get()

    assert (now.name, now.description) == ("Store", "Restricted.")
    assert (now.rate_limit_per_minute, now.allowed_networks) == (5, ["203.0.113.0/24"])
    assert now.permissions == ["organization.view_organization"]
    assert now.expires_at == api_key.expires_at


def test_errors_keep_the_key_as_it_is(owner, api_key, page):
    response = save(owner, page, name="Store", allowed_networks="nowhere")

    assert response.status_code == 200
    assert '<a href="#id_allowed_networks">Networks</a>: “nowhere” is not a network' in response.text
    # The heading is that of the stored key, and the form keeps what was entered.
    assert "<h1>Warehouse " in response.text
    assert 'value="Store"' in response.text
    api_key.refresh_from_db()
    assert (api_key.name, api_key.allowed_networks) == ("Warehouse", [])


def test_a_key_that_may_do_more_than_the_user(sign_in, people, api_key, page):
    change(api_key, permissions=["organization.view_organization", "organization.delete_organization"])
    client = sign_in(people["manager"])
    text = client.get(page).text
    assert "it loses: Edit and delete the organization." in re.sub(r"\s+", " ", text)

    # A new name takes nothing away.
    save(client, page, name="Store")
    api_key.refresh_from_db()
    assert (api_key.name, len(api_key.permissions)) == ("Store", 2)

    both = ["organization.delete_organization", "organization.manage_billing"]
    response = save(client, page, permissions=both)
    assert "You may not do this yourself: Edit and delete the organization." in response.text
    api_key.refresh_from_db()
    assert len(api_key.permissions) == 2

    save(client, page, rate_limit_per_day="9")
    api_key.refresh_from_db()
    assert api_key.permissions == ["organization.view_organization"]


def test_the_owner_loses_nothing(owner, page):
    assert "it loses:" not in owner.get(page).text


def test_a_key_that_may_do_nothing(owner, api_key, page):
    change(api_key, permissions=[])
    text = owner.get(page).text
    assert re.search(r'value="nothing"[^>]* checked', text)
    save(owner, page, rate_limit_per_day="9")
    api_key.refresh_from_db()
    assert (api_key.permissions, api_key.rate_limit_per_day) == ([], 9)

    # A box is enough only with the choice for it.
    save(owner, page, access="only", permissions=["organization.view_organization"])
    api_key.refresh_from_db()
    assert api_key.permissions == ["organization.view_organization"]


@pytest.mark.parametrize("value", [["reports.read"], "organization.view_organization", {"a": 1}])
def test_a_key_with_unknown_permissions_can_be_renamed_and_corrected(owner, api_key, page, value):
    change(api_key, permissions=value)
    assert "(unknown)" in owner.get(page).text
    save(owner, page, name="Store")
    api_key.refresh_from_db()
    assert (api_key.name, api_key.permissions) == ("Store", value)

    save(owner, page, access="all")
    api_key.refresh_from_db()
    assert api_key.permissions is None


def test_origins_that_another_program_wrote_can_be_removed(owner, api_key, page):
    change(api_key, allowed_origins=["https://www.example.com"])
    save(owner, page, allowed_origins="")
    api_key.refresh_from_db()

    assert api_key.allowed_origins == []


def test_permissions_that_another_program_gave_a_publishable_key_can_be_removed(owner, acme):
    api_key, _ = make_key("cpk", organization=acme, permissions=[])
    save(owner, f"{LIST}{api_key.pk}/", access="all")
    api_key.refresh_from_db()

    assert api_key.permissions is None


# Rotation


def test_a_rotation_with_a_grace_period(owner, api_key, page, people):
    other, _ = make_key(organization=api_key.organization)
    text = owner.get(f"{page}rotate/").text
    assert re.search(r'name="grace" value="86400"[^>]* checked', text)
    assert '<option value="keep" selected>Never (as now)</option>' in text
    response = owner.post(f"{page}rotate/", {"grace": "3600", "expires_at": "keep"})
    successor = ApiKey.objects.get(rotated_from=api_key)
    api_key.refresh_from_db()

    assert response.status_code == 200
    assert hash_api_key(find_secret(response)) == successor.hashed_key
    assert "Warehouse has a new key" in response.text
    assert is_in(api_key, timedelta(hours=1))
    assert successor.expires_at is None
    assert successor.created_by == people["owner"]
    assert re.search(rf"The old key <code>csb_{api_key.hint}…</code> stops working on <time", response.text)
    assert f'<a href="{page}revoke/">End it now</a>' in response.text
    other.refresh_from_db()
    assert (other.is_active, other.expires_at) == (True, None)

    assert f'href="/settings/o/acme/keys/{successor.pk}/">replaced by a newer key' in owner.get(page).text
    assert f'href="{page}">replaces an older key' in owner.get(f"{LIST}{successor.pk}/").text


def test_the_plot_of_a_successor_counts_its_family(owner, api_key):
    use(api_key, timezone.now(), 41)
    successor, _ = api_key.rotate()
    pages = [owner.get(f"/settings/o/acme/keys/{key.pk}/").text for key in (api_key, successor)]

    assert ["41 requests" in page for page in pages] == [True, True]
    assert ["With the requests of the keys that this one replaced." in page for page in pages] == [False, True]


def test_a_rotation_of_a_leaked_key(owner, api_key, page):
    response = owner.post(f"{page}rotate/", {"grace": "0", "expires_at": "30"})
    api_key.refresh_from_db()

    assert not api_key.is_active
    assert "does not work any more." in response.text
    assert "End it now" not in response.text
    assert is_in(api_key.successor, 30 * DAY)


def test_a_key_that_expires_gets_a_successor_with_the_usual_lifetime(owner, api_key, page):
    change(api_key, expires_at=timezone.now() + 3 * DAY)
    text = owner.get(f"{page}rotate/").text

    assert '<option value="90" selected>In 90 days</option>' in text
    assert "(as now)" in text


def test_a_rotation_that_is_sent_twice_makes_one_key(owner, api_key, page):
    for grace in ("3600", "0"):
        first, second = (owner.post(f"{page}rotate/", {"grace": grace}) for _ in range(2))
        assert (first.status_code, second.status_code) == (200, 409)
        assert "This key was rotated already" in second.text
        assert find_secret(first) not in second.text
        successor = ApiKey.objects.get(rotated_from=api_key)
        assert f'action="/settings/o/acme/keys/{successor.pk}/rotate/"' in second.text
        page, api_key = f"{LIST}{successor.pk}/", successor
    assert ApiKey.objects.count() == 3


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "This field is required."),
        ({"grace": "5"}, "5 is not one of the available choices."),
        ({"grace": "0", "expires_at": "custom"}, "Choose a date."),
        ({"grace": "0", "expires_at": "custom", "expires_on": "2020-01-01"}, "Choose a time in the future"),
    ],
)
def test_a_wrong_rotation_changes_nothing(owner, api_key, page, data, text):
    response = owner.post(f"{page}rotate/", data)

    assert text in response.text
    assert ApiKey.objects.get().is_active


def test_only_active_keys_are_rotated_once(owner, api_key, page):
    api_key.rotate(grace=DAY)
    response = owner.get(f"{page}rotate/", follow=True)
    assert response.redirect_chain == [(page, 302)]
    assert "This key has already been rotated." in response.text
    assert f'href="{page}rotate/"' not in response.text

    revoked, _ = make_key(organization=api_key.organization)
    revoked.revoke()
    page = f"{LIST}{revoked.pk}/"
    assert "Only an active key can be rotated." in owner.get(f"{page}rotate/", follow=True).text
    response = owner.post(f"{page}rotate/", {"grace": "0"})
    assert (response.status_code, "Only an active key can be rotated." in response.text) == (200, True)
    assert not ApiKey.objects.filter(rotated_from=revoked).exists()


def test_in_the_grace_period_the_pages_say_whether_the_old_key_is_used(owner, api_key, page):
    change(api_key, last_used=timezone.now())
    _, raw_key = api_key.rotate(grace=DAY)
    text = owner.get(page).text
    assert "nobody has used it since" in text
    assert "Not since it was replaced" in owner.get(LIST).text

    change(api_key, last_used=timezone.now() + timedelta(seconds=1))
    assert "something still uses it" in owner.get(page).text
    assert "Still being used" in owner.get(LIST).text

    api_key.revoke()
    assert "something still uses it" not in owner.get(page).text


def test_the_settings_keep_two_old_keys_from_living_on(owner, settings, api_key, page):
    successor, _ = api_key.rotate(grace=DAY)
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 5}
    response = owner.post(f"{LIST}{successor.pk}/rotate/", {"grace": "3600"})

    assert "The key before this one still works." in response.text
    assert not ApiKey.objects.filter(rotated_from=successor).exists()


# Revocation


def test_revoking(owner, api_key, page, people):
    other, _ = make_key(organization=api_key.organization)
    text = owner.get(f"{page}revoke/").text
    assert "You cannot undo this." in text
    assert "never used" in text
    assert "is_known" not in text
    response = owner.post(f"{page}revoke/", follow=True)

    assert response.redirect_chain == [(LIST, 302)]
    assert f"The key csb_{api_key.hint}… Warehouse is revoked." in response.text
    api_key.refresh_from_db()
    other.refresh_from_db()
    assert (api_key.is_active, other.is_active) == (False, True)
    assert AuditEntry.objects.get(event="api_key_revoked").user == people["owner"]
    assert f'href="{page}revoke/"' not in owner.get(page).text
    # Opening the page once more changes nothing.
    assert owner.get(f"{page}revoke/", follow=True).redirect_chain == [(LIST, 302)]
    assert AuditEntry.objects.filter(event="api_key_revoked").count() == 1


def test_a_revoked_key_keeps_all_but_its_name_and_description(owner, api_key, page, people):
    assert "Revoking is final" not in owner.get(page).text
    old = get_fields(owner.get(page))
    api_key.revoke(by=people["manager"])
    response = owner.get(page)

    assert list(response.context["form"].fields) == ["name", "description"]
    assert not re.search(r'name="(expires|rate_limit|access|permissions|allowed)', response.text)
    assert re.search(
        r"<p>the-manager revoked this key on <time [^>]*>[^<]*</time>\. Revoking is final: this key never works again\.</p>",
        response.text,
    )
    # Of the form of an older page as well.
    owner.post(page, old | {"name": "Leaked", "description": "Why", "expires_at": "7", "rate_limit_per_day": "5"})
    api_key.refresh_from_db()
    assert (api_key.name, api_key.description, api_key.is_active) == ("Leaked", "Why", False)
    assert (api_key.expires_at, api_key.rate_limit_per_day) == (None, 0)


def test_who_revoked_a_key_is_part_of_the_audit_log(sign_in, api_key, page, people, monkeypatch):
    api_key.revoke(by=people["owner"])
    client = sign_in(people["manager"])
    with CaptureQueriesContext(connection) as queries:
        assert "the-owner revoked this key on" in client.get(page).text
    assert sum("closient_auth_auditentry" in query["sql"] for query in queries) == 1
    with monkeypatch.context() as patch:
        patch.setattr(
            "closient_auth.core.access.Access.allows", lambda self, name: name == "organization.manage_api_keys"
        )
        text = client.get(page).text
        assert ("Revoking is final" in text, "revoked this key on" in text) == (True, False)

    for number in range(5):
        api_key.change(name=f"Name {number}")
    text = client.get(page).text
    assert ("Revoking is final" in text, "revoked this key on" in text) == (True, False)


def test_revoking_a_key_that_is_in_use_needs_a_check(owner, api_key, page):
    change(api_key, last_used=timezone.now() - timedelta(hours=23))
    assert "This key was used within the last day" in owner.get(f"{page}revoke/").text
    response = owner.post(f"{page}revoke/")
    assert "Check this to revoke a key that is in use." in response.text
    api_key.refresh_from_db()
    assert api_key.is_active

    assert owner.post(f"{page}revoke/", {"is_known": "on"}).status_code == 302
    api_key.refresh_from_db()
    assert not api_key.is_active


def test_revoking_is_not_limited(owner, acme, monkeypatch):
    monkeypatch.setattr("closient_auth.dashboard.frame.CHANGE_WINDOWS", (Window(1, 86_400),))
    keys = [make_key(organization=acme)[0] for _ in range(3)]
    for api_key in keys:
        owner.post(f"{LIST}{api_key.pk}/revoke/")

    assert not ApiKey.objects.filter(is_active=True).exists()


def test_rotating_and_changing_are_limited(owner, api_key, page, monkeypatch):
    monkeypatch.setattr("closient_auth.dashboard.frame.CHANGE_WINDOWS", (Window(2, 86_400),))
    data = get_fields(owner.get(page))
    for number in range(2):
        owner.post(page, data | {"name": f"Name {number}"})
    for path in (page, f"{page}rotate/"):
        assert "Too many changes." in owner.post(path, data | {"name": "Last", "grace": "0"}).text
    api_key.refresh_from_db()
    assert (api_key.name, api_key.is_active) == ("Name 1", True)


# A leaked key


def test_a_leaked_key_is_found_without_the_csrf_middleware(settings, acme, people):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])
    raw_key = make_key(organization=acme, name="Leaked")[1]
    client.get(f"{LIST}leaked/")
    token = client.cookies["csrftoken"].value

    assert client.post(f"{LIST}leaked/", {"api_key": raw_key}).status_code == 403
    assert ">Leaked<" in client.post(f"{LIST}leaked/", {"api_key": raw_key, "csrfmiddlewaretoken": token}).text


@pytest.mark.parametrize("text", ["{}", "GET /stock X-API-Key: {} 200"])
def test_a_leaked_key_is_found(owner, acme, text):
    api_key, raw_key = make_key(organization=acme, name="Warehouse")
    change(api_key, last_used=timezone.now())
    response = owner.post(f"{LIST}leaked/", {"api_key": text.format(raw_key)})

    assert "This key works" in response.text
    assert "Warehouse" in response.text
    assert f'action="{LIST}{api_key.pk}/revoke/"' in response.text
    assert raw_key not in response.text
    assert raw_key not in str(dict(owner.session))
    # The button of the panel, which needs no other check.
    owner.post(f"{LIST}{api_key.pk}/revoke/", {"is_known": "on"})
    api_key.refresh_from_db()
    assert not api_key.is_active

    response = owner.post(f"{LIST}leaked/", {"api_key": raw_key})
    assert "This key does not work any more" in response.text
    assert "Revoke now" not in response.text


def test_a_key_of_others_is_not_found(owner, people):
    foreign, own = make_key(name="Foreign")[1], make_key("csu", user=people["owner"], name="Mine")[1]
    unknown = ApiKey.objects.create_key(prefix="csu", user=people["owner"])
    unknown[0].delete()
    pages = [owner.post(f"{LIST}leaked/", {"api_key": raw_key}).text for raw_key in (foreign, own, unknown[1])]

    for text in pages:
        assert "This is none of the keys here." in text
        assert "Foreign" not in text
        assert "Mine" not in text
    assert "Mine" in owner.post("/settings/keys/leaked/", {"api_key": own}).text
    assert "This is none of the keys here." in owner.post("/settings/keys/leaked/", {"api_key": foreign}).text


@pytest.mark.parametrize(
    ("text", "error"), [("", "This field is required."), ("csb_nothing", "This is not an API key.")]
)
def test_no_key_is_an_error(owner, text, error):
    assert error in owner.post(f"{LIST}leaked/", {"api_key": text}).text


def test_several_keys_are_an_error(owner):
    two = f"{make_key()[1]} {make_key()[1]}"
    text = owner.post(f"{LIST}leaked/", {"api_key": two}).text

    assert "This text contains several API keys." in text
    assert two not in text


# All pages


def test_templates_use_no_unknown_names(owner, people, acme, api_key, page, settings):
    settings.TEMPLATES = [
        {**template, "OPTIONS": {**template.get("OPTIONS", {}), "string_if_invalid": "UNKNOWN %s"}}
        for template in settings.TEMPLATES
    ]
    use(api_key, datetime.now(UTC), 5, 2)
    make_key("cpk", organization=acme, name="Widget")
    make_key("csu", user=people["owner"], name="Script")
    shown = [f"{LIST}?q=zzz", LIST, page, f"{page}rotate/", f"{page}revoke/", f"{LIST}new/", f"{LIST}leaked/"]
    shown += ["/settings/o/acme/usage/", "/settings/o/acme/user-keys/", "/settings/keys/", "/settings/keys/new/"]
    responses = {path: owner.get(path) for path in shown}
    responses["created"] = owner.post(f"{LIST}new/", {"name": "New", "type": "csb", "nonce": "n"})
    responses["again"] = owner.post(f"{LIST}new/", {"name": "New", "type": "csb", "nonce": "n"})
    responses["rotated"] = owner.post(f"{page}rotate/", {"grace": "3600"})
    revoked, _ = make_key(organization=acme)
    revoked.revoke()
    responses["revoked"] = owner.get(f"{LIST}{revoked.pk}/")
    responses["error"] = owner.post(f"{page}rotate/", {"grace": "1"})

    found = {name: re.findall(r"UNKNOWN \w*", response.text) for name, response in responses.items()}
    assert found == dict.fromkeys(found, [])


def test_unknown_keys_are_not_found(owner):
    other, _ = make_key(name="Foreign")
    personal, _ = make_key("csu")
    for pk in (other.pk, personal.pk, "00000000-0000-0000-0000-000000000000", "nonsense"):
        for page in ("", "rotate/", "revoke/"):
            for send in (owner.get, owner.post):
                assert send(f"{LIST}{pk}/{page}").status_code == 404
    other.refresh_from_db()
    assert other.is_active


@pytest.mark.parametrize("role", ["owner", "manager", "billing", "editor", "superuser", "outsider"])
def test_roles(sign_in, people, outsider, api_key, page, role, django_user_model):
    root = django_user_model.objects.create(username="root", is_superuser=True)
    client = sign_in({**people, "outsider": outsider, "superuser": root}[role])
    expected = 404 if role == "outsider" else 200 if role in {"owner", "manager", "superuser"} else 403
    get = ["", "new/", "leaked/", f"{api_key.pk}/", f"{api_key.pk}/rotate/", f"{api_key.pk}/revoke/"]
    found = {path: client.get(f"{LIST}{path}").status_code for path in get}
    found |= {path: client.get(f"/settings/o/acme/{path}").status_code for path in ("usage/", "user-keys/")}
    assert found == dict.fromkeys(found, expected)

    posts = {"new/": {"name": "New"}, f"{api_key.pk}/": {"name": "Other"}, f"{api_key.pk}/rotate/": {"grace": "3600"}}
    posts |= {"leaked/": {"api_key": "x"}}
    found = {path: client.post(f"{LIST}{path}", {"type": "csb"} | data).status_code for path, data in posts.items()}
    found["user-keys"] = client.post("/settings/o/acme/user-keys/", {"access": "refuse"}).status_code
    allowed = {"new/": 200, f"{api_key.pk}/": 302, f"{api_key.pk}/rotate/": 200, "leaked/": 200, "user-keys": 302}
    assert found == (allowed if expected == 200 else dict.fromkeys(found, expected))
    assert ApiKey.objects.count() == (3 if expected == 200 else 1)
    assert client.post(f"{page}revoke/").status_code == (302 if expected == 200 else expected)
    api_key.refresh_from_db()
    api_key.organization.refresh_from_db()
    assert (api_key.name, api_key.is_active) == (("Other", False) if expected == 200 else ("Warehouse", True))
    assert api_key.organization.user_keys_allowed is (expected != 200)


def test_a_suspended_organization_changes_no_keys(owner, acme, api_key, page):
    acme.suspend()
    for path in (LIST, page, f"{page}rotate/"):
        assert owner.get(path).status_code == 403
    assert owner.post(f"{page}revoke/").status_code == 403
    api_key.refresh_from_db()
    assert api_key.is_active


def test_forms_need_their_token(people, api_key, page):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])
    for path in (f"{LIST}new/", page, f"{page}rotate/", f"{page}revoke/", f"{LIST}leaked/"):
        assert client.post(path, {"grace": "0", "name": "New"}).status_code == 403
    assert ApiKey.objects.get().is_active


def test_the_pages_read_the_primary_database(owner, api_key, page, replica, settings):
    # The usage may be read from a replica.
    settings.CLOSIENT_AUTH = {"USAGE_HISTORY": False}
    replica("closient_auth")

    for path in (LIST, page, f"{page}rotate/", f"{page}revoke/"):
        assert owner.get(path).status_code == 200


def test_the_page_of_a_key_takes_as_many_queries_with_a_long_history(owner, api_key, page):
    owner.get(page)
    with CaptureQueriesContext(connection) as one:
        owner.get(page)
    for number in range(50):
        use(api_key, datetime.now(UTC) - number * timedelta(hours=1), 10)
        api_key.change(name=f"Name {number}")
    with CaptureQueriesContext(connection) as many:
        owner.get(page)

    assert len(many) == len(one)


def test_without_use_tz(owner, settings, acme):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    data = get_fields(owner.get(f"{LIST}new/")) | {"name": "Server", "expires_at": "custom", "expires_on": "2030-07-01"}
    assert owner.post(f"{LIST}new/", data).status_code == 200
    api_key = ApiKey.objects.get()

    assert api_key.expires_at == datetime(2030, 7, 1, 23, 59, 59)
    for path in (LIST, f"{LIST}{api_key.pk}/", f"{LIST}{api_key.pk}/?range=24h", "/settings/o/acme/usage/"):
        assert owner.get(path).status_code == 200
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 10}
    last = (datetime.now() + 10 * DAY).date()
    data = get_fields(owner.get(f"{LIST}new/")) | {"name": "Last", "expires_at": "custom", "expires_on": last}
    assert owner.post(f"{LIST}new/", data).status_code == 200
    expires_at = ApiKey.objects.get(name="Last").expires_at
    assert expires_at is not None
    assert expires_at.date() == last
