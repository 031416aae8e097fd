from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models.signals import pre_save
from django.test.utils import CaptureQueriesContext

from closient_auth.models import Membership, Organization
from tests.admin.members import OWNER_NEEDED, form_data, formset_errors, join, roles
from tests.factories import UserFactory

User = get_user_model()


def test_two_owners_can_be_swapped_in_one_submit(root, send, organization):
    first, second = join(organization, "owner", username="ada"), join(organization, "manager", username="grace")

    assert send(root, {first: "manager", second: "owner"}).status_code == HTTPStatus.FOUND
    assert roles(organization) == {"ada": "manager", "grace": "owner"}
    assert send(root, {second: None}, [(UserFactory.create(username="ken"), "owner")]).status_code == HTTPStatus.FOUND
    assert roles(organization) == {"ada": "manager", "ken": "owner"}


@pytest.mark.parametrize("role", [None, "manager", "editor"])
def test_last_active_owner_stays(root, send, organization, role):
    owner = join(organization, "owner", username="ada")
    join(organization, "owner", username="left", is_active=False)
    manager = join(organization, "manager", username="grace")

    response = send(root, {owner: role, manager: "editor"}, name="Renamed")

    assert formset_errors(response) == [OWNER_NEEDED]
    assert roles(organization) == {"ada": "owner", "left": "owner", "grace": "manager"}
    assert Organization.objects.get().name == "Acme Foods"
    assert not LogEntry.objects.exists()


def test_inactive_owner_may_go(root, send, organization):
    join(organization, "owner", username="ada")
    inactive = join(organization, "owner", username="left", is_active=False)

    assert send(root, {inactive: None}).status_code == HTTPStatus.FOUND
    assert roles(organization) == {"ada": "owner"}


def test_organization_that_lost_its_owners_can_still_be_edited(root, send, organization):
    join(organization, "owner", username="left", is_active=False)

    assert send(root, name="Renamed").status_code == HTTPStatus.FOUND
    assert Organization.objects.get().name == "Renamed"


def test_owner_who_joined_since_the_page_was_shown_counts(root, page, organization):
    owner = join(organization, "owner", username="ada")
    data = form_data(organization, {owner: None})
    join(organization, "owner", username="grace")

    response = root.post(page("organization_change", organization.pk), data)

    assert response.status_code == HTTPStatus.FOUND
    assert roles(organization) == {"grace": "owner"}


def test_owner_deactivated_while_saving_undoes_all_of_it(root, page, send, organization):
    first, second = join(organization, "owner", username="ada"), join(organization, "owner", username="grace")

    def deactivate(**kwargs):
        User.objects.filter(pk=second.user_id).update(is_active=False)

    pre_save.connect(deactivate, sender=Membership)
    try:
        response = send(root, {first: "editor"}, name="Renamed")
    finally:
        pre_save.disconnect(deactivate, sender=Membership)

    assert (response.status_code, response["Location"]) == (
        HTTPStatus.FOUND,
        page("organization_change", organization.pk),
    )
    assert [str(message) for message in get_messages(response.wsgi_request)] == [OWNER_NEEDED]
    assert roles(organization) == {"ada": "owner", "grace": "owner"}
    assert Organization.objects.get().name == "Acme Foods"
    assert not LogEntry.objects.exists()


def test_members_are_read_under_the_lock(root, send, organization):
    join(organization, "owner")

    with CaptureQueriesContext(connection) as queries:
        assert send(root, name="Renamed").status_code == HTTPStatus.FOUND

    # The helper also queries while it builds the form data; the request starts with the session query.
    sql = [query["sql"].replace('"', "").replace("`", "") for query in queries]
    sent = next(index for index, text in enumerate(sql) if "django_session" in text)
    lock, members = (
        next(index for index, text in enumerate(sql) if index > sent and text.startswith(start))
        for start in ("UPDATE closient_auth_organization SET created_at", "SELECT closient_auth_membership")
    )
    assert lock < members


def test_an_error_in_a_row_comes_first(root, send, organization):
    owner = join(organization, "owner", username="ada")

    response = send(root, {owner: "nonsense"})

    (inline,) = response.context["inline_admin_formsets"]
    assert "nonsense is not one of the available choices" in str(inline.formset.errors)
    assert formset_errors(response) == []
    assert roles(organization) == {"ada": "owner"}
