"""Test the audit entries in the admin: their page, their filters, and the links that lead to them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import connection
from django.utils.html import strip_tags
from django.utils.text import normalize_newlines

from closient_auth.actors import Actor
from closient_auth.models import ApiKey, AuditEntry, Organization
from closient_auth.models.actors import acting
from closient_auth.models.audit import Event
from tests.admin.members import join, model_page
from tests.factories import OrganizationFactory, UserFactory, make_key


def record(instance=None, event=Event.API_KEY_CHANGED, **values):
    return AuditEntry.objects.record(event, instance, using="default", **values)


@pytest.fixture
def show(root, page):
    """Return a function for the page of an entry as a text, by the name of the field."""

    def show(entry, client=root):
        response = client.get(page("auditentry_change", entry.pk))
        assert response.status_code == HTTPStatus.OK
        return response.content.decode()

    return show


def field(content, name):
    found = content.partition(f"field-{name}")[2].partition('<div class="form-row')[0].partition("</fieldset>")[0]
    return " ".join(strip_tags(normalize_newlines(found.partition('class="readonly">')[2])).split())


def table(content):
    rows = content.partition('<table class="changes">')[2].partition("</table>")[0].split("<tr>")[1:]
    return [[strip_tags(cell).strip() for cell in re.split(r"</t[hd]>", row)[:-1]] for row in rows]


def test_page_tells_when_who_and_what(root, page, show, organization):
    ada = UserFactory.create(username="ada")
    api_key, _ = make_key(organization=organization, name="Server <1>")
    with acting(Actor(ada, address="203.0.113.7")):
        api_key.change(name="Shop")
    entry = AuditEntry.objects.get(event="api_key_changed")
    with connection.cursor() as cursor:
        moment = "2026-03-05 14:07:09" if connection.vendor != "postgresql" else "2026-03-05 14:07:09+00"
        cursor.execute("UPDATE closient_auth_auditentry SET created_at = %s WHERE event = 'api_key_changed'", [moment])

    content = show(entry)

    assert field(content, "moment") == "2026-03-05 08:07:09 CST"
    assert f"<h2>ada changed the key Shop csb_{api_key.hint}…</h2>" in content
    assert field(content, "event") == "API key changed"
    assert field(content, "shown_actor") == "ada (all entries of this user)"
    assert f'href="{model_page(ada, "change", ada.pk)}">ada</a>' in content
    assert f'href="{page("auditentry_changelist")}?user={ada.pk}"' in content
    assert field(content, "address") == "203.0.113.7"
    assert f'href="{page("organization_change", organization.pk)}">Acme Foods</a>' in content
    assert field(content, "shown_target") == f"API key {api_key}"
    assert f'href="{page("apikey_change", api_key.pk)}"' in content
    assert table(content) == [["Field", "Before", "After"], ["Name", "Server &lt;1&gt;", "Shop"]]
    assert "field-created_at" not in root.get(page("auditentry_changelist")).content.decode()
    listed = root.get(page("auditentry_changelist")).content.decode()
    assert '<span class="nowrap">2026-03-05</span> <span class="nowrap">08:07:09 CST</span>' in listed
    assert '>ada</a><br><span class="quiet">203.0.113.7</span>' in listed
    assert "field-shown_key" not in content
    assert "Kind" not in content


def test_page_names_the_key_that_made_the_change(show, page, organization):
    api_key, _ = make_key("csu", user=UserFactory.create(username="ada"))
    with acting(Actor(api_key.user, api_key)):
        entry = record(organization, Event.ORGANIZATION_CHANGED)

    assert field(show(entry), "shown_key") == str(api_key.pk)
    assert f'href="{page("apikey_change", api_key.pk)}"' in show(entry)


def test_history_of_an_entry_is_that_of_its_target(show, page, organization):
    api_key, _ = make_key(organization=organization)
    entry = AuditEntry.objects.get(event="api_key_created")

    content = show(entry)

    assert f'<a href="{page("auditentry_changelist")}?row={api_key.pk}" class="historylink">' in content
    assert page("auditentry_history", entry.pk) not in content


def test_rows_that_are_gone_are_not_linked(show, page, organization):
    owner = join(organization, "owner", username="ada").user
    api_key, _ = make_key(organization=organization)
    with acting(Actor(owner)):
        entry = record(api_key)
    pk = organization.pk
    Organization.objects.get().delete()
    owner.delete()

    content = show(entry)

    assert field(content, "shown_organization") == str(pk)
    assert field(content, "shown_actor") == "ada"
    assert field(content, "shown_target") == f"API key {api_key}"
    for name, gone in (("apikey", api_key.pk), ("organization", pk)):
        assert page(f"{name}_change", gone) not in content


def test_page_of_no_entry(root, page):
    response = root.get(page("auditentry_change", uuid4()))

    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, "/admin/")


def test_page_links_only_what_its_reader_may_view(show, page, make_staff, organization):
    api_key, _ = make_key(organization=organization)
    entry = AuditEntry.objects.get(event="api_key_created")

    content = show(entry, make_staff("view_auditentry", "view_apikey"))

    assert page("apikey_change", api_key.pk) in content
    assert page("organization_change", organization.pk) not in content
    assert field(content, "shown_organization") == "Acme Foods"


def test_page_of_an_entry_about_the_log(show):
    entry = record(None, Event.AUDIT_PRUNED, new={"older_than": datetime(2026, 1, 2, tzinfo=UTC), "entries": 3})

    content = show(entry)

    assert field(content, "shown_target") == f"Audit entry {entry.pk}"
    assert table(content) == [["Field", "After"], ["Entries", "3"], ["Older than", "Jan. 1, 2026, 6 p.m. CST"]]


def test_page_of_an_entry_about_another_model(show):
    ada = UserFactory.create(username="ada")
    entry = AuditEntry(event=Event.USER_FORGOTTEN, target_model="person", target_id=uuid4(), target="ada", user=ada)
    entry.save()

    content = show(entry)

    assert field(content, "shown_target") == "person ada"
    assert field(content, "shown_organization") == "-"
    assert field(content, "changes") == "-"


def test_changes_are_in_the_order_of_the_model(show):
    api_key, _ = make_key()
    values = {"former": 1, "rate_limit_per_day": 5, "name": "Shop", "expires_at": "2026-01-02", "after": 2}

    rows = table(show(record(api_key, new=values)))

    assert [label for label, _ in rows[1:]] == ["Name", "Expires at", "Requests per day", "After", "Former"]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("is_active", False, "no"),
        ("prefix", "csb", "Business"),
        ("name", "", "none"),
        ("expires_at", None, "never"),
        ("expires_at", "2026-03-05T14:07:09.5Z", "March 5, 2026, 8:07 a.m. CST"),
        ("permissions", [], "none"),
        ("permissions", ["organization.view_organization", "shop.sell"], "View the organization, shop.sell"),
        ("former_field", "<b>", "&lt;b&gt;"),
    ],
)
def test_values_are_words(show, name, value, text):
    api_key, _ = make_key()

    heads, row = table(show(record(api_key, old={name: value}, new={name: "x"})))

    assert heads == ["Field", "Before", "After"]
    assert row[1:] == [text, "x"]


def list_targets(client, page, **filters):
    response = client.get(page("auditentry_changelist"), filters)
    assert response.status_code == HTTPStatus.OK
    return [(entry.event, entry.target) for entry in response.context["cl"].result_list]


def test_history_of_a_key_is_its_trail(root, page, organization):
    api_key, _ = make_key(organization=organization, name="Server")
    make_key(organization=organization, name="Neighbour")
    link = f"{page('auditentry_changelist')}?row={api_key.pk}"
    with acting(Actor(api_key=api_key)):
        record(organization, Event.ORGANIZATION_CHANGED)

    content = root.get(page("apikey_change", api_key.pk)).content.decode()

    assert f'<a href="{link}" class="historylink">History</a>' in content
    assert content.count("historylink") == 1
    trail = {("api_key_created", str(api_key)), ("organization_changed", "Acme Foods")}
    assert set(list_targets(root, page, row=str(api_key.pk))) == trail
    assert list_targets(root, page, row="unknown") == list_targets(root, page, row=str(uuid4())) == []


def test_history_of_an_organization_is_its_trail(root, page, organization):
    join(organization, "owner")
    other, _ = make_key()
    link = f"{page('auditentry_changelist')}?organization={organization.pk}"

    content = root.get(page("organization_change", organization.pk)).content.decode()

    assert f'<a href="{link}" class="historylink">History</a>' in content
    trail = list_targets(root, page, organization=str(organization.pk))
    assert {event for event, _ in trail} == {"organization_created", "member_added"}
    assert list_targets(root, page, organization="acme-foods") == trail
    assert list_targets(root, page, organization="unknown") == []
    assert len(list_targets(root, page)) == len(trail) + 2
    pk = str(organization.pk)
    organization.delete()
    assert len(list_targets(root, page, organization=pk)) == len(trail) + 1


def test_without_the_trail_history_is_that_of_django(make_staff, page, organization, monkeypatch):
    django = f'<a href="{page("organization_history", organization.pk)}" class="historylink">History</a>'

    client = make_staff("view_organization")
    assert django in client.get(page("organization_change", organization.pk)).content.decode()
    client = make_staff("view_organization", "view_auditentry")
    assert django not in client.get(page("organization_change", organization.pk)).content.decode()
    monkeypatch.delitem(admin.site._registry, AuditEntry)
    assert django in client.get(page("organization_change", organization.pk)).content.decode()


def test_page_without_the_pages_of_keys(root, show, page, monkeypatch):
    api_key, _ = make_key()
    monkeypatch.delitem(admin.site._registry, ApiKey)

    content = show(AuditEntry.objects.get(event="api_key_created"))

    assert field(content, "shown_target") == f"API key {api_key}"
    assert page("apikey_change", api_key.pk) not in content


def test_list_leads_to_the_entries_of_a_user_and_of_an_organization(root, page, organization):
    ada = UserFactory.create(username="ada")
    with acting(Actor(ada)):
        make_key(organization=organization, name="Server")
    make_key(organization=organization, name="Neighbour")

    content = root.get(page("auditentry_changelist")).content.decode()

    assert f'<a href="?user={ada.pk}">ada</a>' in content
    assert f'<a href="?organization={organization.pk}">Acme Foods</a>' in content
    (entry,) = list_targets(root, page, user=str(ada.pk))
    assert entry[1].endswith("Server")
    assert list_targets(root, page, user="ada") == [entry]
    assert list_targets(root, page, user="nobody") == list_targets(root, page, user="\x00") == []
    entries = list_targets(root, page, organization="acme-foods", event__exact="api_key_created")
    assert len(entries) == 2
    assert list_targets(root, page, organization="acme-foods", event__exact="unknown") == []
    assert list_targets(root, page, event__exact="\x00") == []


def test_list_of_deleted_organizations(root, page):
    record(None, Event.AUDIT_PRUNED)
    organization = OrganizationFactory.create()
    pk = organization.pk
    organization.delete()

    content = root.get(page("auditentry_changelist")).content.decode()

    assert f'<a href="?organization={pk}">{pk}</a>' in content


def test_event_filter_names_every_event_once_and_keeps_the_others(root, page, organization):
    response = root.get(page("auditentry_changelist"), {"event__exact": "member_added", "organization": "acme-foods"})

    form = response.content.decode().partition('<select name="event__exact"')[0].rpartition("<form")[2]
    assert '<input type="hidden" name="organization" value="acme-foods">' in form
    select = response.content.decode().partition('<select name="event__exact"')[2].partition("</select>")[0]
    options = re.findall(r'<option value="(\w+)"( selected)?>', select)
    assert sorted(value for value, _ in options) == sorted(Event.values)
    assert [value for value, selected in options if selected] == ["member_added"]
    groups = re.findall(r'<optgroup label="([^"]+)">', select)
    assert groups == ["Signs of a leak", "API keys", "Members", "Invitations", "Organizations", "Other events"]


def test_list_of_many_entries_takes_as_many_queries_as_one(root, page, count_queries):
    make_key()
    few = count_queries(root, page("auditentry_changelist"))
    for _ in range(10):
        make_key("csu")
        make_key()

    assert count_queries(root, page("auditentry_changelist")) == few
