from __future__ import annotations

import re
from datetime import datetime, timedelta
from http import HTTPStatus

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone
from django.utils.html import strip_tags

from closient_auth.models import ApiKey
from tests.factories import OrganizationFactory, UserFactory, make_key

PAYLOAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def listed(response):
    assert response.status_code == HTTPStatus.OK
    return {api_key.name for api_key in response.context["cl"].result_list}


def messages(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def expire(api_key):
    ApiKey.objects.filter(pk=api_key.pk).update(expires_at=timezone.now() - timedelta(days=1))


@pytest.mark.parametrize(
    "permissions", [["view_apikey"], ["change_apikey"], ["view_apikey", "change_apikey", "delete_apikey", "add_apikey"]]
)
def test_hash_is_on_no_page(page, make_staff, permissions):
    client = make_staff(*permissions)
    api_key, raw_key = make_key(name="Server")

    pages = [page("apikey_changelist"), page("apikey_change", api_key.pk), page("apikey_history", api_key.pk)]
    for address in pages:
        response = client.get(address)
        assert response.status_code == HTTPStatus.OK
        assert api_key.hint in response.content.decode()
        assert api_key.hashed_key not in response.content.decode()
        assert raw_key not in response.content.decode()


def test_pages_need_a_permission(page, make_staff):
    client = make_staff("view_organization")
    api_key, _ = make_key()

    pages = [page("apikey_changelist"), page("apikey_change", api_key.pk), page("apikey_find"), page("apikey_add")]
    assert {client.get(address).status_code for address in pages} == {HTTPStatus.FORBIDDEN}


def test_list_of_many_keys_takes_as_many_queries_as_one(root, page, count_queries):
    make_key()
    make_key("csu")
    few = count_queries(root, page("apikey_changelist"))
    for _ in range(49):
        make_key()
        make_key("csu")

    assert count_queries(root, page("apikey_changelist")) == few
    assert root.get(page("apikey_changelist")).context["cl"].result_count == 100


def test_filter_by_type_and_state(root, page):
    make_key(name="business")
    make_key("csu", name="user")
    make_key(name="revoked")[0].revoke()
    expire(make_key("cpk", name="expired")[0])
    make_key("csu", name="inactive", user=UserFactory.create(is_active=False))

    def names(**query):
        return listed(root.get(page("apikey_changelist"), query))

    assert names(prefix__exact="csu") == {"user", "inactive"}
    assert names(state="active") == {"business", "user"}
    assert names(state="revoked") == {"revoked"}
    assert names(state="expired") == {"expired"}
    assert names(state="user_inactive") == {"inactive"}
    assert names(state="no such state") == {"business", "user", "revoked", "expired", "inactive"}
    assert names(state="active", prefix__exact="csu") == {"user"}
    assert names(_facets="True", state="active") == {"business", "user"}


def test_filter_of_keys_to_review(root, page):
    def end(**kwargs):
        return timezone.now() + timedelta(**kwargs)

    make_key(name="new")
    make_key("csu", name="inactive", user=UserFactory.create(is_active=False))
    make_key(name="revoked", expires_at=end(days=3))[0].revoke()
    make_key(name="used", expires_at=end(days=13))
    make_key(name="late", expires_at=end(days=15))
    expire(make_key(name="expired")[0])
    rotated, _ = make_key(name="rotated")
    rotated.rotate(grace=timedelta(days=1))
    ApiKey.objects.filter(name__in=["used", "late", "rotated"]).update(last_used=timezone.now())

    def names(**query):
        return listed(root.get(page("apikey_changelist"), query))

    assert names(review="never_used") == {"new"}
    assert names(review="expiring") == {"used"}
    assert names(review="expiring", state="revoked") == set()
    assert len(names(review="anything")) == 7
    content = root.get(page("apikey_changelist")).content.decode()
    assert '<a href="?review=never_used">Never used</a>' in content
    assert '<a href="?review=expiring">Expiring in 14 days</a>' in content


def read_rows(response):
    """Return the texts of the cells of each row."""
    body = response.content.decode().partition('id="result_list"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.findall(r'<t[dh] class="field-(\w+)[^>]*>(.*?)</t[dh]>', row) for row in body.split("<tr>")[1:]]
    return [{name: strip_tags(html.replace("<br>", " ")) for name, html in row} for row in rows]


def test_list_says_how_each_key_is_doing(root, page, organization):
    now = timezone.now()
    keys = {
        "Shop": make_key(organization=organization, name="Shop", expires_at=now + timedelta(days=6, hours=1))[0],
        "": make_key("csu", user=UserFactory.create(username="ada"))[0],
        "Old": make_key("cpk", organization=organization, name="Old", expires_at=now - timedelta(days=3))[0],
        "Soon": make_key(organization=organization, name="Soon", expires_at=now + timedelta(seconds=50))[0],
    }
    ApiKey.objects.filter(name="Shop").update(last_used=now - timedelta(minutes=2, seconds=5))
    ApiKey.objects.filter(name="Old").update(last_used=now - timedelta(days=400))
    ApiKey.objects.filter(name="Soon").update(last_used=now)

    rows = read_rows(root.get(page("apikey_changelist"), {"o": "1"}))

    def row(name, kind, **cells):
        key = f"csb_{keys[name].hint}…".replace("csb", keys[name].prefix)
        return {"label": name or "No name", "key_and_type": f"{key} {kind}", **cells}

    holder = "Acme Foods"
    assert rows == [
        row("", "User", holder="ada", state="Active", used="Never", expiry="Never"),
        row("Old", "Publishable", holder=holder, state="Expired", used="1 year ago", expiry="expired 3 days ago"),
        row("Shop", "Business", holder=holder, state="Active", used="2 minutes ago", expiry="in 6 days"),
        row("Soon", "Business", holder=holder, state="Active", used="just now", expiry="in less than a minute"),
    ]
    content = root.get(page("apikey_changelist")).content.decode()
    assert content.count('<span class="badge badge-active">Active</span>') == 3
    assert '<span class="badge badge-expired">Expired</span>' in content
    assert f'<a href="{page("apikey_change", keys[""].pk)}"><span class="quiet">No name</span></a>' in content


def test_page_shows_the_exact_last_use(root, page):
    api_key, _ = make_key()
    assert '<div class="readonly">Never</div>' in root.get(page("apikey_change", api_key.pk)).content.decode()
    moment = timezone.localtime() - timedelta(hours=2)
    ApiKey.objects.update(last_used=moment)

    content = root.get(page("apikey_change", api_key.pk)).content.decode()

    assert f">2 hours ago</time> ({moment:%Y-%m-%d %H:%M:%S %Z})</div>" in content


def test_last_use_without_time_zones(root, page, settings):
    api_key, _ = make_key()
    settings.USE_TZ = False
    ApiKey.objects.update(last_used=datetime.now() - timedelta(hours=2))  # noqa: DTZ005

    content = root.get(page("apikey_change", api_key.pk)).content.decode()

    assert ">2 hours ago</time> (" in content


def test_search_box_has_a_name_and_keeps_the_filters(root, page):
    make_key()
    content = root.get(page("apikey_changelist"), {"q": "<1>", "state": "active"}).content.decode()

    form = content.partition('<form id="changelist-search"')[2].partition("</form>")[0]
    assert (
        'value="&lt;1&gt;" id="searchbar" aria-label="Search API keys" aria-describedby="searchbar_helptext">' in form
    )
    assert '<input type="hidden" name="state" value="active">' in form
    assert "0 results" in form
    assert "Find a leaked API key" in form


def test_filter_by_organization(root, page):
    acme, other = OrganizationFactory.create(slug="acme"), OrganizationFactory.create()
    make_key(organization=acme, name="acme")
    make_key("cpk", organization=acme, name="acme widget")
    make_key(organization=other, name="other")

    def names(name, **query):
        return listed(root.get(page("apikey_changelist"), {"organization": name, **query}))

    assert names("acme") == names(str(acme.pk)) == names(" acme ") == {"acme", "acme widget"}
    assert names("") == {"acme", "acme widget", "other"}
    assert names("unknown") == names("\x00'") == set()
    assert names("acme", prefix__exact="cpk") == {"acme widget"}


def test_filter_by_organization_keeps_the_other_filters(root, page):
    make_key()

    response = root.get(page("apikey_changelist"), {"organization": PAYLOAD, "prefix__exact": "csb", "q": "x"})

    content = response.content.decode()
    form = content[content.index("By organization") :].partition("</details>")[0]
    assert '<input type="hidden" name="prefix__exact" value="csb">' in form
    assert '<input type="hidden" name="q" value="x">' in form
    assert 'type="hidden" name="organization"' not in form
    assert "<script>alert" not in content


def test_organization_leads_to_its_keys(root, page, make_staff):
    organization = OrganizationFactory.create()
    make_key(organization=organization, name="ours")
    make_key(name="theirs")
    link = f"{page('apikey_changelist')}?organization={organization.pk}"

    assert link in root.get(page("organization_change", organization.pk)).content.decode()
    assert listed(root.get(link)) == {"ours"}
    without = make_staff("view_organization").get(page("organization_change", organization.pk))
    assert link not in without.content.decode()


def test_search(root, page):
    ours = OrganizationFactory.create(name="Acme Foods", slug="acme-slug")
    api_key, _ = make_key(organization=ours, name="Server")
    make_key("csu", user=UserFactory.create(username="grace"), name="Export")
    make_key(organization=OrganizationFactory.create(name="Other", slug="other"), name="Neighbour")

    def names(query):
        return listed(root.get(page("apikey_changelist"), {"q": query}))

    assert names("Foods") == names("acme-slug") == names("serv") == names(api_key.hint) == {"Server"}
    assert names("grace") == {"Export"}
    assert names(api_key.hashed_key[:12]) == set()


@pytest.mark.parametrize("prefix", ["csb", "csu", "cpk"])
def test_search_for_a_key_as_it_is_shown(root, page, prefix):
    api_key, raw_key = make_key(prefix, name="Server")
    make_key(prefix, name="Neighbour")
    make_key(name=f"{prefix}_backup")

    def names(query):
        return listed(root.get(page("apikey_changelist"), {"q": query}))

    for shown in (raw_key[:8], f"{raw_key[:8]}…", raw_key[:15], raw_key[:-1], str(api_key), f"Serv {raw_key[:8]}"):
        assert names(shown) == {"Server"}
    assert names(f"x{raw_key[:8]}") == names(f"{prefix}_") - {f"{prefix}_backup"} == set()
    assert names(f"{prefix}_backup") == {f"{prefix}_backup"}


@pytest.mark.parametrize("lookup", ["hashed_key", "hashed_key__startswith"])
def test_hash_cannot_be_guessed_by_lookups(root, page, lookup):
    api_key, _ = make_key()

    response = root.get(page("apikey_changelist"), {lookup: api_key.hashed_key})

    assert response.status_code == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("text", [" {} ", "X-API-Key:{}", '"key": "{}",'])
def test_search_for_a_whole_key_is_sent_elsewhere(root, page, text):
    _, raw_key = make_key()

    response = root.get(page("apikey_changelist"), {"q": text.format(raw_key)})

    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, page("apikey_find"))
    assert messages(response) == [
        "Do not search for a full key: it ends up in server logs and browser histories. Enter it here instead."
    ]


def test_texts_are_escaped(root, page):
    organization = OrganizationFactory.create(name=PAYLOAD)
    api_key, _ = make_key(organization=organization, name=PAYLOAD, description=PAYLOAD)

    pages = [
        page("apikey_changelist"),
        page("apikey_change", api_key.pk),
        page("apikey_history", api_key.pk),
        page("organization_changelist"),
        page("organization_change", organization.pk),
        page("organization_delete", organization.pk),
    ]
    for address in pages:
        content = root.get(address).content.decode()
        assert "&lt;script&gt;alert(1)" in content
        assert "<script>alert(1)" not in content
        assert "<img src=x" not in content
