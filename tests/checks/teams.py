"""Models of a project with teams of its own. They are not in the registry of models, so they have no tables."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.db import models
from django.test.utils import isolate_apps

from closient_auth.memberships import Memberships
from closient_auth.models import Organization

with isolate_apps("tests"):

    class Row(models.Model):
        objects: models.Manager[Any] = models.Manager()

        class Meta:
            abstract = True
            app_label = "tests"

        def __str__(self) -> str:
            return str(self.pk)

    class Team(Row):
        """A team with a link to its organization."""

        organization = models.OneToOneField(Organization, models.PROTECT, null=True, editable=False, related_name="+")

    class Board(Row):
        team = models.ForeignKey(Team, models.CASCADE, related_name="+")
        owner = models.ForeignKey(get_user_model(), models.CASCADE, related_name="+")

    class Card(Row):
        board = models.ForeignKey(Board, models.CASCADE, related_name="+")
        parent = models.ForeignKey("self", models.CASCADE, related_name="+")

    class Company(Row):
        """A team with the primary key of its organization."""

        id = models.UUIDField(primary_key=True, default=uuid4)

    class Site(Row):
        company = models.ForeignKey(Company, models.CASCADE, related_name="+")

    class Country(Row):
        """A row that all organizations share."""

        capital = models.ForeignKey("self", models.CASCADE, related_name="+")

    class Sale(Row):
        """A row between two organizations."""

        organization = models.ForeignKey(Organization, models.CASCADE, related_name="+")
        buyer = models.ForeignKey(Organization, models.CASCADE, related_name="+")
        country = models.ForeignKey(Country, models.CASCADE, related_name="+")
        boards = models.ManyToManyField(Board, related_name="+")


class Teams(Memberships):
    """The members of the teams. ``team`` is the model of the teams."""

    team: Any = Team

    def get_model(self):
        return self.team

    def get_organizations(self, user):
        return Organization.objects.none()

    def get_permissions(self, user, organization):
        return []
