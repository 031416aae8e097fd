"""Test what the form of a key says about its limits and its expiry."""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.utils import timezone

from closient_auth.models import ApiKey
from tests.factories import make_key

MINUTE, DAY = "rate_limit_per_minute", "rate_limit_per_day"


def read_help(response):
    assert response.status_code == HTTPStatus.OK
    found = re.findall(r'id="id_(rate_limit_\w+)_helptext"[^>]*>\s*<div>([^<]*)</div>', response.content.decode())
    return dict(found)


DEFAULTS = {MINUTE: "0 uses the default: 300.", DAY: "0 uses the default: 10,000."}


@pytest.mark.parametrize(("prefix", "minute"), [("csb", "300"), ("csu", "300"), ("cpk", "100")])
def test_page_shows_the_defaults_of_the_type(root, page, prefix, minute):
    api_key, _ = make_key(prefix)

    shown = read_help(root.get(page("apikey_change", api_key.pk)))

    assert shown == {**DEFAULTS, MINUTE: f"0 uses the default: {minute}."}


def test_new_key_can_have_several_defaults(root, page):
    types = "0 uses the default: 300 (Business), 100 (Publishable)."
    assert read_help(root.get(page("apikey_add"))) == {**DEFAULTS, MINUTE: types}
    assert read_help(root.get(page("apikey_add"), {"holder": "user"})) == DEFAULTS


def test_defaults_and_maximums_are_those_of_the_settings(root, page, settings):
    api_key, _ = make_key()
    settings.CLOSIENT_AUTH = {"RATE_LIMIT_PER_MINUTE": 0, "RATE_LIMIT_PER_DAY": 5000, "MAX_RATE_LIMIT_PER_DAY": 2000}

    shown = read_help(root.get(page("apikey_change", api_key.pk)))

    # No key exceeds the maximum, not even by default.
    assert shown == {
        MINUTE: "0 uses the default: no limit.",
        DAY: "0 uses the default: 2,000. The maximum is 2,000.",
    }


def test_viewers_see_the_defaults(page, make_staff):
    api_key, _ = make_key("cpk")

    content = make_staff("view_apikey").get(page("apikey_change", api_key.pk)).content.decode()

    assert "0 uses the default: 100." in content


@pytest.mark.parametrize("use_tz", [True, False])
def test_expiry_suggests_times_in_the_future(root, page, settings, use_tz):
    settings.USE_TZ = use_tz
    content = root.get(page("apikey_add")).content.decode()

    today = timezone.localdate() if use_tz else timezone.now().date()
    choices = re.findall(r'<option value="([\d-]+)" label="([^"]+)"></option>', content)
    days = {"7 days": 7, "30 days": 30, "90 days": 90, "1 year": 365}
    assert choices == [((today + timedelta(days=number)).isoformat(), label) for label, number in days.items()]
    assert re.search(
        r'<input type="date" name="expires_at_0"[^>]* list="id_expires_at_choices" aria-label="Date"', content
    )
    assert re.search(r'<input type="time" name="expires_at_1"[^>]* step="1" aria-label="Time"', content)
    # These have the shortcuts "Today" and "Now".
    assert "vDateField" not in content
    assert "DateTimeShortcuts" not in content
    assert ('<span class="quiet">America/Chicago</span>' in content) == use_tz


def test_stored_expiry_is_shown_for_the_browser(root, page):
    moment = timezone.localtime().replace(microsecond=0) + timedelta(days=40)
    api_key, _ = make_key(expires_at=moment)

    content = root.get(page("apikey_change", api_key.pk)).content.decode()

    assert f'name="expires_at_0" value="{moment:%Y-%m-%d}"' in content
    assert f'name="expires_at_1" value="{moment:%H:%M:%S}"' in content


def test_name_cannot_be_removed_but_may_be_missing(root, page):
    named, nameless = make_key(name="Server")[0], make_key()[0]
    data = {"name": "", "description": "New", MINUTE: 0, DAY: 0}

    refused = root.post(page("apikey_change", named.pk), data)

    assert refused.context["adminform"].form.errors == {"name": ["This field is required."]}
    assert root.post(page("apikey_change", nameless.pk), data).status_code == HTTPStatus.FOUND
    stored = dict(ApiKey.objects.values_list("pk", "description"))
    assert stored == {named.pk: "", nameless.pk: "New"}
