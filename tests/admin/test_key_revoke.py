from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages

from closient_auth.models import ApiKey
from tests.admin.members import model_page
from tests.factories import OrganizationFactory, UserFactory, make_key


def messages(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def stored(api_key):
    return ApiKey.objects.values().get(pk=api_key.pk)


def select(*api_keys, action):
    return {"action": action, "_selected_action": [str(api_key.pk) for api_key in api_keys]}


def test_revoke_button(root, root_user, page):
    api_key, _ = make_key(name="Server <1>")
    neighbour, _ = make_key()
    filters = "?_changelist_filters=state%3Dactive"
    address = page("apikey_revoke", api_key.pk) + filters
    assert f'formaction="{address}"' in root.get(page("apikey_change", api_key.pk) + filters).content.decode()

    response = root.post(address)

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


def test_revoking_again_is_harmless(root, page):
    api_key, _ = make_key()
    api_key.revoke()

    response = root.post(page("apikey_revoke", api_key.pk))

    assert messages(response) == ["There is no active API key to revoke."]
    assert not LogEntry.objects.exists()


def test_revoke_is_never_a_get(root, page):
    api_key, _ = make_key()

    assert root.get(page("apikey_revoke", api_key.pk)).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert stored(api_key)["is_active"]


def test_revoke_needs_the_change_permission(page, make_staff):
    api_key, _ = make_key()

    client = make_staff("view_apikey", "add_apikey", "delete_apikey")

    assert client.post(page("apikey_revoke", api_key.pk)).status_code == HTTPStatus.FORBIDDEN
    assert stored(api_key)["is_active"]
    assert make_staff("change_apikey").post(page("apikey_revoke", api_key.pk)).status_code == HTTPStatus.FOUND
    assert not stored(api_key)["is_active"]


@pytest.mark.parametrize("name", ["apikey_revoke", "apikey_find"])
def test_posts_need_a_csrf_token(page, make_staff, name):
    api_key, raw_key = make_key()
    client = make_staff("change_apikey", enforce_csrf_checks=True)

    response = client.post(page(name, *([api_key.pk] if name == "apikey_revoke" else [])), {"api_key": raw_key})

    assert response.status_code == HTTPStatus.FORBIDDEN
    assert "CSRF verification failed" in response.content.decode()
    assert raw_key not in response.content.decode()
    assert stored(api_key)["is_active"]


@pytest.mark.parametrize("name", ["00000000-0000-4000-8000-000000000000", "nothing"])
def test_revoke_of_no_key(root, page, name):
    assert root.post(page("apikey_revoke", name)).status_code == HTTPStatus.NOT_FOUND


def test_revoke_selected(root, page):
    first, second, revoked, neighbour = (make_key()[0] for _ in range(4))
    revoked.revoke()

    response = root.post(page("apikey_changelist"), select(first, second, revoked, action="revoke_selected"))

    assert messages(response) == ["2 API keys were revoked."]
    assert set(ApiKey.objects.active()) == {neighbour}
    assert set(LogEntry.objects.values_list("object_id", flat=True)) == {str(first.pk), str(second.pk)}


def test_revoke_selected_needs_the_change_permission(page, make_staff):
    api_key, _ = make_key()

    response = make_staff("view_apikey").post(page("apikey_changelist"), select(api_key, action="revoke_selected"))

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
