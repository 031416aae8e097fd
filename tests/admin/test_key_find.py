from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser
from http import HTTPStatus

import pytest
from django.db import DatabaseError
from django.utils import timezone
from django.views.debug import ExceptionReporter

from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey
from tests.factories import make_key


class Inputs(HTMLParser):
    def __init__(self, response):
        super().__init__()
        self.found = {}
        self.feed(response.content.decode())

    def handle_starttag(self, tag, attrs):
        if tag == "input":
            self.found[dict(attrs).get("name")] = dict(attrs)


def test_key_leads_to_its_row(page, make_staff):
    api_key, raw_key = make_key()
    make_key()

    response = make_staff("view_apikey").post(page("apikey_find"), {"api_key": f"  {raw_key}\n"})

    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, page("apikey_change", api_key.pk))
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("text", ["X-API-Key: {}", '"GET / HTTP/1.1" 200 key="{}" csb_short', "{0} {0}"])
def test_key_is_found_in_a_line_of_text(root, page, text):
    api_key, raw_key = make_key()
    make_key()

    response = root.post(page("apikey_find"), {"api_key": text.format(raw_key)})

    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, page("apikey_change", api_key.pk))


def test_revoked_key_is_found(root, page):
    api_key, raw_key = make_key()
    api_key.revoke()

    assert root.post(page("apikey_find"), {"api_key": raw_key})["Location"] == page("apikey_change", api_key.pk)


NOT_A_KEY = "This is not an API key. Check that you copied all of it."
SEVERAL = "This text contains several API keys. Enter one at a time."
UNKNOWN = "No key matches. It may belong to another installation or have been deleted."


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda key: key[:-1], NOT_A_KEY),
        (lambda key: key.swapcase(), NOT_A_KEY),
        (lambda key: f"X-API-Key: {key}0", NOT_A_KEY),
        (lambda key: f"{key} {generate_api_key('csb')}", SEVERAL),
        (lambda key: f"{key}\x00", "Null characters are not allowed."),
        (lambda key: "", "This field is required."),
        (lambda key: generate_api_key("csb"), UNKNOWN),
        (lambda key: key.replace("csb", "csu", 1), UNKNOWN),
    ],
    ids=["cut", "swapped case", "with more", "several", "null character", "nothing", "unknown", "another type"],
)
def test_what_is_wrong_is_said_without_the_value(root, page, edit, message):
    _, raw_key = make_key()
    value = edit(raw_key)

    response = root.post(page("apikey_find"), {"api_key": value})

    assert response.status_code == HTTPStatus.OK
    assert response.context["form"].errors == {"api_key": [message]}
    assert message in response.content.decode()
    assert not value or value not in response.content.decode()
    assert raw_key.split("_")[1] not in response.content.decode()
    assert "value" not in Inputs(response).found["api_key"]


def test_form_keeps_the_key_from_the_browser_and_the_address(root, page):
    _, raw_key = make_key()

    response = root.get(page("apikey_find"), {"api_key": raw_key})

    field = Inputs(response).found["api_key"]
    assert (field["type"], field["autocomplete"], field["spellcheck"]) == ("password", "off", "false")
    assert "value" not in field
    assert 'method="post"' in response.content.decode()
    assert raw_key not in response.content.decode()
    assert "no-store" in response["Cache-Control"]


def test_finding_needs_a_permission(page, make_staff):
    _, raw_key = make_key()

    for permission in ("add_apikey", "delete_apikey", "view_organization"):
        response = make_staff(permission).post(page("apikey_find"), {"api_key": raw_key})
        assert response.status_code == HTTPStatus.FORBIDDEN


def test_list_links_to_the_form(page, make_staff):
    changelist = make_staff("view_apikey").get(page("apikey_changelist")).content.decode()
    popup = make_staff("view_apikey").get(page("apikey_changelist"), {"_popup": "1"}).content.decode()

    assert page("apikey_find") in changelist
    assert page("apikey_find") not in popup


def test_error_report_has_no_key(root, page, monkeypatch, settings):
    settings.DEBUG = False
    _, raw_key = make_key()

    def fail(*args, **kwargs):
        raise DatabaseError("database is away")

    monkeypatch.setattr("closient_auth.admin.api_keys.ApiKeyAdmin.get_queryset", fail)

    with pytest.raises(DatabaseError, match="database is away") as error:
        root.post(page("apikey_find"), {"api_key": raw_key})

    frames = error.traceback
    view = next(frame.frame.f_locals["request"] for frame in frames if frame.name == "find_view")
    report = ExceptionReporter(view, error.type, error.value, error.tb.tb_next).get_traceback_html()
    body = raw_key.split("_")[1]
    assert "find_view" in report
    # The frames of the test client hold the request data; search only from the frame of the handler on.
    assert body not in report[report.index("core/handlers/exception.py") :]


def test_next_page_says_that_this_is_the_key(root, page):
    api_key, raw_key = make_key()
    ApiKey.objects.filter(pk=api_key.pk).update(last_used=timezone.now() - timedelta(hours=3))
    neighbour, _ = make_key()

    content = root.post(page("apikey_find"), {"api_key": raw_key}, follow=True).content.decode()

    box = content.partition('<li class="leaked-key error">')[2].partition("</li>")[0]
    assert "<strong>This is the key you pasted.</strong>" in box
    assert "3 hours ago" in box
    assert f'href="{page("apikey_revoke", api_key.pk)}">Revoke</a>' in box
    assert raw_key not in content
    assert "This is the key" not in root.get(page("apikey_change", neighbour.pk)).content.decode()


def test_next_page_offers_only_what_can_be_done(root, page, make_staff):
    api_key, raw_key = make_key()
    viewer = make_staff("view_apikey")

    content = viewer.post(page("apikey_find"), {"api_key": raw_key}, follow=True).content.decode()
    assert "Last used: Never." in content
    assert page("apikey_revoke", api_key.pk) not in content

    api_key.revoke()
    content = root.post(page("apikey_find"), {"api_key": raw_key}, follow=True).content.decode()
    assert "<strong>This is the key you pasted.</strong> It is revoked." in content
    assert page("apikey_revoke", api_key.pk) not in content
