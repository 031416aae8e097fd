"""The status of every route for each principal: in the own team, in another one, and for rows of another one.

The rows name the routes with abbreviations for addresses (``ADDRESSES``) and the ids of rows (``World.rows``). The columns are
principals of ``World.make_credentials()``. ``/api/tasks/`` takes its team from ``X-Organization``.
"""

import pytest
from django.core.cache import cache
from django.urls import URLPattern, get_resolver, resolve

from after.world import Snapshot, get_body, send, snapshot, undone

ADDRESSES = {
    "projects": "/api/teams/{team}/projects",
    "me": "/account/api/v1/me",
    "organizations": "/account/api/v1/organizations",
    "organization": "/account/api/v1/organizations/{team}",
}
BODIES = {
    "POST {projects}/": {"name": "New"},
    "PATCH {projects}/{project}/": {"name": "Changed"},
    "POST {projects}/{project}/tasks/": {"title": "New"},
    "PATCH {projects}/{project}/tasks/{task}/": {"done": True},
    "PATCH /api/tasks/{task}/": {"done": True},
    "POST /api/teams/": {"name": "New", "slug": "new"},
    "PATCH /api/teams/{team}/": {"name": "Changed"},
    "PUT /api/teams/{team}/members/{member}/": {"roles": ["planner"]},
    "PATCH {me}/keys/{own_key}": {"name": "Changed"},
    "PATCH {organization}": {"user_keys_allowed": False},
    "POST {organization}/keys": {"prefix": "csb"},
    "PATCH {organization}/keys/{key}": {"name": "Changed"},
    "PATCH {organization}/user-keys/{user_key}": {"shut_out": True},
}

# Anonymous requests, sessions, and a token of the project.
PEOPLE = {
    "own": """
route                                        ano out gon idl vic pia ava lea ada sup tok
GET    {projects}/                           401 404 404 403 200 200 200 200 200 200 200
POST   {projects}/                           401 404 404 403 403 201 403 201 201 201 201
GET    {projects}/{project}/                 401 404 404 403 200 200 200 200 200 200 200
PATCH  {projects}/{project}/                 401 404 404 403 403 200 403 200 200 200 200
DELETE {projects}/{project}/                 401 404 404 403 403 403 403 204 204 204 403
GET    {projects}/{project}/tasks/           401 404 404 403 200 200 200 200 200 200 200
POST   {projects}/{project}/tasks/           401 404 404 403 403 201 403 201 201 201 201
GET    {projects}/{project}/tasks/{task}/    401 404 404 403 200 200 200 200 200 200 200
PATCH  {projects}/{project}/tasks/{task}/    401 404 404 403 403 200 403 200 200 200 200
DELETE {projects}/{project}/tasks/{task}/    401 404 404 403 403 204 403 204 204 204 204
GET    /api/tasks/                           401 404 404 403 200 200 200 200 200 200 200
GET    /api/tasks/{task}/                    401 404 404 403 200 200 200 200 200 200 200
PATCH  /api/tasks/{task}/                    401 404 404 403 403 200 403 200 200 200 200
GET    /teams/{team}/budget/                 401 404 404 403 403 403 200 403 200 200 401
GET    {me}                                  401 200 200 200 200 200 200 200 200 200 401
DELETE {me}/key                              401 403 403 403 403 403 403 403 403 403 401
GET    {me}/keys                             401 200 200 200 200 200 200 200 200 200 401
POST   {me}/keys                             401 201 201 201 201 201 201 201 201 201 401
GET    {me}/keys/{own_key}                   401 200 200 200 200 200 200 200 200 200 401
PATCH  {me}/keys/{own_key}                   401 200 200 200 200 200 200 200 200 200 401
DELETE {me}/keys/{own_key}                   401 204 204 204 204 204 204 204 204 204 401
POST   {me}/keys/{own_key}/rotate            401 201 201 201 201 201 201 201 201 201 401
GET    {organizations}                       401 200 200 200 200 200 200 200 200 200 401
GET    {organization}                        401 404 404 403 200 200 200 200 200 200 401
PATCH  {organization}                        401 404 404 403 403 403 403 200 200 200 401
GET    {organization}/keys                   401 404 404 403 403 403 403 200 200 200 401
POST   {organization}/keys                   401 404 404 403 403 403 403 201 201 201 401
GET    {organization}/keys/{key}             401 404 404 403 403 403 403 200 200 200 401
GET    {organization}/keys/{key}/usage       401 404 404 403 403 403 403 200 200 200 401
PATCH  {organization}/keys/{key}             401 404 404 403 403 403 403 200 200 200 401
DELETE {organization}/keys/{key}             401 404 404 403 403 403 403 204 204 204 401
POST   {organization}/keys/{key}/rotate      401 404 404 403 403 403 403 201 201 201 401
GET    {organization}/user-keys              401 404 404 403 403 403 403 200 200 200 401
GET    {organization}/user-keys/{user_key}   401 404 404 403 403 403 403 200 200 200 401
PATCH  {organization}/user-keys/{user_key}   401 404 404 403 403 403 403 200 200 200 401
GET    {organization}/audit                  401 404 404 403 403 403 403 200 200 200 401
GET    {organization}/usage                  401 404 404 403 403 403 403 200 200 200 401
""",
    "foreign": """
route                                        ano out gon idl vic pia ava lea ada sup tok
GET    {projects}/                           401 200 404 404 404 404 404 404 404 200 404
POST   {projects}/                           401 201 404 404 404 404 404 404 404 201 404
GET    {projects}/{project}/                 401 200 404 404 404 404 404 404 404 200 404
PATCH  {projects}/{project}/                 401 200 404 404 404 404 404 404 404 200 404
DELETE {projects}/{project}/                 401 204 404 404 404 404 404 404 404 204 404
GET    {projects}/{project}/tasks/           401 200 404 404 404 404 404 404 404 200 404
POST   {projects}/{project}/tasks/           401 201 404 404 404 404 404 404 404 201 404
GET    {projects}/{project}/tasks/{task}/    401 200 404 404 404 404 404 404 404 200 404
PATCH  {projects}/{project}/tasks/{task}/    401 200 404 404 404 404 404 404 404 200 404
DELETE {projects}/{project}/tasks/{task}/    401 204 404 404 404 404 404 404 404 204 404
GET    /api/tasks/{task}/                    401 200 404 404 404 404 404 404 404 200 404
PATCH  /api/tasks/{task}/                    401 200 404 404 404 404 404 404 404 200 404
GET    /teams/{team}/budget/                 401 200 404 404 404 404 404 404 404 200 401
GET    {me}/keys/{own_key}                   401 404 404 404 404 404 404 404 404 404 401
PATCH  {me}/keys/{own_key}                   401 404 404 404 404 404 404 404 404 404 401
DELETE {me}/keys/{own_key}                   401 404 404 404 404 404 404 404 404 404 401
POST   {me}/keys/{own_key}/rotate            401 404 404 404 404 404 404 404 404 404 401
GET    {organization}                        401 200 404 404 404 404 404 404 404 200 401
PATCH  {organization}                        401 200 404 404 404 404 404 404 404 200 401
GET    {organization}/keys                   401 200 404 404 404 404 404 404 404 200 401
POST   {organization}/keys                   401 201 404 404 404 404 404 404 404 201 401
GET    {organization}/keys/{key}             401 200 404 404 404 404 404 404 404 200 401
GET    {organization}/keys/{key}/usage       401 200 404 404 404 404 404 404 404 200 401
PATCH  {organization}/keys/{key}             401 200 404 404 404 404 404 404 404 200 401
DELETE {organization}/keys/{key}             401 204 404 404 404 404 404 404 404 204 401
POST   {organization}/keys/{key}/rotate      401 201 404 404 404 404 404 404 404 201 401
GET    {organization}/user-keys              401 200 404 404 404 404 404 404 404 200 401
GET    {organization}/user-keys/{user_key}   401 200 404 404 404 404 404 404 404 200 401
PATCH  {organization}/user-keys/{user_key}   401 200 404 404 404 404 404 404 404 200 401
GET    {organization}/audit                  401 200 404 404 404 404 404 404 404 200 401
GET    {organization}/usage                  401 200 404 404 404 404 404 404 404 200 401
""",
    "foreign rows": """
route                                        ano out gon idl vic pia ava lea ada sup tok
GET    {projects}/{project}/                 401 404 404 403 404 404 404 404 404 404 404
PATCH  {projects}/{project}/                 401 404 404 403 403 404 403 404 404 404 404
DELETE {projects}/{project}/                 401 404 404 403 403 403 403 404 404 404 403
GET    {projects}/{project}/tasks/           401 404 404 403 404 404 404 404 404 404 404
POST   {projects}/{project}/tasks/           401 404 404 403 403 404 403 404 404 404 404
GET    {projects}/{project}/tasks/{task}/    401 404 404 403 404 404 404 404 404 404 404
PATCH  {projects}/{project}/tasks/{task}/    401 404 404 403 403 404 403 404 404 404 404
DELETE {projects}/{project}/tasks/{task}/    401 404 404 403 403 404 403 404 404 404 404
GET    /api/tasks/{task}/                    401 404 404 403 404 404 404 404 404 404 404
PATCH  /api/tasks/{task}/                    401 404 404 403 403 404 403 404 404 404 404
GET    {organization}/keys/{key}             401 404 404 403 403 403 403 404 404 404 401
GET    {organization}/keys/{key}/usage       401 404 404 403 403 403 403 404 404 404 401
PATCH  {organization}/keys/{key}             401 404 404 403 403 403 403 404 404 404 401
DELETE {organization}/keys/{key}             401 404 404 403 403 403 403 404 404 404 401
POST   {organization}/keys/{key}/rotate      401 404 404 403 403 403 403 404 404 404 401
GET    {organization}/user-keys/{user_key}   401 404 404 403 403 403 403 404 404 404 401
PATCH  {organization}/user-keys/{user_key}   401 404 404 403 403 403 403 404 404 404 401
""",
}
# Keys of the team: a business key, that of another team, a publishable and a revoked key. Then user keys.
KEYS = {
    "own": """
route                                        csb frn cpk rev u-o u-g u-i u-v u-p u-a u-l u-d u-s
GET    {projects}/                           200 404 200 401 404 404 403 200 200 200 200 200 404
POST   {projects}/                           201 404 403 401 404 404 403 403 201 403 201 201 404
GET    {projects}/{project}/                 200 404 200 401 404 404 403 200 200 200 200 200 404
PATCH  {projects}/{project}/                 200 404 403 401 404 404 403 403 200 403 200 200 404
DELETE {projects}/{project}/                 204 404 403 401 404 404 403 403 403 403 204 204 404
GET    {projects}/{project}/tasks/           200 404 403 401 404 404 403 200 200 200 200 200 404
POST   {projects}/{project}/tasks/           201 404 403 401 404 404 403 403 201 403 201 201 404
GET    {projects}/{project}/tasks/{task}/    200 404 403 401 404 404 403 200 200 200 200 200 404
PATCH  {projects}/{project}/tasks/{task}/    200 404 403 401 404 404 403 403 200 403 200 200 404
DELETE {projects}/{project}/tasks/{task}/    204 404 403 401 404 404 403 403 204 403 204 204 404
GET    /api/tasks/                           200 404 403 401 404 404 403 200 200 200 200 200 404
GET    /api/tasks/{task}/                    200 404 403 401 404 404 403 200 200 200 200 200 404
PATCH  /api/tasks/{task}/                    200 404 403 401 404 404 403 403 200 403 200 200 404
GET    /teams/{team}/budget/                 200 404 403 401 404 404 403 403 403 200 403 200 404
GET    {me}                                  200 200 200 401 200 200 200 200 200 200 200 200 200
DELETE {me}/key                              204 204 403 401 204 204 204 204 204 204 204 204 204
GET    {me}/keys                             403 403 403 401 403 403 403 403 403 403 403 403 403
POST   {me}/keys                             403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {me}/keys/{own_key}                   403 403 403 401 403 403 403 403 403 403 403 403 403
PATCH  {me}/keys/{own_key}                   403 403 403 401 403 403 403 403 403 403 403 403 403
DELETE {me}/keys/{own_key}                   403 403 403 401 403 403 403 403 403 403 403 403 403
POST   {me}/keys/{own_key}/rotate            403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organizations}                       200 200 403 401 200 200 200 200 200 200 200 200 200
GET    {organization}                        200 404 403 401 404 404 403 200 200 200 200 200 404
PATCH  {organization}                        403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/keys                   200 404 403 401 404 404 403 403 403 403 200 200 404
POST   {organization}/keys                   403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/keys/{key}             200 404 403 401 404 404 403 403 403 403 200 200 404
GET    {organization}/keys/{key}/usage       200 404 403 401 404 404 403 403 403 403 200 200 404
PATCH  {organization}/keys/{key}             403 403 403 401 403 403 403 403 403 403 403 403 403
DELETE {organization}/keys/{key}             403 403 403 401 403 403 403 403 403 403 403 403 403
POST   {organization}/keys/{key}/rotate      403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/user-keys              200 404 403 401 404 404 403 403 403 403 200 200 404
GET    {organization}/user-keys/{user_key}   200 404 403 401 404 404 403 403 403 403 200 200 404
PATCH  {organization}/user-keys/{user_key}   403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/audit                  200 404 403 401 404 404 403 403 403 403 200 200 404
GET    {organization}/usage                  200 404 403 401 404 404 403 403 403 403 200 200 404
""",
    "foreign": """
route                                        csb frn cpk rev u-o u-g u-i u-v u-p u-a u-l u-d u-s
GET    {projects}/                           404 200 404 401 200 404 404 404 404 404 404 404 404
POST   {projects}/                           404 201 403 401 201 404 404 404 404 404 404 404 404
GET    {projects}/{project}/                 404 200 404 401 200 404 404 404 404 404 404 404 404
PATCH  {projects}/{project}/                 404 200 403 401 200 404 404 404 404 404 404 404 404
DELETE {projects}/{project}/                 404 204 403 401 204 404 404 404 404 404 404 404 404
GET    {projects}/{project}/tasks/           404 200 403 401 200 404 404 404 404 404 404 404 404
POST   {projects}/{project}/tasks/           404 201 403 401 201 404 404 404 404 404 404 404 404
GET    {projects}/{project}/tasks/{task}/    404 200 403 401 200 404 404 404 404 404 404 404 404
PATCH  {projects}/{project}/tasks/{task}/    404 200 403 401 200 404 404 404 404 404 404 404 404
DELETE {projects}/{project}/tasks/{task}/    404 204 403 401 204 404 404 404 404 404 404 404 404
GET    /api/tasks/{task}/                    404 200 403 401 200 404 404 404 404 404 404 404 404
PATCH  /api/tasks/{task}/                    404 200 403 401 200 404 404 404 404 404 404 404 404
GET    /teams/{team}/budget/                 404 200 403 401 200 404 404 404 404 404 404 404 404
GET    {me}/keys/{own_key}                   403 403 403 401 403 403 403 403 403 403 403 403 403
PATCH  {me}/keys/{own_key}                   403 403 403 401 403 403 403 403 403 403 403 403 403
DELETE {me}/keys/{own_key}                   403 403 403 401 403 403 403 403 403 403 403 403 403
POST   {me}/keys/{own_key}/rotate            403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}                        404 200 403 401 200 404 404 404 404 404 404 404 404
PATCH  {organization}                        403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/keys                   404 200 403 401 200 404 404 404 404 404 404 404 404
POST   {organization}/keys                   403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/keys/{key}             404 200 403 401 200 404 404 404 404 404 404 404 404
GET    {organization}/keys/{key}/usage       404 200 403 401 200 404 404 404 404 404 404 404 404
PATCH  {organization}/keys/{key}             403 403 403 401 403 403 403 403 403 403 403 403 403
DELETE {organization}/keys/{key}             403 403 403 401 403 403 403 403 403 403 403 403 403
POST   {organization}/keys/{key}/rotate      403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/user-keys              404 200 403 401 200 404 404 404 404 404 404 404 404
GET    {organization}/user-keys/{user_key}   404 200 403 401 200 404 404 404 404 404 404 404 404
PATCH  {organization}/user-keys/{user_key}   403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/audit                  404 200 403 401 200 404 404 404 404 404 404 404 404
GET    {organization}/usage                  404 200 403 401 200 404 404 404 404 404 404 404 404
""",
    "foreign rows": """
route                                        csb frn cpk rev u-o u-g u-i u-v u-p u-a u-l u-d u-s
GET    {projects}/{project}/                 404 404 404 401 404 404 403 404 404 404 404 404 404
PATCH  {projects}/{project}/                 404 404 403 401 404 404 403 403 404 403 404 404 404
DELETE {projects}/{project}/                 404 404 403 401 404 404 403 403 403 403 404 404 404
GET    {projects}/{project}/tasks/           404 404 403 401 404 404 403 404 404 404 404 404 404
POST   {projects}/{project}/tasks/           404 404 403 401 404 404 403 403 404 403 404 404 404
GET    {projects}/{project}/tasks/{task}/    404 404 403 401 404 404 403 404 404 404 404 404 404
PATCH  {projects}/{project}/tasks/{task}/    404 404 403 401 404 404 403 403 404 403 404 404 404
DELETE {projects}/{project}/tasks/{task}/    404 404 403 401 404 404 403 403 404 403 404 404 404
GET    /api/tasks/{task}/                    404 404 403 401 404 404 403 404 404 404 404 404 404
PATCH  /api/tasks/{task}/                    404 404 403 401 404 404 403 403 404 403 404 404 404
GET    {organization}/keys/{key}             404 404 403 401 404 404 403 403 403 403 404 404 404
GET    {organization}/keys/{key}/usage       404 404 403 401 404 404 403 403 403 403 404 404 404
PATCH  {organization}/keys/{key}             403 403 403 401 403 403 403 403 403 403 403 403 403
DELETE {organization}/keys/{key}             403 403 403 401 403 403 403 403 403 403 403 403 403
POST   {organization}/keys/{key}/rotate      403 403 403 401 403 403 403 403 403 403 403 403 403
GET    {organization}/user-keys/{user_key}   404 404 403 401 404 404 403 403 403 403 404 404 404
PATCH  {organization}/user-keys/{user_key}   403 403 403 401 403 403 403 403 403 403 403 403 403
""",
}
# The project keeps these views for itself, so they take no keys. They do not know the ids of organizations.
HOST = {
    "own": """
route                                        ano out gon idl vic pia ava lea ada sup tok
GET    /api/teams/                           401 200 200 200 200 200 200 200 200 200 200
POST   /api/teams/                           401 201 201 201 201 201 201 201 201 201 201
GET    /api/teams/{team}/                    401 404 404 403 200 200 200 200 200 200 200
PATCH  /api/teams/{team}/                    401 404 404 403 403 403 403 200 200 200 403
DELETE /api/teams/{team}/                    401 404 404 403 403 403 403 204 204 204 403
GET    /api/teams/{team}/members/            401 404 404 403 200 200 200 200 200 200 200
PUT    /api/teams/{team}/members/{member}/   401 404 404 403 403 403 403 200 200 200 403
DELETE /api/teams/{team}/members/{member}/   401 404 404 403 403 403 403 204 204 204 403
GET    /teams/{team}/                        302 404 404 200 200 200 200 200 200 200 302
""",
    "foreign": """
route                                        ano out gon idl vic pia ava lea ada sup tok
GET    /api/teams/{team}/                    401 200 404 404 404 404 404 404 404 200 404
PATCH  /api/teams/{team}/                    401 200 404 404 404 404 404 404 404 200 404
DELETE /api/teams/{team}/                    401 204 404 404 404 404 404 404 404 204 404
GET    /api/teams/{team}/members/            401 200 404 404 404 404 404 404 404 200 404
PUT    /api/teams/{team}/members/{member}/   401 200 404 404 404 404 404 404 404 200 404
DELETE /api/teams/{team}/members/{member}/   401 204 404 404 404 404 404 404 404 204 404
GET    /teams/{team}/                        302 200 404 404 404 404 404 404 404 200 302
""",
    "foreign rows": """
route                                        ano out gon idl vic pia ava lea ada sup tok
PUT    /api/teams/{team}/members/{member}/   401 404 404 403 403 403 403 200 200 200 403
DELETE /api/teams/{team}/members/{member}/   401 404 404 403 403 403 403 404 404 404 403
""",
}
# The package has these routes for its own roles only.
GONE = [
    "GET {organization}/members",
    "GET {organization}/members/1",
    "PATCH {organization}/members/1",
    "DELETE {organization}/members/1",
    "GET {organization}/members/1/offboarding",
    "GET {organization}/invitations",
    "POST {organization}/invitations",
    "GET {organization}/invitations/1",
    "DELETE {organization}/invitations/1",
    "POST {organization}/invitations/1/resend",
    "POST /account/api/v1/invitations/accept",
    "POST /account/api/v1/invitations/decline",
    "POST /account/api/v1/invitations/preview",
    "GET /account/api/v1/me/invitations",
]
WIDTH = 45


def fill(row, **ids):
    """Return the method and the address of a row, with names instead of ids by default."""
    method, address = row.split()
    ids = {
        "team": "North.Side",
        "project": 1,
        "task": 1,
        "member": "m",
        "key": "k",
        "user_key": "k",
        "own_key": "k",
    } | ids
    return method, address.format(**ids, **{name: text.format(**ids) for name, text in ADDRESSES.items()})


class Matrix:
    """Requests of all principals in one of the situations "own", "foreign" and "foreign rows"."""

    def __init__(self, world, situation, *, by_id=False):
        self.world, self.situation = world, situation
        self.team = world.south if situation == "foreign" else world.north
        other = world.north if situation == "foreign" else world.south
        self.rows = world.rows[world.north if situation == "own" else world.south]
        self.name = str(self.team.organization_id) if by_id else self.team.slug
        self.credentials = world.make_credentials()
        self.everything, self.others = Snapshot(), Snapshot(other)
        self.before = {rows: rows.read() for rows in (self.everything, self.others)}

    def render(self, table):
        """Send the requests of a table and return it with the statuses of their responses."""
        header, *lines = table.strip("\n").splitlines()
        rows = [" ".join(line.split()[:2]) for line in lines]
        return "\n".join([header, *(self._render_row(row, header.split()[1:]) for row in rows)])

    def _render_row(self, row, columns):
        # People have limits too.
        cache.clear()
        method, address = row.split()
        statuses = " ".join(str(self._ask(row, column)) for column in columns)
        assert self.everything.read() == self.before[self.everything], row
        return f"{method:7}{address}".ljust(WIDTH) + statuses

    def _ask(self, row, column):
        own_key = self.world.get_own_key(column) if self.situation == "own" else self.world.own_keys["sue"]
        method, address = fill(row, team=self.name, own_key=own_key, **self.rows)
        header = self.name if address.startswith("/api/tasks/") else None
        credential = self.credentials[column]
        if method == "GET":
            return send(method, address, team=header, **credential).status_code
        with undone():
            response = send(method, address, data=BODIES.get(row), team=header, **credential)
            # A refused request changes nothing at all.
            rows = self.everything if response.status_code >= 300 else self.others
            is_own_revocation = (row, response.status_code) == ("DELETE {me}/key", 204)
            assert is_own_revocation or rows.read() == self.before[rows], (row, column)
        return response.status_code


@pytest.fixture(params=["own", "foreign", "foreign rows"])
def situation(request):
    return request.param


@pytest.mark.parametrize("by_id", [False, True], ids=["name", "id"])
def test_people(world, situation, by_id):
    assert Matrix(world, situation, by_id=by_id).render(PEOPLE[situation]) == PEOPLE[situation].strip("\n")


@pytest.mark.parametrize("by_id", [False, True], ids=["name", "id"])
def test_keys(world, situation, by_id):
    assert Matrix(world, situation, by_id=by_id).render(KEYS[situation]) == KEYS[situation].strip("\n")


def test_views_of_the_project(world, situation):
    assert Matrix(world, situation).render(HOST[situation]) == HOST[situation].strip("\n")


def test_views_of_the_project_take_no_keys(world):
    matrix, columns = Matrix(world, "own"), KEYS["own"].split("\n")[1].split()[1:]
    rows = [" ".join(line.split()[:2]) for line in HOST["own"].strip("\n").splitlines()[1:]]

    statuses = {(row, matrix._ask(row, column)) for row in rows for column in columns}

    # The page of Django redirects to the login.
    assert statuses == {(row, 302 if row == "GET /teams/{team}/" else 401) for row in rows}


def test_routes_for_roles_are_gone(world):
    matrix = Matrix(world, "own")

    assert {(row, matrix._ask(row, column)) for row in GONE for column in matrix.credentials} == {
        (row, 404) for row in GONE
    }


@pytest.mark.parametrize(
    ("method", "address", "data"),
    [
        ("POST", "/account/api/v1/organizations", {"name": "New"}),
        ("DELETE", "/account/api/v1/organizations/North.Side", None),
    ],
)
def test_methods_for_names_are_gone(world, method, address, data):
    before = snapshot()
    for name in ("ada", "root"):
        assert send(method, address, user=world.users[name], data=data).status_code == 405

    assert snapshot() == before


@pytest.mark.parametrize("data", [{"name": "New"}, {"slug": "new"}, {"name": "New", "user_keys_allowed": False}])
def test_fields_for_names_are_gone(world, data):
    before = snapshot()
    for name in ("lea", "ada", "root"):
        response = send("PATCH", "/account/api/v1/organizations/North.Side", user=world.users[name], data=data)
        assert response.status_code == 400, response.content
        assert set(get_body(response)) == set(data) - {"user_keys_allowed"}

    assert snapshot() == before


def test_tables_have_all_routes():
    rows = [
        " ".join(line.split()[:2]) for table in (PEOPLE, HOST) for line in table["own"].strip("\n").splitlines()[1:]
    ]
    requests = [fill(row) for row in rows]

    assert sorted((resolve(address).route, method.lower()) for method, address in requests) == sorted(list_routes())


def list_routes(resolver=None, prefix=""):
    """Return the routes and methods of the URLconf, without those of the admin."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if route.startswith("admin/"):
            continue
        if isinstance(pattern, URLPattern):
            methods = getattr(pattern.callback, "actions", {"get": None})
            yield from ((route, method) for method in methods if method != "head")
        else:
            yield from list_routes(pattern, route)
