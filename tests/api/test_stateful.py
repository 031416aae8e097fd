"""
Random calls by several users in two organizations, compared with the model in ``rules.py``.

The test counts the responses, and fails if an expected one never occurs.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client, TestCase
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership, Organization
from tests.api.rules import Key, Offer, Tenant
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

PEOPLE = ["ann", "bob", "cat", "dan", "eve", "fay"]
# The members by role. Ann is a member of both organizations.
TENANTS = {
    "north": {"owner": "ann", "manager": "bob", "editor": "cat"},
    "south": {"owner": "dan", "manager": "eve", "billing": "ann"},
}
NEIGHBOURS = {"north": "south", "south": "north"}
ROLES = ["owner", "manager", "billing", "editor"]
# The responses of each rule that have to occur.
ANSWERS = """
create_key     201 permission_denied 404
change_key     200 permission_denied 404
revoke_key     204 permission_denied 404
rotate_key     201 permission_denied 404 not_active already_rotated
use_key        200 404 invalid_api_key publishable_key_refused session_required
change_role    200 permission_denied 404 last_owner
remove_member  200 permission_denied 404
invite         201 permission_denied 404 already_member already_invited
resend         200 permission_denied 404 not_open
withdraw       204 404 not_open
accept         201 invalid_invitation other_email void
"""
RULES = [line.split()[0] for line in ANSWERS.strip().splitlines()]
SLUGS = sorted(TENANTS)
# The organization of the URL, and the organization of the object: one in five is foreign.
PLACES = [(slug, slug) for slug in SLUGS] * 4 + [*NEIGHBOURS.items()]


class Management(RuleBasedStateMachine):
    met: Counter[tuple[str, str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        cache.clear()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        users = {name: UserFactory.create(username=name) for name in PEOPLE}
        self.clients = {name: Client() for name in users}
        for name, client in self.clients.items():
            client.force_login(users[name])
        self.organizations = {slug: OrganizationFactory.create(slug=slug) for slug in TENANTS}
        for slug, members in TENANTS.items():
            for role, name in members.items():
                MembershipFactory.create(organization=self.organizations[slug], user=users[name], role=role)
        self.tenants = {
            slug: Tenant({name: role for role, name in members.items()}) for slug, members in TENANTS.items()
        }

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize()
    def begin(self):
        for slug, members in TENANTS.items():
            self.create_key(slug, members["owner"], "csb")
            self.rotate_key((slug, slug), members["owner"], 3600)
            self.invite(slug, members["manager"], "fay", "editor")
            # Random calls rarely invite somebody twice, accept an invitation of a former Manager, or withdraw a used one.
            self.invite(slug, members["owner"], "fay", "editor")
            self.change_role(slug, members["owner"], members["manager"], "editor")
            self.accept(slug, self.tenants[slug].offers[0], "fay")
            self.change_role(slug, members["owner"], members["manager"], "manager")
        self.accept("south", self.tenants["south"].offers[0], "fay")
        self.withdraw(("south", "south"), "dan")

    # Hypothesis disables some rules in each run, so that sequences of several would be rare. One rule avoids that.
    @rule(data=st.data(), name=st.sampled_from(RULES))
    def step(self, data, name):
        self.choose = lambda things: data.draw(st.sampled_from(things))
        getattr(self, name)()

    def create_key(self, slug=None, who=None, prefix=None):
        slug = slug or self.choose(SLUGS)
        tenant, who, prefix = self.tenants[slug], who or self.choose_actor(slug), prefix or self.choose(["csb", "cpk"])
        expected = tenant.create_key(who)
        if made := self.ask("create_key", who, slug, "post", "keys", expected, prefix=prefix):
            tenant.keys.append(Key(made["id"], made["key"], prefix, who))

    def change_key(self):
        slug, tenant, who, key = self.choose_thing("keys")
        expected, limit = tenant.change_key(who, key), self.choose(range(1000, 1010))
        self.ask("change_key", who, slug, "patch", f"keys/{key.id}", expected, rate_limit_per_day=limit)

    def revoke_key(self):
        slug, tenant, who, key = self.choose_thing("keys")
        if self.ask("revoke_key", who, slug, "delete", f"keys/{key.id}", tenant.revoke_key(who, key)) is not None:
            key.is_active = False

    def rotate_key(self, place=None, who=None, grace=None):
        slug, tenant, who, key = self.choose_thing("keys", place, who)
        grace = self.choose([0, 3600]) if grace is None else grace
        expected, path = tenant.rotate_key(who, key), f"keys/{key.id}/rotate"
        if made := self.ask("rotate_key", who, slug, "post", path, expected, grace_seconds=grace):
            key.is_rotated, key.is_active = True, grace > 0
            tenant.keys.append(Key(made["id"], made["key"], key.prefix, who))

    def use_key(self):
        slug, tenant, _, key = self.choose_thing("keys")
        writes = self.choose([False, False, True])
        method, body = ("post", {"prefix": "csb"}) if writes else ("get", {})
        self.ask("use_key", key, slug, method, "keys", tenant.use_key(key, writes=writes), **body)

    def change_role(self, slug=None, who=None, whom=None, role=None):
        slug = slug or self.choose(SLUGS)
        tenant, who, role = self.tenants[slug], who or self.choose_actor(slug), role or self.choose(ROLES)
        inviters = [offer.inviter for offer in tenant.offers if offer.state == "pending"]
        whom = whom or self.choose([*tenant.roles, *inviters, *PEOPLE])
        expected, path = tenant.change_role(who, whom, role), f"members/{self.find_member(slug, whom)}"
        if self.ask("change_role", who, slug, "patch", path, expected, role=role):
            tenant.roles[whom] = role

    def remove_member(self):
        slug = self.choose(SLUGS)
        tenant, who = self.tenants[slug], self.choose_actor(slug)
        whom = self.choose([*tenant.roles, *PEOPLE])
        expected, path = tenant.remove_member(who, whom), f"members/{self.find_member(slug, whom)}"
        if removal := self.ask("remove_member", who, slug, "delete", path, expected):
            del tenant.roles[whom]
            alive = {key.id for key in tenant.keys if key.creator == whom and key.is_active}
            assert {key["id"] for key in removal["live_keys"]} == alive

    def invite(self, slug=None, who=None, whom=None, role=None):
        slug = slug or self.choose(SLUGS)
        tenant, who = self.tenants[slug], who or self.choose_actor(slug)
        whom, role = whom or self.choose(PEOPLE), role or self.choose(ROLES)
        body, expected = {"email": f"{whom}@example.com", "role": role}, tenant.invite(who, whom, role)
        if made := self.ask("invite", who, slug, "post", "invitations", expected, **body):
            tenant.offers.append(Offer(made["id"], whom, role, who, read_token()))

    def resend(self):
        slug, tenant, who, offer = self.choose_thing("offers")
        expected, path = tenant.resend(who, offer), f"invitations/{offer.id}/resend"
        if self.ask("resend", who, slug, "post", path, expected):
            offer.inviter, offer.token = who, read_token()

    def withdraw(self, place=None, who=None):
        slug, tenant, who, offer = self.choose_thing("offers", place, who)
        expected, path = tenant.withdraw(who, offer), f"invitations/{offer.id}"
        if self.ask("withdraw", who, slug, "delete", path, expected) is not None:
            offer.state = "withdrawn"

    def accept(self, slug=None, offer=None, who=None):
        slug = slug or self.choose(SLUGS)
        tenant = self.tenants[slug]
        void = [offer for offer in tenant.offers if tenant.is_void(offer)]
        offer = offer or self.choose([*tenant.offers[-4:], *void, *void])
        who = who or self.choose([offer.name, offer.name, *PEOPLE])
        self.met["accept", "void"] += offer in void
        with self.asleep(NEIGHBOURS[slug]):
            expected, body = tenant.accept(who, offer), {"token": offer.token}
            joined = self.send("accept", self.clients[who], "post", "/invitations/accept", expected, body)
        if joined:
            # A member who accepts again keeps the role.
            role = tenant.roles.setdefault(who, offer.role)
            assert (joined["organization"]["slug"], joined["role"]) == (slug, role)
            offer.state = "accepted"

    def choose_actor(self, slug):
        """Return the acting user, more often one with permission."""
        roles = self.tenants[slug].roles
        managers = [name for name, role in roles.items() if role in ("owner", "manager")]
        return self.choose([*managers, *managers, *roles, *PEOPLE])

    def choose_thing(self, kind, place=None, who=None):
        """Return the slug, the tenant, the acting user and the key or invitation of the next call."""
        slug, other = place or self.choose(PLACES)
        things = getattr(self.tenants[other], kind)[-4:]
        who = who or self.choose_actor(slug)
        return slug, self.tenants[slug], who, things[0] if place else self.choose(things)

    def find_member(self, slug, whom):
        member = self.organizations[slug].memberships.filter(user__username=whom).first()
        return member.pk if member else "nobody"

    def ask(self, name, who, slug, method, path, expected, **body):
        """Send a request to one organization and compare the other's rows. Return the body, or ``None`` for an error."""
        client = Client(headers={"X-API-Key": who.raw}) if isinstance(who, Key) else self.clients[who]
        with self.asleep(NEIGHBOURS[slug]):
            return self.send(name, client, method, f"/organizations/{slug}/{path}", expected, body)

    def send(self, name, client, method, address, expected, body):
        mail.outbox.clear()
        with TestCase.captureOnCommitCallbacks(execute=True):
            response = client.generic(method.upper(), address, json.dumps(body), "application/json")
        answer = response.json() if response.content else {}
        is_good = response.status_code < 400
        assert (response.status_code, "" if is_good else answer.get("code", "")) == expected, (name, address, answer)
        self.met[name, expected[1] or str(expected[0])] += 1
        return answer if is_good else None

    @contextmanager
    def asleep(self, slug):
        before = self.look(slug)
        yield
        assert self.look(slug) == before

    def look(self, slug):
        """Return all rows of one organization, without those that a request with its keys changes."""
        pk = self.organizations[slug].pk
        rows: list[Any] = [
            model._default_manager.filter(organization_id=pk).order_by("pk").values()
            for model in (ApiKey, Membership, Invitation)
        ]
        entries = AuditEntry.objects.filter(organization_id=pk).exclude(event="revoked_api_key_used")
        rows.append(entries.order_by("pk").values())
        return [
            {**row, "last_used": None, "exposure_reported_at": None}
            for found in [*rows, Organization.objects.filter(pk=pk).values()]
            for row in found
        ]

    @invariant()
    def rows_are_those_of_the_rules(self):
        for slug, tenant in self.tenants.items():
            organization = self.organizations[slug]
            assert "owner" in tenant.roles.values()
            assert dict(organization.memberships.values_list("user__username", "role")) == tenant.roles
            keys = {str(key.pk): (key.prefix, key.is_active) for key in organization.api_keys.all()}
            assert keys == {key.id: (key.prefix, key.is_active) for key in tenant.keys}
            offers = {str(offer.pk): (offer.role, offer.state) for offer in organization.invitations.all()}
            assert offers == {offer.id: (offer.role, offer.state) for offer in tenant.offers}


def read_token():
    (message,) = mail.outbox
    (token,) = re.findall(r"^ +(\w{32})$", str(message.body), re.MULTILINE)
    return token


@pytest.mark.slow
@pytest.mark.unmeasured
@pytest.mark.django_db
def test_random_management(monkeypatch):
    # The limits of mails have tests of their own.
    monkeypatch.setattr("closient_auth.models.mailed_addresses.MAX_MAILS", 1000)
    monkeypatch.setattr("closient_auth.models.invitations.RESEND_INTERVAL", timedelta(0))
    # The calls and their order are the same everywhere, so the servers repeat only a part of them.
    is_sqlite = connection.vendor == "sqlite"
    # Add ``Phase.shrink`` to find the shortest failing sequence. It takes minutes.
    run_state_machine_as_test(
        Management,
        settings=settings(
            max_examples=12 if is_sqlite else 5,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
        ),
    )

    expected = {(name, answer) for name, *answers in map(str.split, ANSWERS.strip().splitlines()) for answer in answers}
    lacking = expected - set(+Management.met)
    assert not is_sqlite or not lacking, lacking
