from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.models import ApiKey
from tests.admin.browser import read_form
from tests.admin.members import model_page
from tests.factories import OrganizationFactory, UserFactory, make_key


def messages(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def stored(api_key):
    return ApiKey.objects.values().get(pk=api_key.pk)


def select(*api_keys, action):
    return {"action": action, "_selected_action": [str(api_key.pk) for api_key in api_keys]}


CONFIRMED = {"post": "yes"}


def test_revoke_button(root, root_user, page):
    api_key, _ = make_key(name="Server <1>")
    neighbour, _ = make_key()
    filters = "?_changelist_filters=state%3Dactive"
    address = page("apikey_revoke", api_key.pk) + filters
    assert (
        f'href="{address}" class="revokelink"' in root.get(page("apikey_change", api_key.pk) + filters).content.decode()
    )

    response = root.post(address, CONFIRMED)

    assert (response.status_code, response["Location"]) == (
        HTTPStatus.FOUND,
        page("apikey_change", api_key.pk) + filters,
    )
    assert messages(response) == [f"API key {api_key} was revoked."]
    assert (stored(api_key)["is_active"], stored(neighbour)["is_active"]) == (False, True)
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user, str(entry)) == (str(api_key.pk), root_user, f"Changed “{api_key}” — Revoked.")
    content = root.get(page("apikey_change", api_key.pk)).content.decode()
    assert f"API key {api_key.prefix}_{api_key.hint}… Server &lt;1&gt; was revoked." in content
    assert "revokelink" not in content


@pytest.mark.parametrize("method", ["get", "post"])
def test_page_asks_before_a_revocation(root, page, organization, method):
    api_key, raw_key = make_key(organization=organization, name="Server <1>")
    ApiKey.objects.filter(pk=api_key.pk).update(last_used=timezone.now() - timedelta(minutes=2, seconds=5))
    filters = "?_changelist_filters=state%3Dactive"

    response = getattr(root, method)(page("apikey_revoke", api_key.pk) + filters)

    assert response.status_code == HTTPStatus.OK
    content = response.content.decode()
    assert "A revoked key cannot be activated again." in content
    assert f"csb_{api_key.hint}… Server &lt;1&gt;" in content
    assert "<td>Acme Foods</td>" in content
    assert ">2 minutes ago</time>" in content
    assert 'value="Revoke" class="revokelink" autofocus>' in content
    assert f'href="{page("apikey_change", api_key.pk)}{filters}">Cancel' in content
    assert raw_key not in content
    assert stored(api_key)["is_active"]
    assert not LogEntry.objects.exists()
    data = {name: value for name, (value,) in read_form(response, "content-main").items()}
    assert root.post(page("apikey_revoke", api_key.pk), data).status_code == HTTPStatus.FOUND
    assert not stored(api_key)["is_active"]


def test_page_says_that_a_key_was_never_used(root, page):
    api_key, _ = make_key("csu", user=UserFactory.create(username="ada"))

    content = root.get(page("apikey_revoke", api_key.pk)).content.decode()

    assert "<td>ada</td>" in content
    # The key has no expiry either.
    assert content.count("<td>Never</td>") == 2


@pytest.mark.parametrize("method", ["get", "post"])
def test_revoking_again_is_harmless(root, page, method):
    api_key, _ = make_key()
    api_key.revoke()

    response = getattr(root, method)(page("apikey_revoke", api_key.pk), CONFIRMED)

    assert response["Location"] == page("apikey_change", api_key.pk)
    assert messages(response) == ["There is no active API key to revoke."]
    assert not LogEntry.objects.exists()


def test_revoke_is_never_a_get(root, page):
    api_key, _ = make_key()

    assert root.get(page("apikey_revoke", api_key.pk), CONFIRMED).status_code == HTTPStatus.OK
    assert stored(api_key)["is_active"]


def test_revoke_needs_the_change_permission(page, make_staff):
    api_key, _ = make_key()

    client = make_staff("view_apikey", "add_apikey", "delete_apikey")

    address = page("apikey_revoke", api_key.pk)
    assert client.get(address).status_code == HTTPStatus.FORBIDDEN
    assert client.post(address, CONFIRMED).status_code == HTTPStatus.FORBIDDEN
    assert stored(api_key)["is_active"]
    assert make_staff("change_apikey").post(address, CONFIRMED).status_code == HTTPStatus.FOUND
    assert not stored(api_key)["is_active"]


@pytest.mark.parametrize("name", ["apikey_revoke", "apikey_find"])
def test_posts_need_a_csrf_token(page, make_staff, name):
    api_key, raw_key = make_key()
    client = make_staff("change_apikey", enforce_csrf_checks=True)

    response = client.post(
        page(name, *([api_key.pk] if name == "apikey_revoke" else [])), {"api_key": raw_key, **CONFIRMED}
    )

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert "CSRF verification failed" in response.content.decode()
    assert raw_key not in response.content.decode()
    assert stored(api_key)["is_active"]


@pytest.mark.parametrize("name", ["00000000-0000-4000-8000-000000000000", "nothing"])
def test_revoke_of_no_key(root, page, name):
    assert root.get(page("apikey_revoke", name)).status_code == HTTPStatus.NOT_FOUND
    assert root.post(page("apikey_revoke", name), CONFIRMED).status_code == HTTPStatus.NOT_FOUND


def test_revoke_selected(root, page):
    first, second, revoked, neighbour = (make_key(name=name)[0] for name in ("first", "second", "revoked", "neighbour"))
    revoked.revoke()
    address = page("apikey_changelist") + "?prefix__exact=csb"

    asked = root.post(address, select(first, second, revoked, action="revoke_selected"))

    content = asked.content.decode()
    assert asked.status_code == HTTPStatus.OK
    assert "revoke these 2 API keys" in content
    assert all(str(api_key) in content for api_key in (first, second))
    assert not any(str(api_key) in content for api_key in (revoked, neighbour))
    assert f'href="{address}">Cancel' in content
    assert set(ApiKey.objects.active()) == {first, second, neighbour}
    assert not LogEntry.objects.exists()

    # A key that matches the filters by now is none of these.
    late, _ = make_key()
    response = root.post(address, read_form(asked, "content-main"))

    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, address)
    assert messages(response) == ["2 API keys were revoked."]
    assert set(ApiKey.objects.active()) == {neighbour, late}
    assert set(LogEntry.objects.values_list("object_id", flat=True)) == {str(first.pk), str(second.pk)}


def test_confirmation_of_django_is_one_as_well(root, page):
    first, neighbour = (make_key()[0] for _ in range(2))

    data = {**select(first, action="revoke_selected"), **CONFIRMED}
    assert messages(root.post(page("apikey_changelist"), data)) == [f"API key {first} was revoked."]
    assert ApiKey.objects.active().get() == neighbour


def test_revoke_selected_of_revoked_keys(root, page):
    api_key, neighbour = (make_key()[0] for _ in range(2))
    api_key.revoke()

    response = root.post(page("apikey_changelist"), select(api_key, action="revoke_selected"))

    assert (response.status_code, messages(response)) == (
        HTTPStatus.FOUND,
        ["There is no active API key to revoke."],
    )
    assert ApiKey.objects.active().get() == neighbour


def test_confirmation_with_malformed_ids_revokes_nothing(root, page):
    api_key, _ = make_key()

    data = {**select(api_key, action="revoke_selected"), **CONFIRMED, "keys": "x,,1", "select_across": 1}
    assert messages(root.post(page("apikey_changelist"), data)) == ["There is no active API key to revoke."]
    assert stored(api_key)["is_active"]


def test_all_keys_of_a_filter_at_once(root, page, monkeypatch):
    """There are more keys than the page lists."""
    monkeypatch.setattr("closient_auth.admin.api_keys.LISTED_KEYS", 2)
    keys = [make_key(name="leaked")[0] for _ in range(3)]
    neighbour, _ = make_key(name="other")
    address = page("apikey_changelist") + "?q=leaked"

    asked = root.post(address, {**select(keys[0], action="revoke_selected"), "select_across": 1})

    content = asked.content.decode()
    assert "revoke these 3 API keys" in content
    assert content.count('<th scope="row">') == 2
    assert "and 1 more key" in content
    assert messages(root.post(address, read_form(asked, "content-main"))) == ["3 API keys were revoked."]
    assert ApiKey.objects.active().get() == neighbour


def test_question_about_many_keys_takes_as_many_queries_as_about_one(root, page):
    def count(*keys):
        with CaptureQueriesContext(connection) as queries:
            response = root.post(page("apikey_changelist"), select(*keys, action="revoke_selected"))
            assert "Do you want to revoke" in response.content.decode()
        return len(queries)

    keys = [make_key(prefix)[0] for prefix in ("csb", "csu", "cpk") * 5]
    count(keys[0])

    assert count(keys[0]) == count(*keys)


def test_revoke_selected_needs_the_change_permission(page, make_staff):
    api_key, _ = make_key()

    data = {**select(api_key, action="revoke_selected"), **CONFIRMED}
    response = make_staff("view_apikey").post(page("apikey_changelist"), data)

    assert response.status_code == HTTPStatus.OK
    assert stored(api_key)["is_active"]


def test_keys_are_not_deleted_from_their_pages(root, page):
    api_key, _ = make_key()
    address = page("apikey_delete", api_key.pk)

    assert root.get(address).status_code == HTTPStatus.FORBIDDEN
    assert root.post(address, {"post": "yes"}).status_code == HTTPStatus.FORBIDDEN
    assert address not in root.get(page("apikey_change", api_key.pk)).content.decode()
    assert "delete_selected" not in root.get(page("apikey_changelist")).content.decode()
    data = {**select(api_key, action="delete_selected"), "post": "yes"}
    assert messages(root.post(page("apikey_changelist"), data)) == ["No action selected."]
    assert ApiKey.objects.get() == api_key


@pytest.mark.parametrize("how", ["page", "action"])
@pytest.mark.parametrize("model", ["organization", "user"])
def test_keys_go_with_their_holder(page, make_staff, model, how):
    holder = OrganizationFactory.create() if model == "organization" else UserFactory.create()
    make_key("csb" if model == "organization" else "csu", **{model: holder})
    neighbour, _ = make_key()

    def delete(client):
        if how == "page":
            return client.post(model_page(holder, "delete", holder.pk), {"post": "yes"})
        return client.post(
            model_page(holder, "changelist"), {**select(holder, action="delete_selected"), "post": "yes"}
        )

    permissions = [f"delete_{model}", f"view_{model}"]
    assert delete(make_staff(*permissions)).status_code == HTTPStatus.FORBIDDEN
    assert ApiKey.objects.count() == 2

    assert delete(make_staff(*permissions, "delete_apikey")).status_code == HTTPStatus.FOUND
    assert ApiKey.objects.get() == neighbour
