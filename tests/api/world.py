"""Two organizations with a row of each model, and the credentials of every principal."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import Model

from closient_auth.models import ApiKey, ApiKeyUsage, ExpiryReminder, MailedAddress, Organization
from tests.factories import MembershipFactory, make_invitation, make_key

# The columns: sessions, then a business key, user keys (``u-``) and a publishable key.
PRINCIPALS = {
    "ano": "anonymous",
    "out": "outsider",
    "edi": "editor",
    "bil": "billing",
    "man": "manager",
    "own": "owner",
    "sup": "root",
    "csb": "csb",
    "u-e": "csu editor",
    "u-b": "csu billing",
    "u-m": "csu manager",
    "u-o": "csu owner",
    "u-s": "csu root",
    "cpk": "cpk",
}
# The path to the organization, if it is not ``organization_id``.
PATHS: dict[type[Model], str] = {Organization: "pk", ExpiryReminder: "api_key__organization_id"}
BODIES: dict[str, dict[str, Any]] = {
    "PATCH /me/keys/{id}": {"name": "Renamed"},
    "POST /organizations": {"name": "New"},
    "PATCH /organizations/{organization}": {"name": "Renamed"},
    "POST /organizations/{organization}/keys": {"prefix": "csb"},
    "PATCH /organizations/{organization}/keys/{id}": {"name": "Renamed"},
    "PATCH /organizations/{organization}/user-keys/{id}": {"shut_out": True},
    "PATCH /organizations/{organization}/members/{id}": {"role": "billing"},
    "POST /organizations/{organization}/invitations": {"email": "new@example.com"},
}


def snapshot(organization=None):
    """Return all rows of this package, or of one organization, without ``last_used``."""
    tables = []
    for query in compile_queries(organization and organization.pk):
        with connection.cursor() as cursor:
            cursor.execute(*query)
            tables.append(cursor.fetchall())
    return tables


@cache
def compile_queries(organization_id):
    """Return the SQL of a snapshot and its parameters, because tests take hundreds of them."""
    queries = []
    for model in apps.get_app_config("closient_auth").get_models():
        if organization_id is not None and model is MailedAddress:
            # It counts the mails of all organizations.
            continue
        rows = model._base_manager.order_by("pk")
        if organization_id is not None and model is ApiKeyUsage:
            api_keys = ApiKey.objects.filter(organization_id=organization_id)
            rows = rows.filter(family__in=api_keys.values("family"))
        elif organization_id is not None:
            rows = rows.filter(**{PATHS.get(model, "organization_id"): organization_id})
        fields = [field.attname for field in model._meta.concrete_fields if field.name != "last_used"]
        queries.append(rows.values_list(*fields).query.sql_with_params())
    return queries


@contextmanager
def undone():
    """Roll back, so that every principal starts with the same rows."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


class World:
    """Acme and its neighbour, each with a key, an invitation and another member."""

    def __init__(self, call, acme, people):
        self.call, self.acme, self.people = call, acme, people
        stranger = MembershipFactory.create(role="owner", user__username="stranger")
        self.neighbour, self.stranger = stranger.organization, stranger.user
        self.ids = {
            organization: {
                "keys": make_key(organization=organization)[0].pk,
                "members": (member := MembershipFactory.create(organization=organization)).pk,
                "user-keys": make_key("csu", user=member.user)[0].pk,
                "invitations": make_invitation(organization, f"{inviter}@example.org", by=inviter)[0].pk,
            }
            for organization, inviter in {acme: people["owner"], self.neighbour: self.stranger}.items()
        }
        self.user_keys = {user: make_key("csu", user=user)[0].pk for user in (*people.values(), self.stranger)}
        self.credentials = {name: self._make_credential(name) for name in PRINCIPALS.values()}
        self.tokens = {
            user: make_invitation(self.neighbour, user.email, by=self.stranger)[1] for user in people.values()
        }
        self.rows, self.neighbours_rows = snapshot(), snapshot(self.neighbour)

    def _make_credential(self, name):
        if name == "anonymous":
            return {}
        if name in ("csb", "cpk"):
            return {"raw_key": make_key(name, organization=self.acme)[1]}
        user = self.get_user(name)
        return {"raw_key": make_key("csu", user=user)[1]} if name.startswith("csu ") else {"user": user}

    def get_user(self, name):
        return self.people.get(name.removeprefix("csu "), self.people["owner"])

    def get_id(self, row, organization, user):
        """Return the id for the route: an object of the organization, or the user's key."""
        parts = row.split("/")
        return self.user_keys[user] if parts[1] == "me" else self.ids[organization].get("".join(parts[3:4]))

    def ask(self, name, row, organization_id, id, token="", more=None):
        """Send the request of a row with its body, extended by ``more``."""
        method, route = row.split()
        body = {"token": token} if route.startswith("/invitations/") else BODIES.get(row, {})
        address = route.format(organization=organization_id, id=id)
        return self.call(address, method=method, data=body | (more or {}), **self.credentials[name])
