from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.utils.html import strip_tags

from closient_auth.models import AuditEntry, Organization
from tests.admin.members import join
from tests.factories import OrganizationFactory, UserFactory, make_key

PAGES = ["organization_suspend", "organization_lift_suspension"]


def messages(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def is_suspended(organization):
    return Organization.objects.get(pk=organization.pk).suspended_at is not None


def test_suspension_and_its_end(root, root_user, page, organization):
    neighbour = OrganizationFactory.create()
    filters = "?_changelist_filters=suspended%3Dno"
    change = page("organization_change", organization.pk)
    address = page("organization_suspend", organization.pk)
    assert f'href="{address}{filters}"' in root.get(change + filters).content.decode()

    response = root.post(address + filters)

    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, change + filters)
    assert messages(response) == ["The organization “Acme Foods” is suspended."]
    assert (is_suspended(organization), is_suspended(neighbour)) == (True, False)
    entry = AuditEntry.objects.get(event="organization_changed")
    assert (entry.actor, entry.user, entry.address) == ("root", root_user, "127.0.0.1")
    assert list(entry.new_values) == ["suspended_at"]
    log = LogEntry.objects.get()
    assert (log.object_id, log.user, str(log)) == (str(organization.pk), root_user, "Changed “Acme Foods” — Suspended.")
    content = root.get(change).content.decode()
    assert page("organization_lift_suspension", organization.pk) in content
    assert address not in content

    response = root.post(page("organization_lift_suspension", organization.pk))

    assert messages(response)[-1] == "The suspension of the organization “Acme Foods” is lifted."
    assert not is_suspended(organization)
    assert AuditEntry.objects.filter(event="organization_changed", actor="root").count() == 2
    assert "Suspension lifted." in str(LogEntry.objects.first())


def test_page_names_who_is_refused(root, page, organization):
    ada = join(organization, "owner").user
    join(organization, "editor")
    join(OrganizationFactory.create(), "owner")
    for prefix in ("csb", "cpk", "cpk"):
        make_key(prefix, organization=organization)
    make_key(organization=organization)[0].revoke()
    make_key("csu", user=ada)
    make_key("csu")

    for name, told in zip(PAGES, ("are refused there", "are accepted again"), strict=True):
        content = root.get(page(name, organization.pk)).content.decode()
        assert told in content
        assert "<li>2 members</li>" in content
        assert "<li>3 active API keys of the organization</li>" in content
        assert "<li>1 active user key of its members, in this organization only</li>" in content
    assert not is_suspended(organization)
    assert not LogEntry.objects.exists()


def test_name_is_escaped(root, page):
    organization = OrganizationFactory.create(name="<script>alert(1)</script>")

    content = root.get(page("organization_suspend", organization.pk)).content.decode()
    response = root.post(page("organization_suspend", organization.pk), follow=True)

    assert "&lt;script&gt;alert(1)" in content
    assert "<script>alert" not in content + response.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_doing_it_twice_is_harmless(root, page, organization, name):
    for _ in range(2):
        root.post(page("organization_suspend", organization.pk))
    since = Organization.objects.get(pk=organization.pk).suspended_at
    if name == "organization_suspend":
        root.post(page(name, organization.pk))
        assert Organization.objects.get(pk=organization.pk).suspended_at == since
        assert LogEntry.objects.count() == AuditEntry.objects.filter(event="organization_changed").count() == 1
    else:
        for _ in range(2):
            root.post(page(name, organization.pk))
        assert not is_suspended(organization)
        assert LogEntry.objects.count() == AuditEntry.objects.filter(event="organization_changed").count() == 2


@pytest.mark.parametrize(
    ("permissions", "is_allowed"),
    [
        (["view_organization", "view_apikey"], False),
        (["add_organization", "delete_organization", "change_apikey", "change_membership"], False),
        (["change_organization"], True),
    ],
)
def test_suspension_needs_the_change_permission(page, make_staff, organization, permissions, is_allowed):
    client = make_staff(*permissions)
    neighbour = OrganizationFactory.create(suspended_at="2026-01-01T00:00Z")
    status = HTTPStatus.OK if is_allowed else HTTPStatus.FORBIDDEN

    assert {client.get(page(name, organization.pk)).status_code for name in PAGES} == {status}
    content = client.get(page("organization_change", organization.pk)).content.decode()
    assert (page("organization_suspend", organization.pk) in content) == is_allowed
    client.post(page("organization_suspend", organization.pk))
    client.post(page("organization_lift_suspension", neighbour.pk))
    assert is_suspended(organization) == is_allowed
    assert is_suspended(neighbour) != is_allowed
    assert LogEntry.objects.exists() == is_allowed


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("pk", ["00000000-0000-4000-8000-000000000000", "nothing"])
def test_suspension_of_no_organization(root, page, name, pk):
    assert root.get(page(name, pk)).status_code == HTTPStatus.NOT_FOUND
    assert root.post(page(name, pk)).status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("name", PAGES)
def test_suspension_needs_a_csrf_token(page, make_staff, organization, name):
    client = make_staff("change_organization", enforce_csrf_checks=True)

    response = client.post(page(name, organization.pk))

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert "CSRF verification failed" in response.content.decode()
    assert not is_suspended(organization)


def test_form_does_not_suspend_but_refuses_user_keys(root, page, send, organization):
    join(organization, "owner")
    suspended = {"suspended_at": "2020-01-01 12:00", "suspended_at_0": "2020-01-01", "suspended_at_1": "12:00:00"}

    assert send(root, **suspended).status_code == HTTPStatus.FOUND
    organization.refresh_from_db()
    assert (organization.suspended_at, organization.user_keys_allowed) == (None, True)
    root.post(page("organization_suspend", organization.pk))
    assert send(root, user_keys_allowed="").status_code == HTTPStatus.FOUND
    organization.refresh_from_db()
    assert not organization.user_keys_allowed
    assert organization.suspended_at is not None
    assert AuditEntry.objects.filter(event="organization_changed", actor="root").count() == 2


def test_list_shows_and_filters(root, page, organization):
    OrganizationFactory.create(name="Working")
    root.post(page("organization_suspend", organization.pk))

    def names(**query):
        result = root.get(page("organization_changelist"), query).context["cl"].result_list
        return [row.name for row in result]

    assert names() == names(suspended="maybe") == ["Acme Foods", "Working"]
    assert names(suspended="yes") == ["Acme Foods"]
    assert names(suspended="no") == ["Working"]
    content = root.get(page("organization_changelist")).content.decode()
    assert content.count('field-suspended_at nowrap">-<') == 1


def test_new_organization_is_not_suspended(root, page):
    owner = UserFactory.create()
    data = {
        "name": "New",
        "slug": "new-co",
        "suspended_at": "2020-01-01",
        "memberships-TOTAL_FORMS": 1,
        "memberships-INITIAL_FORMS": 0,
        "memberships-0-user": owner.pk,
        "memberships-0-role": "owner",
    }

    assert root.post(page("organization_add"), data).status_code == HTTPStatus.FOUND
    organization = Organization.objects.get()
    assert (organization.suspended_at, organization.user_keys_allowed) == (None, True)


def test_suspension_beside_a_replica(root, page, organization, replica):
    make_key(organization=organization)
    replica("closient_auth")

    assert "1 active API key of" in root.get(page("organization_suspend", organization.pk)).content.decode()
    assert root.post(page("organization_suspend", organization.pk)).status_code == HTTPStatus.FOUND
    organization.refresh_from_db(using="default")
    assert organization.suspended_at is not None


def test_state_of_a_key_tells_of_the_suspension(root, page, organization, count_queries):
    def states():
        rows = root.get(page("apikey_changelist")).content.decode().split('<td class="field-state">')[1:]
        return sorted(strip_tags(row.partition("</td>")[0]) for row in rows)

    api_key, _ = make_key(organization=organization)
    make_key(organization=organization)[0].revoke()
    make_key(organization=organization)[0].rotate(grace=timedelta(hours=1))
    make_key()
    make_key("csu")
    few = count_queries(root, page("apikey_changelist"))
    assert states() == ["Active", "Active", "Active", "Active", "Active (rotated)", "Revoked"]

    organization.suspend()

    suspended = "Active (organization suspended)"
    assert states() == ["Active", "Active", suspended, suspended, "Active (rotated, organization suspended)", "Revoked"]
    content = root.get(page("apikey_change", api_key.pk)).content.decode()
    badge = '<span class="badge badge-active">Active</span> (organization suspended)'
    assert f'<div class="readonly">{badge}</div>' in content
    assert count_queries(root, page("apikey_changelist")) == few
