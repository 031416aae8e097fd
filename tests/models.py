"""Models of the test project. The app has no migrations, so its foreign keys have no database constraints."""

from __future__ import annotations

from django.db import models

from closient_auth.models import Organization


class Project(models.Model):
    organization = models.ForeignKey(Organization, models.CASCADE, db_constraint=False, related_name="projects")
    name = models.CharField(max_length=100)

    objects: models.Manager[Project] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Note(models.Model):
    """A model related to its organization only through its project."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="notes")
    text = models.CharField(max_length=100)

    objects: models.Manager[Note] = models.Manager()

    def __str__(self) -> str:
        return self.text


# Django finds the models of an app in this module.
from tests.memberships import models as _membership_models  # noqa: E402, F401
