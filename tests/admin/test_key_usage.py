"""The plot of the usage on the page of a key."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from django.contrib.staticfiles import finders

from closient_auth.models import ApiKeyUsage
from tests.dashboard.pages import use
from tests.factories import make_key


@pytest.fixture
def api_key(organization):
    api_key, _ = make_key(organization=organization, name="Server")
    return api_key


@pytest.fixture
def usage(root, page, api_key):
    """Return a function for the part of the page with the usage."""

    def usage(client=root, api_key=api_key):
        response = client.get(page("apikey_change", api_key.pk))
        assert response.status_code == HTTPStatus.OK
        return response.content.decode().partition('<section class="module usage"')[2].partition("</section>")[0]

    return usage


def test_the_page_shows_the_last_30_days(usage, api_key, organization):
    now = datetime.now(UTC)
    use(api_key, now, 1200, 34)
    use(api_key, now - timedelta(days=29), 5)
    use(api_key, now - timedelta(days=31), 9999)
    use(make_key(organization=organization, name="Neighbour")[0], now, 777)

    content = usage()

    assert "1,205 requests, 34 refused by a limit." in content
    assert "777" not in content
    assert len(re.findall(r"<rect (?!class)", content)) == 2
    assert content.count('<rect class="ca-refused"') == 1
    assert len(re.findall(r"<g>", content)) == 30
    table = content.partition("<details")[2]
    assert table.count('<th scope="row">') == 30
    cells = re.findall(r'data-label="Requests">([^<]*)</td><td [^>]*>([^<]*)<', table)
    assert (cells[0], cells[-1]) == (("5", "0"), ("1,200", "34"))
    # A strict Content Security Policy allows neither of these.
    assert not re.search(r"style=|<script|<style| on\w+=", content)


def test_a_rotated_key_has_the_usage_of_its_family(usage, api_key):
    use(api_key, datetime.now(UTC), 12)
    successor, _ = api_key.rotate(grace=timedelta(days=1))

    assert "12 requests" in usage(api_key=successor)


def test_a_key_without_requests(usage):
    content = usage()

    assert "No requests." in content
    assert "<svg" not in content
    assert "<details" not in content


def test_nothing_is_shown_without_a_history(root, page, usage, api_key, settings):
    use(api_key, datetime.now(UTC), 12)
    assert "12 requests" in usage()

    settings.CLOSIENT_AUTH = {"USAGE_HISTORY": False}

    assert usage() == ""
    assert "ca-plot" not in root.get(page("apikey_change", api_key.pk)).content.decode()


def test_the_form_of_a_new_key_has_no_plot(root, page):
    assert "ca-plot" not in root.get(page("apikey_add")).content.decode()


def test_staff_who_may_only_view_see_the_plot(usage, make_staff, api_key):
    use(api_key, datetime.now(UTC), 12)

    assert "12 requests" in usage(make_staff("view_apikey"))


def test_the_page_takes_as_many_queries_with_a_long_history(root, page, count_queries, api_key):
    address, now = page("apikey_change", api_key.pk), datetime.now(UTC)
    use(api_key, now, 1)
    few = count_queries(root, address)
    for hours in range(1, 200):
        use(api_key, now - timedelta(hours=hours), hours)
    assert ApiKeyUsage.objects.count() == 200

    assert count_queries(root, address) == few


def test_the_page_links_the_style_sheet_of_the_plot(root, page, api_key):
    content = root.get(page("apikey_change", api_key.pk)).content.decode()

    assert content.count('<link href="/static/closient_auth/plots.css"') == 1
    assert finders.find("closient_auth/plots.css")
