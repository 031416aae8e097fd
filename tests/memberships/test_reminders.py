"""Reminders of expiring keys in a project with members of its own: the members who may manage keys get them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.core import mail

from closient_auth.models import ExpiryReminder, Membership, Organization
from tests.factories import UserFactory, make_key
from tests.memberships.models import Company, Employee, Team, TeamRole

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(time_machine):
    time_machine.move_to(NOW, tick=False)


def person(name, **kwargs):
    return UserFactory.create(username=name, **kwargs)


def expiring(organization, **kwargs):
    return make_key(organization=organization, expires_at=NOW + timedelta(days=5), **kwargs)[0]


def send():
    """Send what is due. Return the names of the recipients, in alphabetical order."""
    mail.outbox.clear()
    ExpiryReminder.objects.send_due()
    return sorted(address.removesuffix("@example.com") for message in mail.outbox for address in message.to)


def team_with(**roles):
    """Return a team with these people: ``team_with(ada=["lead", "clerk"])``."""
    team = Team.objects.create(name="Acme")
    for name, names in roles.items():
        user = person(name)
        for role in names:
            TeamRole.objects.create(team=team, user=user, name=role)
    return team


def test_members_who_may_manage_keys(connect):
    connect("ListedTeams")
    team = team_with(ada=["lead"], bob=["clerk"], cy=["guest"], dee=["clerk", "lead"], eve=["lead", "lead"])
    neighbour = Team.objects.create(name="Neighbour")
    TeamRole.objects.create(team=neighbour, user=person("rival"), name="lead")
    # Rows of this package mean nothing here.
    Membership.objects.create(organization=team.organization, user=person("owner"), role="owner")
    key = expiring(team.organization)

    assert send() == ["ada", "dee", "eve"]
    assert {row.api_key_id for row in ExpiryReminder.objects.all()} == {key.pk}
    assert send() == []


def test_person_without_a_role_any_more(connect):
    connect("ListedTeams")
    team = team_with(ada=["lead"], bob=["lead"])
    expiring(team.organization, created_by=person("maker"))
    TeamRole.objects.filter(user__username="ada").update(name="clerk")

    assert send() == ["bob", "maker"]


def test_project_that_cannot_list_its_members(teams):
    team = team_with(ada=["lead"])
    expiring(team.organization, created_by=person("maker"))

    assert send() == ["maker"]


def test_companies(companies):
    company, neighbour = Company.objects.create(name="Acme"), Company.objects.create(name="Borg")
    for name, at, joined_at in (("ada", company, NOW), ("invited", company, None), ("rival", neighbour, NOW)):
        Employee.objects.create(company=at, user=person(name), joined_at=joined_at)
    Employee.objects.create(company=company, user=person("nowhere", email=""), joined_at=NOW)
    expiring(Organization.objects.get(pk=company.pk))

    assert send() == ["ada"]


def test_users_whom_the_project_lists_but_does_not_let_in(connect):
    """A ``get_users()`` that returns too many tells nobody else about the keys of an organization."""
    connect("OpenTeams")
    team = team_with(ada=["lead"])
    person("stranger")
    expiring(team.organization)

    assert send() == ["ada"]


@pytest.mark.skipif(django_settings.AUTH_USER_MODEL == "accounts.Account", reason="its users are always active")
def test_inactive_members(connect):
    connect("ListedTeams")
    team = team_with(ada=["lead"])
    TeamRole.objects.create(team=team, user=person("gone", is_active=False), name="lead")
    expiring(team.organization)

    assert send() == ["ada"]
