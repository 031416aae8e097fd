"""Rows for the tests of these projects."""

from __future__ import annotations

from django.utils import timezone

from closient_auth.models import Organization
from tests.factories import UserFactory
from tests.memberships.models import Company, Employee, Team, TeamRole


def make_team(name, code=None):
    return Team.objects.create(name=name, code=code or f"{name}.Inc")


def join(team, *roles, **user):
    """Return a new user with these roles in the team."""
    person = UserFactory.create(**user)
    TeamRole.objects.bulk_create(TeamRole(team=team, user=person, name=role) for role in roles)
    return person


def make_company(name):
    """Return a company and its organization."""
    company = Company.objects.create(name=name)
    return company, Organization.objects.get(pk=company.pk)


def employ(company, **user):
    person = UserFactory.create(**user)
    Employee.objects.create(company=company, user=person, joined_at=timezone.now())
    return person
