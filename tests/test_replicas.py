"""
Credentials and all managed data are read from the primary database.

A replica lags. It would accept a revoked key or a removed member, lacks recent rows and cannot be written to.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.utils.connection import ConnectionDoesNotExist

from closient_auth import urls
from closient_auth.keys import KeyType
from closient_auth.models import ApiKey, Invitation, Membership
from tests.factories import MembershipFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db(transaction=True)


class ReplicaRouter:
    """Send every read to a missing replica, so a read from it fails."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, obj1, obj2, **hints):
        return True


@pytest.fixture
def call_beside_replica(call, settings):
    """Return a function to send a request while reads from a replica fail."""

    def call_beside_replica(*args):
        settings.DATABASE_ROUTERS = [ReplicaRouter()]
        for model in (ApiKey, Membership, get_user_model()):
            with pytest.raises(ConnectionDoesNotExist):
                model._default_manager.first()
        response = call(*args)
        settings.DATABASE_ROUTERS = []
        return response

    return call_beside_replica


@pytest.mark.parametrize("prefix", KeyType.values)
def test_key_is_found_and_its_use_is_written(call_beside_replica, prefix):
    api_key, raw_key = make_key(prefix)
    assert call_beside_replica("/open-who/", raw_key).status_code == HTTPStatus.OK
    api_key.refresh_from_db()
    assert api_key.last_used is not None


@pytest.mark.parametrize("prefix", KeyType.values)
def test_revoked_key_is_refused_on_the_next_request(call_beside_replica, prefix):
    api_key, raw_key = make_key(prefix)
    _, neighbour = make_key(prefix)
    assert call_beside_replica("/open-who/", raw_key).status_code == HTTPStatus.OK

    api_key.revoke()

    assert call_beside_replica("/open-who/", raw_key).json()["code"] == "invalid_api_key"
    assert call_beside_replica("/open-who/", neighbour).status_code == HTTPStatus.OK


def test_removed_member_is_refused_on_the_next_request(call_beside_replica):
    membership = MembershipFactory.create()
    _, raw_key = make_key(KeyType.USER, user=membership.user)
    assert call_beside_replica("/organization/", raw_key).status_code == HTTPStatus.OK

    membership.delete()

    assert call_beside_replica("/organization/", raw_key).json()["code"] == "organization_required"


@pytest.fixture
def manage(call, mount, replica):
    """Return a function to call the management API beside the replica. The project routes users and sessions."""
    mount(*urls.urlpatterns)
    replica("closient_auth")

    def manage(who, method, path, data=None):
        credential = {"raw_key": who} if isinstance(who, str) else {"user": who}
        response = call(f"/{path}", method=method, data=data, **credential)
        assert response.status_code < HTTPStatus.BAD_REQUEST, (path, response.content)
        return response.json() if response.content else None

    return manage


def test_keys_are_managed_beside_a_replica(manage):
    owner = UserFactory.create()
    manage(owner, "post", "organizations", {"name": "Acme"})
    organization = manage(owner, "post", "organizations", {"name": "Acme"})

    for path, data in ((f"organizations/{organization['slug']}/keys", {"prefix": "csb"}), ("me/keys", {})):
        first, second = (manage(owner, "post", path, data) for _ in range(2))
        assert manage(owner, "patch", f"{path}/{first['id']}", {"name": "Shop"})["name"] == "Shop"
        successor = manage(owner, "post", f"{path}/{first['id']}/rotate", {"grace_seconds": 60})
        manage(owner, "post", f"{path}/{successor['id']}/rotate")
        manage(owner, "delete", f"{path}/{first['id']}")
        assert manage(owner, "get", f"{path}/{first['id']}")["state"] == "revoked"
        assert manage(owner, "get", f"{path}?state=active")["count"] == 2
        assert len(manage(second["key"], "get", "me")["organizations"]) == (2 if path == "me/keys" else 1)
        manage(second["key"], "delete", "me/key")


def test_members_are_managed_beside_a_replica(manage):
    owner, guest = UserFactory.create(), UserFactory.create(username="guest")
    organization = manage(owner, "post", "organizations", {"name": "Acme", "slug": "acme"})
    path = f"organizations/{organization['id']}"
    manage(owner, "patch", path, {"slug": "acme-2"})

    withdrawn = manage(owner, "post", f"{path}/invitations", {"email": "other@example.com"})
    manage(owner, "delete", f"{path}/invitations/{withdrawn['id']}")
    invitation = manage(owner, "post", f"{path}/invitations", {"email": guest.email, "role": "manager"})
    Invitation.objects.using("default").update(last_sent_at=None)
    manage(owner, "post", f"{path}/invitations/{invitation['id']}/resend")
    assert manage(owner, "get", f"{path}/invitations?status=pending")["count"] == 1
    (token,) = re.findall(r"^ +(\w{32})$", str(mail.outbox[-1].body), re.MULTILINE)
    assert manage(guest, "post", "invitations/preview", {"token": token})["is_yours"]
    assert manage(guest, "get", "me/invitations")["count"] == 1
    membership = manage(guest, "post", "invitations/accept", {"token": token})
    manage(guest, "post", f"{path}/keys", {"prefix": "csb"})

    assert manage(guest, "get", "me")["organizations"][0]["slug"] == "acme-2"
    manage(owner, "patch", f"{path}/members/{membership['id']}", {"role": "owner"})
    assert len(manage(owner, "delete", f"{path}/members/{membership['id']}")["live_keys"]) == 1
    assert manage(owner, "get", f"{path}/members")["count"] == 1
    assert manage(owner, "get", f"{path}/audit")["count"] == 12
    manage(owner, "delete", path)
    assert manage(owner, "get", "organizations")["count"] == 0
