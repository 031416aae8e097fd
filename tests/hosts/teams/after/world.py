"""Two teams with members in every role, their rows, and the credentials of every principal."""

import json
from contextlib import contextmanager

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from closient_auth.models import ApiKey, ApiKeyUsage, AuditEntry, ExpiryReminder, MailedAddress, Organization
from planning.models import Project, Task
from teams.models import Team, TeamMember, TeamRole

User = get_user_model()

# The members of North by name, with their roles.
ROLES = {
    "ada": ["admin"],
    "lea": ["lead"],
    "pia": ["planner"],
    "ava": ["accountant"],
    "vic": ["viewer"],
    "both": ["planner", "accountant"],
    "idle": [],
    "gone": ["admin"],
}
# The people of ``World.make_credentials()``, and the columns of their user keys.
PEOPLE = {
    "out": "zoe",
    "gon": "gone",
    "idl": "idle",
    "vic": "vic",
    "pia": "pia",
    "ava": "ava",
    "lea": "lea",
    "ada": "ada",
    "sup": "root",
}
USER_KEYS = {
    "u-o": "zoe",
    "u-g": "gone",
    "u-i": "idle",
    "u-v": "vic",
    "u-p": "pia",
    "u-a": "ava",
    "u-l": "lea",
    "u-d": "ada",
    "u-s": "root",
}
# The path from a row to its team, or to the organization of its team.
PATHS = {
    Team: "pk",
    TeamMember: "team",
    TeamRole: "member__team",
    Project: "team",
    Task: "project__team",
    Organization: "team",
    ExpiryReminder: "api_key__organization__team",
}
# Every request with a key may write these, and the use of a revoked key is an event.
UNSTABLE = {"last_used", "exposure_reported_at"}


def make_key(holder, prefix=None, **options):
    """Return the raw key of a user or a team, by default a user key or a business key."""
    if isinstance(holder, Team):
        return ApiKey.objects.create_key(prefix=prefix or "csb", organization=holder.organization, **options)[1]
    return ApiKey.objects.create_key(prefix="csu", user=holder, **options)[1]


def make_client(user):
    """Return a client with a session of the user."""
    client = APIClient()
    client.force_login(user)
    return client


def send(method, address, *, key=None, user=None, token=None, client=None, data=None, team=None):
    """Send a request with one credential and return the response. ``team`` goes to ``X-Organization``.

    ``client`` has a session already.
    """
    client = client or APIClient()
    headers = {"X-API-Key": key, "X-Organization": team, "Authorization": token and f"Token {token}"}
    if user is not None:
        client.force_login(user)
    return client.generic(
        method,
        address,
        "" if data is None else json.dumps(data),
        "application/json",
        headers={name: value for name, value in headers.items() if value is not None},
    )


def get_body(response):
    return json.loads(response.content)


@contextmanager
def undone():
    """Roll back, so that every request meets the same rows."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def snapshot(team=None):
    """Return all rows of the project and the package, or only those of one team."""
    return Snapshot(team).read()


class Snapshot:
    """The SQL for all rows of the project and the package, or only for those of one team. Tests read them often."""

    def __init__(self, team=None):
        self.queries = {}
        for label in ("teams", "planning", "closient_auth"):
            for model in apps.get_app_config(label).get_models():
                # The counted mails belong to no team.
                if team is None or model is not MailedAddress:
                    self.queries[model._meta.label] = self._compile(model, team)

    def _compile(self, model, team):
        rows, fields = model._base_manager.order_by("pk"), model._meta.concrete_fields
        if model is AuditEntry:
            rows = rows.exclude(event="revoked_api_key_used")
        if team is not None and model is ApiKeyUsage:
            api_keys = ApiKey.objects.filter(organization_id=team.organization_id)
            rows = rows.filter(family__in=api_keys.values("family"))
        elif team is not None:
            has_organization = any(field.name == "organization" for field in fields)
            path = PATHS.get(model) or ("organization__team" if has_organization else None)
            # The audit log has the id of the organization only.
            rows = rows.filter(**{path: team.pk} if path else {"organization_id": team.organization_id})
        names = [field.attname for field in fields if field.name not in UNSTABLE]
        return rows.values_list(*names).query.sql_with_params()

    def read(self):
        found = {}
        for label, query in self.queries.items():
            with connection.cursor() as cursor:
                cursor.execute(*query)
                found[label] = sorted(cursor.fetchall(), key=repr)
        return found


class World:
    def __init__(self):
        self.users = {name: User.objects.create_user(name) for name in (*ROLES, "zoe")}
        self.users["root"] = User.objects.create_superuser("root")
        self.north = Team.objects.create(name="North", slug="North.Side")
        self.south = Team.objects.create(name="South", slug="south")
        for name, roles in ROLES.items():
            self.north.set_roles(self.users[name], roles)
        self.north.remove(self.users["gone"])
        self.south.set_roles(self.users["zoe"], ["admin"])
        self.south.set_roles(User.objects.create_user("sue"), ["viewer"])
        everybody = User.objects.order_by("pk")
        self.own_keys = {user.username: ApiKey.objects.create_key(prefix="csu", user=user)[0].pk for user in everybody}
        self.rows = {team: self._make_rows(team) for team in (self.north, self.south)}

    def _make_rows(self, team):
        project = team.projects.create(name=f"{team} bridge", budget=40)
        member = team.members.exclude(user__username__in=["gone", "root"]).order_by("user__username").last()
        return {
            "project": project.pk,
            "task": project.tasks.create(title=f"{team} plan").pk,
            "member": member.user.username,
            "key": ApiKey.objects.create_key(prefix="csb", organization=team.organization, name="rows")[0].pk,
            "user_key": self.own_keys[member.user.username],
        }

    def make_credentials(self):
        """Return the arguments of ``send()`` for every principal."""
        revoked, raw_revoked = ApiKey.objects.create_key(prefix="csb", organization=self.north.organization)
        revoked.revoke()
        return {
            "ano": {},
            **{column: {"client": make_client(self.users[name])} for column, name in PEOPLE.items()},
            "tok": {"token": Token.objects.create(user=self.users["pia"]).key},
            "csb": {"key": make_key(self.north)},
            "frn": {"key": make_key(self.south)},
            "cpk": {"key": make_key(self.north, "cpk")},
            "rev": {"key": raw_revoked},
            **{column: {"key": make_key(self.users[name])} for column, name in USER_KEYS.items()},
        }

    def get_own_key(self, column):
        """Return the id of a user key of this principal, or of anybody if the principal is no person."""
        return self.own_keys[{**PEOPLE, **USER_KEYS}.get(column, "pia")]
