"""The list of keys, a new key, and the key itself, which only one response shows."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.cache import cache
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from closient_auth.dashboard.badges import get_badge
from closient_auth.keys import hash_api_key
from closient_auth.limits.windows import Window
from closient_auth.models import ApiKey, AuditEntry
from closient_auth.models.api_keys import ApiKeyQuerySet
from tests.dashboard.pages import change, create, find_secret, get_fields, get_names, is_in, use
from tests.factories import UserFactory, make_key

pytestmark = pytest.mark.django_db

LIST, NEW = "/settings/o/acme/keys/", "/settings/o/acme/keys/new/"
DAY = timedelta(days=1)


# The list


def test_the_list_shows_what_a_key_is_and_does(owner, acme):
    api_key, raw_key = make_key(organization=acme, name="Warehouse")
    change(api_key, last_used=timezone.now() - timedelta(minutes=5))
    make_key("cpk", organization=acme, name="Widget")
    page = owner.get(LIST).text

    assert get_names(page) == ["Warehouse", "Widget"]
    assert f"csb_{api_key.hint}…" in page
    assert raw_key[8:] not in page
    assert re.search(r'<td class="ca-nowrap" data-label="Last used"><time [^>]*>5 minutes ago</time>', page)
    assert page.count("Safe in web pages: can only read what was opened for it.") == 1
    assert f'href="/settings/o/acme/keys/{api_key.pk}/"' in page
    assert "2 keys never expire" in page


def test_the_list_has_the_keys_of_the_organization_alone(owner, acme, people):
    make_key(name="Foreign")
    make_key("csu", user=people["owner"], name="Personal")

    page = owner.get(LIST).text
    assert "Foreign" not in page
    assert "Personal" not in page
    assert "No keys yet" in page


def test_without_keys_the_list_leads_to_the_first(owner, settings):
    settings.CLOSIENT_AUTH = {"DASHBOARD_DOCS_URL": "https://docs.example.com/"}
    page = owner.get(LIST).text

    assert f'href="{NEW}"' in page
    assert 'href="https://docs.example.com/"' in page
    assert "Clear the filters" not in page


def test_badges(acme, people):
    now = timezone.now()

    def badge(*, key=None, **values):
        api_key = change(key or make_key(organization=acme)[0], **values)
        return get_badge(ApiKey.objects.with_holders().select_related("successor").get(pk=api_key.pk), now)

    assert badge() == ("good", "Active")
    assert badge(expires_at=now + 14 * DAY) == ("warn", "Expires in 14 days")
    assert badge(expires_at=now + 1.4 * DAY) == ("warn", "Expires in 1 day")
    assert badge(expires_at=now + timedelta(hours=3)) == ("warn", "Expires in 3\xa0hours")
    assert badge(expires_at=now + 15 * DAY) == ("good", "Active")
    assert badge(expires_at=now) == ("off", "Expired")
    assert badge(is_active=False, expires_at=now) == ("bad", "Revoked")
    assert badge(created_at=now - 7 * DAY) == ("off", "Never used")
    assert badge(created_at=now - 7 * DAY, last_used=now) == ("good", "Active")
    old, _ = make_key(organization=acme)
    old.rotate(grace=timedelta(hours=22))
    assert badge(key=old, expires_at=now + timedelta(hours=22)) == ("warn", "Replaced, ends in 22\xa0hours")
    user = UserFactory.create(is_active=False)
    assert badge(key=make_key("csu", user=user)[0]) == ("off", "User inactive")


def test_a_replaced_key_whose_successor_was_made_by_hand_has_no_end(acme):
    old, _ = make_key(organization=acme)
    make_key(organization=acme, rotated_from=old)

    assert get_badge(ApiKey.objects.get(pk=old.pk), timezone.now()) == ("good", "Active")


@pytest.fixture
def several(acme):
    now = timezone.now()
    keys = {name: make_key(organization=acme, name=name)[0] for name in ("Zebra", "ant", "Bee", "Gone", "Late")}
    change(keys["Zebra"], last_used=now - 91 * DAY, created_at=now - 200 * DAY)
    change(keys["ant"], last_used=now - DAY, expires_at=now + 400 * DAY, created_at=now - 3 * DAY)
    change(keys["Bee"], expires_at=now + 13 * DAY, created_at=now - 91 * DAY)
    change(keys["Late"], expires_at=now - DAY)
    keys["Gone"].revoke()
    make_key("cpk", organization=acme, name="Widget", expires_at=now + 500 * DAY)
    return keys


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["ant", "Zebra", "Widget", "Bee"]),
        ("sort=name", ["ant", "Bee", "Widget", "Zebra"]),
        ("sort=expiry", ["Bee", "ant", "Widget", "Zebra"]),
        ("sort=newest", ["Widget", "ant", "Bee", "Zebra"]),
        ("state=unused&sort=name", ["Bee", "Zebra"]),
        ("state=expiring", ["Bee"]),
        ("state=unending", ["Zebra"]),
        ("state=expired", ["Late"]),
        ("state=revoked", ["Gone"]),
        ("state=any&sort=name", ["ant", "Bee", "Gone", "Late", "Widget", "Zebra"]),
        ("type=cpk", ["Widget"]),
        ("q=EB", ["Zebra"]),
        ("q=nothing", []),
        ("state=any&q=e&type=csb&sort=name", ["Bee", "Gone", "Late", "Zebra"]),
    ],
)
def test_filters(owner, several, query, names):
    ApiKey.objects.update(hint="0000")
    page = owner.get(f"{LIST}?{query}").text

    assert get_names(page) == names
    assert ("No key matches" in page) is (not names)


@pytest.mark.parametrize("text", ["{hint}", "csb_{hint}", "csb_{hint}…", "{hint[0]}{hint[1]}"])
def test_search_by_the_first_characters(owner, several, text):
    ApiKey.objects.update(hint="0000")
    change(several["Bee"], hint="Qx7z")

    assert get_names(owner.get(LIST, {"q": text.format(hint="Qx7z")}).text) == ["Bee"]


def test_the_hints_count_active_keys_and_lead_to_them(owner, several):
    page = owner.get(LIST).text

    assert '<a href="?state=unused">2 keys unused for 90 days</a>' in page
    assert '<a href="?state=expiring">1 key expires within 14 days</a>' in page
    assert '<a href="?state=unending">1 key never expires</a>' in page


def test_a_replaced_key_is_to_expire(owner, several):
    several["Zebra"].rotate(grace=DAY)
    page = owner.get(LIST).text

    assert "Replaced, ends in" in page
    assert '<a href="?state=expiring">1 key expires within 14 days</a>' in page
    assert get_names(owner.get(f"{LIST}?state=expiring").text) == ["Bee"]
    several["Bee"].rotate(grace=DAY, expires_at=None)
    page = owner.get(LIST).text
    assert "within 14 days</a>" not in page
    assert get_names(owner.get(f"{LIST}?state=expiring").text) == []


def test_a_wrong_filter_is_an_error(owner, several):
    page = owner.get(f"{LIST}?state=odd").text

    assert page.count("odd is not one of the available choices") == 2
    assert page.index("Correct what is marked below.") < page.index('id="id_state_error"')
    assert get_names(page) == []
    assert "No key matches" not in page
    assert "No keys yet" not in page


@pytest.mark.parametrize("name", ["q", "page"])
def test_a_key_in_the_search_is_refused_without_repeating_it(owner, acme, name):
    api_key, raw_key = make_key(organization=acme)
    response = owner.get(LIST, {name: f"found {raw_key} in a log"})

    assert (response.status_code, response["Location"]) == (302, "/settings/o/acme/keys/leaked/")
    page = owner.get(response["Location"]).text
    assert "Do not search for a full key" in page
    assert raw_key not in page


def test_pages(owner, acme):
    for number in range(26):
        make_key(organization=acme, name=f"Key {number:02}")
    first, second = owner.get(f"{LIST}?sort=name").text, owner.get(f"{LIST}?sort=name&page=2").text

    assert get_names(first) == [f"Key {number:02}" for number in range(25)]
    assert get_names(second) == ["Key 25"]
    assert "26 keys" in first
    assert 'rel="next" href="?sort=name&amp;page=2"' in first


@pytest.mark.parametrize("path", [LIST, "/settings/keys/"])
def test_a_list_takes_as_many_queries_for_many_keys(owner, people, acme, path):
    holder = {"organization": acme} if path == LIST else {"prefix": "csu", "user": people["owner"]}
    make_key(**holder, created_by=people["owner"])
    owner.get(path)
    with CaptureQueriesContext(connection) as one:
        owner.get(path)
    for number in range(24):
        old, _ = make_key(**holder, created_by=UserFactory.create(), name=f"K{number}")
        if number % 2:
            old.rotate(grace=DAY)
    with CaptureQueriesContext(connection) as many:
        owner.get(path)

    assert len(many) == len(one)


def test_the_list_draws_the_requests_of_30_days(owner, acme):
    api_key, _ = make_key(organization=acme)
    now = datetime.now(UTC)
    use(api_key, now, 1200)
    use(api_key, now - 29 * DAY, 34)
    use(api_key, now - 31 * DAY, 500)
    page = owner.get(LIST).text

    assert "1,234 requests" in page
    assert page.count("ca-spark") == 1


def test_the_requests_of_a_family_are_shown_once(owner, acme):
    first, _ = make_key(organization=acme, name="Warehouse")
    use(first, datetime.now(UTC), 1234)
    use(make_key(organization=acme, name="Shop")[0], datetime.now(UTC), 5)
    second, _ = first.rotate(grace=DAY)
    third, _ = second.rotate(grace=DAY)
    page = owner.get(LIST).text

    cells = re.findall(r'/keys/([^/"]*)/">Warehouse<.*?data-label="30 days">(.*?)</td>', page, re.DOTALL)
    assert len(cells) == 3
    for pk, cell in cells:
        is_newest = pk == str(third.pk)
        assert ("1,234 requests" in cell, "Counted with its successor" in cell) == (is_newest, not is_newest)
    assert "5 requests" in page
    assert page.count("ca-spark") == 2

    # Also where the newest key is on another page.
    third.revoke()
    page = owner.get(LIST, {"q": "Warehouse"}).text
    assert (page.count("Counted with its successor"), page.count("ca-spark")) == (2, 0)


def test_without_a_history_nothing_is_drawn(owner, acme, settings):
    api_key, _ = make_key(organization=acme, name="Warehouse")
    use(api_key, datetime.now(UTC), 12)
    settings.CLOSIENT_AUTH = {"USAGE_HISTORY": False}

    for path in (LIST, f"{LIST}{api_key.pk}/"):
        page = owner.get(path).text
        assert "Warehouse" in page
        assert "<svg" not in page
        assert "/usage/" not in page
    assert owner.get("/settings/o/acme/usage/").status_code == 404


# A new key


def test_a_new_key_is_shown_once(owner, people, acme):
    response = create(owner, name="Warehouse <b>", description="Counts.")
    raw_key = find_secret(response)
    api_key = ApiKey.objects.get()

    assert response.status_code == 200
    assert hash_api_key(raw_key) == api_key.hashed_key
    assert (api_key.prefix, api_key.name, api_key.description) == ("csb", "Warehouse <b>", "Counts.")
    assert (api_key.organization, api_key.created_by) == (acme, people["owner"])
    assert (api_key.rate_limit_per_minute, api_key.rate_limit_per_day, api_key.permissions) == (0, 0, None)
    assert is_in(api_key, 90 * DAY)
    assert AuditEntry.objects.get(event="api_key_created").user == people["owner"]
    assert "Warehouse &lt;b&gt; was created" in response.text
    assert "<b>" not in response.text
    assert response.text.count(raw_key) == 2
    assert f">API_KEY={raw_key}</textarea>" in response.text
    assert "300 a minute, 10,000 a day" in response.text
    assert f'href="/settings/o/acme/keys/{api_key.pk}/" data-stored' in response.text


@pytest.mark.parametrize("path", [LIST, "/settings/keys/"])
def test_a_new_key_can_be_cancelled(owner, path):
    cancel = f'<a class="ca-button" href="{path}">Cancel</a>'
    response = owner.get(f"{path}new/")

    assert cancel in response.text
    assert cancel in owner.post(f"{path}new/", get_fields(response)).text
    assert "Cancel" not in create(owner, f"{path}new/").text
    assert ApiKey.objects.count() == 1


def test_the_key_is_nowhere_but_in_its_response(owner, caplog, acme):
    response = create(owner)
    raw_key = find_secret(response)

    assert response["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert raw_key not in f"{response.headers}{response.cookies}{dict(owner.session)}{caplog.text}{vars(cache)}"
    api_key = ApiKey.objects.get()
    for path in (LIST, f"{LIST}{api_key.pk}/", "/settings/o/acme/audit/"):
        assert raw_key not in owner.get(path).text


def test_the_example_follows_the_project(owner, settings):
    assert 'curl -H "X-API-Key: $API_KEY" http://testserver/<' in create(owner).text

    settings.ROOT_URLCONF = "tests.dashboard.urls_with_api"
    settings.CLOSIENT_AUTH = {"HEADER": "X-Acme-Key"}
    assert 'curl -H "X-Acme-Key: $API_KEY" http://testserver/account/api/v1/me<' in create(owner).text


def test_a_form_that_is_sent_twice_makes_one_key(owner, acme):
    data = get_fields(owner.get(NEW)) | {"name": "Server"}
    first, second = owner.post(NEW, data), owner.post(NEW, data)
    api_key = ApiKey.objects.get()

    assert second.status_code == 409
    assert "This key was created already" in second.text
    assert find_secret(first) not in second.text
    assert '<input type="hidden" name="grace" value="0">' in second.text

    third = owner.post(f"{LIST}{api_key.pk}/rotate/", {"grace": "0"})
    assert third.status_code == 200
    api_key.refresh_from_db()
    assert not api_key.is_active
    assert hash_api_key(find_secret(third)) == api_key.successor.hashed_key
    # The old form still makes no other key, and offers no rotation of a key that was replaced.
    assert "Revoke and create another" not in owner.post(NEW, data).text
    assert ApiKey.objects.count() == 2


def test_a_form_that_is_sent_twice_with_the_last_vacancy_is_no_error(owner, settings):
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 1}
    data = get_fields(owner.get(NEW)) | {"name": "Server"}

    assert [owner.post(NEW, data).status_code for _ in range(2)] == [200, 409]
    assert "The highest number of active keys is 1. Revoke one first." in create(owner).text
    assert ApiKey.objects.count() == 1


def test_the_nonce_of_somebody_else_makes_another_key(sign_in, people, acme):
    client = sign_in(people["owner"])
    data = get_fields(client.get(NEW)) | {"name": "Server"}
    client.post(NEW, data)

    assert sign_in(people["manager"]).post(NEW, data).status_code == 200
    assert ApiKey.objects.count() == 2


def test_another_conflict_is_an_error_of_the_form(owner, monkeypatch):
    def collide(*args, **kwargs):
        raise IntegrityError("hashed_key")

    monkeypatch.setattr(ApiKeyQuerySet, "create_key", collide)
    response = create(owner)

    assert response.status_code == 200
    assert "Somebody changed this at the same moment." in response.text


def test_errors_are_listed_with_links_to_their_fields(owner):
    response = create(owner, name="", rate_limit_per_minute="-1", allowed_networks="10.0.0.1/8")
    page = response.text

    assert 'id="ca-errors" tabindex="-1" role="alert" data-focus' in page
    assert '<a href="#id_name">Name</a>: This field is required.' in page
    assert '<a href="#id_rate_limit_per_minute">Requests a minute</a>' in page
    assert not ApiKey.objects.exists()


def test_errors_of_the_model_are_at_their_fields(owner, settings):
    settings.CLOSIENT_AUTH = {"MAX_RATE_LIMIT_PER_MINUTE": 50}
    page = create(owner, rate_limit_per_minute="60", allowed_networks="10.0.0.1/8").text
    assert '<a href="#id_allowed_networks">Networks</a>: “10.0.0.1/8” has an address inside of the network.' in page
    assert '<details class="ca-details" open><summary>Restrictions' in page

    page = create(owner, rate_limit_per_minute="60").text
    assert '<a href="#id_rate_limit_per_minute">Requests a minute</a>: The highest limit is 50 requests.' in page
    assert "Empty: Business 300, Publishable 100. At most 50." in page
    assert '<details class="ca-details" open><summary>Limits' in page
    assert not ApiKey.objects.exists()


def test_defaults_of_the_limits_are_shown(owner, settings):
    assert "Empty: Business 300, Publishable 100." in owner.get(NEW).text
    settings.CLOSIENT_AUTH = {"PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 300, "RATE_LIMIT_PER_DAY": 0}
    page = owner.get(NEW).text
    assert "Empty: 300." in page
    assert "Empty: no limit." in page


def test_limits_and_restrictions_of_a_new_key(owner):
    create(
        owner,
        rate_limit_per_minute="7",
        rate_limit_per_day="70",
        access="only",
        permissions=["organization.view_organization"],
        allowed_networks="203.0.113.0/24\n\n2001:db8::/32",
    )
    api_key = ApiKey.objects.get()

    assert (api_key.rate_limit_per_minute, api_key.rate_limit_per_day) == (7, 70)
    assert api_key.permissions == ["organization.view_organization"]
    assert api_key.allowed_networks == ["203.0.113.0/24", "2001:db8::/32"]


def test_a_publishable_key(owner):
    page = create(owner, type="cpk", access="only", permissions=[], allowed_origins="https://www.example.com").text
    api_key = ApiKey.objects.get()

    assert (api_key.prefix, api_key.permissions) == ("cpk", None)
    assert api_key.allowed_origins == ["https://www.example.com"]
    assert "100 a minute" in page


def test_origins_are_for_publishable_keys(owner):
    page = create(owner, allowed_origins="https://www.example.com").text

    assert '<a href="#id_allowed_origins">Web pages</a>: Only publishable keys can have allowed origins.' in page
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("prefix", ["csu", "abc", ""])
def test_an_organization_has_no_other_types_of_key(owner, prefix):
    response = create(owner, type=prefix)

    assert [*response.context["form"].errors] == ["type"]
    assert not ApiKey.objects.exists()


def test_only_nothing_is_no_choice(owner):
    page = create(owner, access="only").text

    assert "Check at least one, or choose everything." in page
    assert not ApiKey.objects.exists()


def test_a_manager_can_give_what_a_manager_may_do(sign_in, people):
    client = sign_in(people["manager"])
    page = client.get(NEW).text
    assert "Edit and delete the organization" not in page
    assert "Everything that you may do" in page

    refused = create(client, access="only", permissions=["organization.delete_organization"])
    assert "organization.delete_organization is not one of the available choices" in refused.text
    assert not ApiKey.objects.exists()

    create(client)
    permissions = ApiKey.objects.get().permissions
    assert "organization.manage_members" in permissions
    assert "organization.delete_organization" not in permissions


@pytest.mark.parametrize("days", [7, 30, 90, 365])
def test_lifetimes(owner, days):
    create(owner, expires_at=str(days))

    assert is_in(ApiKey.objects.get(), days * DAY)


def test_a_key_can_live_forever(owner):
    create(owner, expires_at="never")

    assert ApiKey.objects.get().expires_at is None


def test_without_a_choice_the_settings_decide(owner, settings):
    settings.CLOSIENT_AUTH = {"KEY_LIFETIME_DAYS": 5}
    page = owner.get(NEW).text
    assert '<option value="5" selected>In 5 days</option>' in page
    create(owner, expires_at="")

    assert is_in(ApiKey.objects.get(), 5 * DAY)


def test_the_longest_lifetime_bounds_the_choices(owner, settings):
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 60, "KEY_LIFETIME_DAYS": 80}
    page = owner.get(NEW).text
    assert re.findall(r'<option value="(\w+)"', page) == ["7", "30", "60", "custom"]
    assert "A key lives for at most 60 days." in page

    page = create(owner, expires_at="never").text
    assert "never is not one of the available choices" in page
    late = (timezone.localtime() + 62 * DAY).date()
    assert "Choose a time before" in create(owner, expires_at="custom", expires_on=late).text
    assert not ApiKey.objects.exists()

    # The last day ends after the longest lifetime, and can be chosen all the same.
    last = timezone.now() + 60 * DAY
    create(owner, expires_at="custom", expires_on=timezone.localtime(last).date())
    assert is_in(ApiKey.objects.get(), 60 * DAY)


@pytest.mark.parametrize(
    ("zone", "day", "end"),
    [
        ("UTC", date(2099, 3, 1), datetime(2099, 3, 1, 23, 59, 59, tzinfo=UTC)),
        ("America/Los_Angeles", date(2030, 7, 1), datetime(2030, 7, 2, 6, 59, 59, tzinfo=UTC)),
        # Summer time ends and begins on these days.
        ("Europe/Zurich", date(2030, 10, 27), datetime(2030, 10, 27, 22, 59, 59, tzinfo=UTC)),
        ("Europe/Zurich", date(2030, 3, 31), datetime(2030, 3, 31, 21, 59, 59, tzinfo=UTC)),
        ("Pacific/Kiritimati", date(2030, 7, 1), datetime(2030, 7, 1, 9, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_key_works_until_the_end_of_a_chosen_day(owner, settings, zone, day, end):
    settings.TIME_ZONE = zone
    create(owner, expires_at="custom", expires_on=day.isoformat())

    assert ApiKey.objects.get().expires_at == end


@pytest.mark.parametrize(
    ("day", "text"),
    [
        ("", "Choose a date."),
        ("tomorrow", "Enter a valid date."),
        ("2020-01-01", "Choose a time in the future, or set no expiry."),
        ("0001-01-01", "Choose a time before the year 9999, or set no expiry."),
        ("9999-12-31", "Choose a time before the year 9999, or set no expiry."),
    ],
)
def test_a_wrong_day_is_an_error(owner, day, text):
    page = create(owner, expires_at="custom", expires_on=day).text

    assert text in page
    assert not ApiKey.objects.exists()


def test_new_keys_are_limited(owner, monkeypatch):
    # Sixty requests can take longer than the minute of the real limit.
    monkeypatch.setattr("closient_auth.dashboard.frame.CHANGE_WINDOWS", (Window(3, 86_400),))
    data = get_fields(owner.get(NEW)) | {"name": "Server"}
    found = [owner.post(NEW, data | {"nonce": f"n{number}"}) for number in range(4)]

    assert "data-stored" in found[2].text
    assert re.search(r"Too many changes. Try again in \d+ second", found[3].text)
    assert ApiKey.objects.count() == 3


def test_a_lost_cache_is_an_error_of_the_form(owner, settings, cache_away):
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_FAIL_OPEN": False}
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"

    assert "limits" in create(owner).text.lower()
    assert not ApiKey.objects.exists()


def test_other_languages(owner, acme, settings):
    api_key, _ = make_key(organization=acme)
    use(api_key, datetime.now(UTC), 1234)
    use(api_key, datetime.now(UTC) - DAY, 321)
    with translation.override("de"):
        pages = [owner.get(path, headers={"accept-language": "de"}).text for path in (LIST, f"{LIST}{api_key.pk}/")]

    for page in pages:
        # A comma in a path or a coordinate would break the drawing.
        for attribute in ("d", "x", "y", "width", "height", "max", "value"):
            for value in re.findall(rf'<(?:rect|path|meter)[^>]* {attribute}="([^"]*)"', page):
                assert "," not in value
