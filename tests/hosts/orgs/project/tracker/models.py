from uuid import uuid4

from django.db import models

from tenancy.models import Organization


class Project(models.Model):
    """The software that an organization watches."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="projects")
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="tracker_project_unique_name")]

    def __str__(self):
        return self.name


class Tag(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="tags")
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class Report(models.Model):
    """An advisory that concerns a project."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="reports")
    title = models.CharField(max_length=200)
    tags = models.ManyToManyField(Tag, related_name="reports", blank=True)

    class Meta:
        ordering = ["title"]

    def __str__(self):
        return self.title
