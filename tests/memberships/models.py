"""The rows of two projects that have members of their own: teams with integer keys, and companies with UUIDs.

The app has no migrations, so foreign keys to other apps have no database constraints.
"""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models

from closient_auth.models import Organization


class Team(models.Model):
    name = models.CharField(max_length=300)
    code = models.CharField(max_length=100)
    organization = models.OneToOneField(
        Organization, models.PROTECT, null=True, editable=False, db_constraint=False, related_name="team"
    )

    def __str__(self) -> str:
        return self.name


class TeamRole(models.Model):
    """One of several roles of a person in a team."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="roles")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False, related_name="team_roles")
    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class TeamDocument(models.Model):
    team = models.ForeignKey(Team, models.CASCADE)
    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class Company(models.Model):
    """An organization of the project with the primary key of ours."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    name = models.CharField(max_length=300, unique=True)

    def __str__(self) -> str:
        return self.name


class Employee(models.Model):
    """A member of a company, or an invitation without a date."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="employees")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False, related_name="employments")
    joined_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.user)


class CompanyDocument(models.Model):
    company = models.ForeignKey(Company, models.CASCADE)
    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class FormerTeam(Team):
    """A proxy, as projects make for the admin."""

    class Meta:
        proxy = True


class Chapter(Team):
    """A team with a table of its own for more fields."""

    city = models.CharField(max_length=20)


class Invoice(models.Model):
    """A row that must not be deleted with its organization."""

    organization = models.ForeignKey(Organization, models.PROTECT, db_constraint=False, related_name="invoices")

    def __str__(self) -> str:
        return str(self.pk)
