from __future__ import annotations

from http import HTTPStatus

from closient_auth.keys import verify_api_key
from closient_auth.models import ApiKey
from tests.factories import make_key


def test_own_keys(send, people, tree):
    response = send("editor", "post", "/me/keys", {"name": "Script"})

    assert response.status_code == HTTPStatus.CREATED
    key = ApiKey.objects.get()
    assert (key.prefix, key.user, key.organization, key.created_by) == ("csu", people["editor"], None, people["editor"])
    assert verify_api_key(response.json()["key"])
    assert [row["id"] for row in send("editor", "get", "/me/keys").json()["results"]] == [str(key.pk)]
    assert send("editor", "patch", f"/me/keys/{key.pk}", {"name": "New"}).json()["name"] == "New"
    successor = send("editor", "post", f"/me/keys/{key.pk}/rotate", {}).json()
    assert send("editor", "delete", f"/me/keys/{successor['id']}").status_code == HTTPStatus.NO_CONTENT
    assert list(send("editor", "post", "/me/keys", {"prefix": "csb"}).json()) == ["prefix"]
    assert not ApiKey.objects.active().exists()


def test_own_keys_of_others(send, people, tree):
    key, _ = make_key("csu", user=people["editor"])
    before = ApiKey.objects.values().get()

    for method, suffix in (("get", ""), ("patch", ""), ("delete", ""), ("post", "/rotate")):
        for who in ("owner", "root"):
            for address in (f"/me/keys/{key.pk}{suffix}", f"{tree}/keys/{key.pk}{suffix}"):
                assert send(who, method, address, {}).status_code == HTTPStatus.NOT_FOUND
    assert ApiKey.objects.values().get() == before
