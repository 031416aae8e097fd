from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib import admin
from django.urls import path

from closient_auth.models import ApiKey, AuditEntry, Organization
from tests.admin.members import join
from tests.factories import make_key
from tests.views import WhoView


def recorded():
    """Return the event, actor and address of each entry not recorded as the system's."""
    entries = AuditEntry.objects.exclude(actor="system").order_by("created_at", "event")
    return [(entry.event, entry.actor, entry.address) for entry in entries]


def test_changes_are_those_of_the_staff_user(root, page, send, organization):
    owner, editor = join(organization, "owner"), join(organization, "editor")

    assert send(root, {editor: "owner", owner: None}, name="Acme Ltd").status_code == HTTPStatus.FOUND

    assert sorted(recorded()) == [
        ("member_changed", "root", "127.0.0.1"),
        ("member_removed", "root", "127.0.0.1"),
        ("organization_changed", "root", "127.0.0.1"),
    ]


def test_keys(root, page, organization):
    form = {"prefix": "csb", "organization": organization.pk, "name": "Server"}
    form |= {"rate_limit_per_minute": 0, "rate_limit_per_day": 0}
    assert root.post(page("apikey_add"), form).status_code == HTTPStatus.OK
    key = ApiKey.objects.get()
    limits = {"name": "Shop", "rate_limit_per_minute": 5, "rate_limit_per_day": 0}
    assert root.post(page("apikey_change", key.pk), limits).status_code == HTTPStatus.FOUND
    assert root.post(page("apikey_revoke", key.pk), {"post": "yes"}).status_code == HTTPStatus.FOUND
    other, _ = make_key(organization=organization)
    selected = {"action": "revoke_selected", "_selected_action": [str(other.pk)], "post": "yes"}
    root.post(page("apikey_changelist"), selected)

    assert [event for event, actor, _ in recorded() if actor == "root"] == [
        "api_key_created",
        "api_key_changed",
        "api_key_revoked",
        "api_key_revoked",
    ]
    changed = AuditEntry.objects.get(event="api_key_changed")
    assert (changed.old_values, changed.new_values) == (
        {"name": "Server", "rate_limit_per_minute": 0},
        {"name": "Shop", "rate_limit_per_minute": 5},
    )


@pytest.mark.parametrize("way", ["page", "action"])
def test_deleted_organization(root, page, organization, way):
    if way == "page":
        root.post(page("organization_delete", organization.pk), {"post": "yes"})
    else:
        selected = {"action": "delete_selected", "_selected_action": [str(organization.pk)], "post": "yes"}
        root.post(page("organization_changelist"), selected)

    assert not Organization.objects.exists()
    assert recorded() == [("organization_deleted", "root", "127.0.0.1")]


def test_signs_of_a_leak_are_found_by_their_event(root, page, call, mount, organization):
    mount(path("admin/", admin.site.urls), path("who/", WhoView.as_view()))
    key, raw_key = make_key(organization=organization)
    call("/who/", raw_key, origin="https://shop.example")
    ApiKey.objects.get(pk=key.pk).revoke()
    call("/who/", raw_key)

    everything = root.get(page("auditentry_changelist")).content.decode()
    for event, text in [
        ("revoked_api_key_used", "Revoked API key used"),
        ("api_key_used_in_browser", "Secret API key used in a browser"),
    ]:
        group = everything.partition('<optgroup label="Signs of a leak">')[2].partition("</optgroup>")[0]
        assert f'<option value="{event}">{text}</option>' in group
        (entry,) = root.get(page("auditentry_changelist"), {"event__exact": event}).context["cl"].result_list
        assert (entry.target_id, entry.address, str(entry)) == (key.pk, "127.0.0.1", f"{text}: {key}")


def test_entries_are_only_read(root, page, organization):
    entry = AuditEntry.objects.get()

    listed = root.get(page("auditentry_changelist") + f"?q={organization.pk}")
    assert "Acme Foods" in listed.content.decode()
    shown = root.get(page("auditentry_change", entry.pk))
    assert "acme-foods" in shown.content.decode()
    assert 'name="_save"' not in shown.content.decode()

    assert root.get(page("auditentry_add")).status_code == HTTPStatus.FORBIDDEN
    assert root.post(page("auditentry_change", entry.pk), {"actor": "x"}).status_code == HTTPStatus.FORBIDDEN
    assert root.post(page("auditentry_delete", entry.pk), {"post": "yes"}).status_code == HTTPStatus.FORBIDDEN
    root.post(
        page("auditentry_changelist"), {"action": "delete_selected", "_selected_action": [str(entry.pk)], "post": "yes"}
    )
    assert AuditEntry.objects.get().actor == "system"
