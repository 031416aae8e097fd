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


class Folder(models.Model):
    organization = models.ForeignKey(Organization, models.CASCADE, db_constraint=False, related_name="+")
    name = models.CharField(max_length=100)

    objects: models.Manager[Folder] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="tests_folder_name")]

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    organization = models.ForeignKey(Organization, models.CASCADE, db_constraint=False, related_name="+")
    name = models.CharField(max_length=100)

    objects: models.Manager[Tag] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Document(models.Model):
    """A model with every kind of relation to rows of organizations."""

    organization = models.ForeignKey(Organization, models.CASCADE, db_constraint=False, related_name="+")
    title = models.CharField(max_length=100)
    folder = models.ForeignKey(Folder, models.CASCADE, null=True, blank=True, related_name="documents")
    tags = models.ManyToManyField(Tag, blank=True)
    seller = models.ForeignKey(
        Organization, models.CASCADE, db_constraint=False, null=True, blank=True, related_name="+"
    )

    objects: models.Manager[Document] = models.Manager()

    def __str__(self) -> str:
        return self.title


class Attachment(models.Model):
    """A model that a nested serializer writes."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="attachments")
    folder = models.ForeignKey(Folder, models.CASCADE, null=True, related_name="+")
    name = models.CharField(max_length=100)

    objects: models.Manager[Attachment] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Contract(Document):
    """A model that inherits the table of another one."""

    number = models.CharField(max_length=100, blank=True)


class Page(models.Model):
    """A tree."""

    organization = models.ForeignKey(Organization, models.CASCADE, db_constraint=False, related_name="+")
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")
    name = models.CharField(max_length=100)

    objects: models.Manager[Page] = models.Manager()

    def __str__(self) -> str:
        return self.name


class ShownManager(models.Manager["Draft"]):
    def get_queryset(self) -> models.QuerySet[Draft]:
        return super().get_queryset().filter(is_hidden=False)


class Draft(models.Model):
    """A model whose base manager hides rows."""

    organization = models.ForeignKey(Organization, models.CASCADE, db_constraint=False, related_name="+")
    origin = models.ForeignKey("self", models.CASCADE, null=True, related_name="+")
    is_hidden = models.BooleanField(default=False)

    objects = ShownManager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return str(self.pk)


class Crew(models.Model):
    """A team of a project, linked to its organization."""

    anchor = models.OneToOneField(Organization, models.CASCADE, db_constraint=False, related_name="+")
    name = models.CharField(max_length=100)

    objects: models.Manager[Crew] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Guild(models.Model):
    """A team of a project, with the primary key of its organization."""

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=100)

    objects: models.Manager[Guild] = models.Manager()

    def __str__(self) -> str:
        return self.name


class Tool(models.Model):
    """A model related to its organization through a team."""

    crew = models.ForeignKey(Crew, models.CASCADE, null=True, related_name="+")
    guild = models.ForeignKey(Guild, models.CASCADE, null=True, related_name="+")
    name = models.CharField(max_length=100)

    objects: models.Manager[Tool] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["crew", "name"], name="tests_tool_name")]

    def __str__(self) -> str:
        return self.name


# Django finds the models of an app in this module.
from tests.memberships import models as _membership_models  # noqa: E402, F401
