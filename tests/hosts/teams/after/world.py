"""Two teams with members in every role, their rows, and the credentials of every principal."""

import json
from contextlib import contextmanager

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import transaction
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from closient_auth.models import ApiKey, ExpiryReminder, Organization
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
UNSTABLE = {"last_used"}


def make_key(holder, prefix=None, **options):
    """Return the raw key of a user or a team, by default a user key or a business key."""
    if isinstance(holder, Team):
        return ApiKey.objects.create_key(prefix=prefix or "csb", organization=holder.organization, **options)[1]
    return ApiKey.objects.create_key(prefix="csu", user=holder, **options)[1]


def send(method, address, *, key=None, user=None, token=None, data=None, team=None):
    """Send a request with one credential and return the response. ``team`` goes to ``X-Organization``."""
    client = APIClient()
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
    found = {}
    for label in ("teams", "planning", "closient_auth"):
        for model in apps.get_app_config(label).get_models():
            rows = model._base_manager.order_by("pk")
            if team is not None:
                path = PATHS.get(model) or ("organization__team" if "organization" in get_fields(model) else None)
                # The audit log has the id of the organization only.
                rows = rows.filter(**{path: team.pk} if path else {"organization_id": team.organization_id})
            fields = [field for field in get_fields(model, "attname") if field not in UNSTABLE]
            found[model._meta.label] = list(rows.values_list(*fields))
    return found


def get_fields(model, attribute="name"):
    return [getattr(field, attribute) for field in model._meta.concrete_fields]


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
        self.rows = {team: self._make_rows(team) for team in (self.north, self.south)}

    def _make_rows(self, team):
        project = team.projects.create(name=f"{team} bridge", budget=40)
        member = team.members.exclude(user__username__in=["gone", "root"]).order_by("user__username").last()
        return {
            "project": project.pk,
            "task": project.tasks.create(title=f"{team} plan").pk,
            "member": member.user.username,
            "key": ApiKey.objects.create_key(prefix="csb", organization=team.organization, name="rows")[0].pk,
            "user_key": ApiKey.objects.create_key(prefix="csu", user=member.user, name="rows")[0].pk,
        }

    def make_credentials(self):
        """Return the arguments of ``send()`` for every principal."""
        users = self.users
        revoked, raw_revoked = ApiKey.objects.create_key(prefix="csb", organization=self.north.organization)
        revoked.revoke()
        people = {"idl": "idle", "vic": "vic", "pia": "pia", "ava": "ava", "lea": "lea", "ada": "ada", "sup": "root"}
        sessions = {"out": "zoe", "gon": "gone", **people}
        return {
            "ano": {},
            **{column: {"user": users[name]} for column, name in sessions.items()},
            "tok": {"token": Token.objects.create(user=users["pia"]).key},
            "csb": {"key": make_key(self.north)},
            "frn": {"key": make_key(self.south)},
            "cpk": {"key": make_key(self.north, "cpk")},
            "rev": {"key": raw_revoked},
            **{f"u{column}": {"key": make_key(users[name])} for column, name in sessions.items()},
        }
