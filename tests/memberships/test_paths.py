"""The lookup paths from the models of a project to their organization."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.test.utils import isolate_apps

from closient_auth.core.paths import get_organization_paths, within
from closient_auth.models import ApiKey, Membership, Organization
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory
from tests.memberships.models import Company, CompanyDocument, Employee, Team, TeamDocument, TeamRole
from tests.models import Note, Project

User = get_user_model()


def key(to, **kwargs):
    return models.ForeignKey(to, models.CASCADE, related_name="+", **kwargs)


def make(name, **fields):
    """Return a new model of the test project. It exists only in the registry of the test."""
    return type(
        name, (models.Model,), {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "tests"}), **fields}
    )


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        (Organization, ("pk",)),
        (Project, ("organization",)),
        (Note, ("project__organization",)),
        (Membership, ("organization",)),
        (ApiKey, ("organization",)),
        (ContentType, ()),
        # A company is no organization in this project, and belongs to none.
        (Company, ()),
        (CompanyDocument, ()),
        (Employee, ()),
        (Team, ("organization",)),
        (TeamRole, ("team__organization",)),
    ],
)
def test_paths(model, paths):
    assert get_organization_paths(model) == paths


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        (Company, ("pk",)),
        (CompanyDocument, ("company",)),
        (Employee, ("company",)),
        (Organization, ("pk",)),
        (Project, ("organization",)),
        (Team, ("organization",)),
    ],
)
def test_teams_with_the_primary_key_of_the_organization(companies, model, paths):
    assert get_organization_paths(model) == paths


def test_teams_with_a_link(teams):
    assert get_organization_paths(TeamDocument) == ("team__organization",)
    assert get_organization_paths(CompanyDocument) == ()


@isolate_apps("tests")
def test_two_foreign_keys():
    transfer = make("Transfer", giver=key(Organization), taker=key(Organization), note=key(Note))

    assert get_organization_paths(transfer) == ("giver", "taker")


@isolate_apps("tests")
def test_shortest_paths_only():
    entry = make("Entry", note=key(Note), first=key(Project), second=key(Project), team=key(Team))

    assert get_organization_paths(entry) == ("first__organization", "second__organization", "team__organization")


@isolate_apps("tests")
def test_many_to_many():
    direct = make("Direct", organizations=models.ManyToManyField(Organization, related_name="+"))
    shared = make("Shared", projects=models.ManyToManyField(Project, related_name="+"))

    assert get_organization_paths(direct) == ("organizations",)
    assert get_organization_paths(shared) == ("projects__organization",)


@isolate_apps("tests")
def test_one_to_one_and_inheritance():
    profile = make("Profile", project=models.OneToOneField(Project, models.CASCADE, related_name="+"))
    special = type("Special", (Project,), {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "tests"})})

    assert get_organization_paths(profile) == ("project__organization",)
    assert get_organization_paths(special) == ("organization",)


@isolate_apps("tests")
def test_not_through_users():
    """A user may be in several organizations."""
    article = make(
        "Article", author=key(settings.AUTH_USER_MODEL), editors=models.ManyToManyField(User, related_name="+")
    )
    proxy = type(
        "Writer", (User,), {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "tests", "proxy": True})}
    )
    column = make("Column", author=key(proxy))
    works_at = make("WorksAt", user=key(User), organization=key(Organization))
    badge = make("Badge", holder=key(works_at))

    assert get_organization_paths(article) == ()
    assert get_organization_paths(column) == ()
    assert get_organization_paths(badge) == ("holder__organization",)


@isolate_apps("tests")
def test_users_with_an_organization_of_their_own(monkeypatch):
    """A custom user model may have a default organization, which is not that of the rows of a user."""
    person = make("Person", organization=key(Organization))
    writer = type(
        "Writer", (person,), {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "tests", "proxy": True})}
    )
    monkeypatch.setattr("closient_auth.core.paths.get_user_model", lambda: person)

    assert get_organization_paths(make("Article", author=key(person))) == ()
    assert get_organization_paths(make("Column", author=key(writer))) == ()
    assert get_organization_paths(person) == ("organization",)


@isolate_apps("tests")
def test_generic_foreign_key():
    tag = make(
        "Tag",
        content_type=key(ContentType),
        object_id=models.PositiveIntegerField(),
        target=GenericForeignKey("content_type", "object_id"),
    )

    assert get_organization_paths(tag) == ()


@isolate_apps("tests")
def test_references_in_circles():
    node = make("Node", parent=key("self", null=True), friends=models.ManyToManyField("self"), leaf=key("Leaf"))
    leaf = make("Leaf", node=key(node))
    tree = make("Tree", parent=key("self", null=True), project=key(Project))

    assert get_organization_paths(node) == get_organization_paths(leaf) == ()
    assert get_organization_paths(tree) == ("project__organization",)


@isolate_apps("tests")
def test_length():
    # From a note, the path has two parts.
    model, path = Note, ("project__organization",)
    for name in ("Comment", "Reply", "Like", "Mark", "Copy"):
        model, path = make(name, up=key(model)), (f"up__{path[0]}",)
        assert get_organization_paths(model) == path


@isolate_apps("tests")
def test_owner_and_others():
    """A row with a field ``organization`` belongs to that one, not to its seller."""
    offer = make("Offer", seller=key(Organization), organization=key(Organization))
    review = make("Review", offer=key(offer), organization=key(Project))

    assert get_organization_paths(offer) == ("organization",)
    assert get_organization_paths(review) == ("offer__organization", "organization__organization")


@pytest.mark.django_db
def test_rows_within():
    ours, theirs = OrganizationFactory.create_batch(2)
    project, other = (Project.objects.create(name="x", organization=each) for each in (ours, theirs))
    note = Note.objects.create(project=project)
    Note.objects.create(project=other)

    assert list(Note.objects.filter(within(ours, get_organization_paths(Note)))) == [note]
    assert list(Project.objects.filter(within(ours, ("organization", "notes__project__organization")))) == [project]
    assert list(Organization.objects.filter(within(ours, ("pk",)))) == [ours]
    assert list(Note.objects.filter(within(ours, ()))) == []
    member = MembershipFactory.create(organization=ours, user=UserFactory.create())
    assert list(Membership.objects.filter(within(ours, get_organization_paths(Membership)))) == [member]
    assert list(Membership.objects.filter(within(theirs, get_organization_paths(Membership)))) == []


@pytest.mark.django_db
def test_rows_of_companies_within(companies):
    ours, theirs = (Company.objects.create(name=name) for name in ("Acme", "Borg"))
    document = CompanyDocument.objects.create(company=ours, name="x")
    CompanyDocument.objects.create(company=theirs, name="y")
    organization = Organization.objects.get(pk=ours.pk)

    assert list(CompanyDocument.objects.filter(within(organization, ("company",)))) == [document]
    assert list(Company.objects.filter(within(organization, ("pk",)))) == [ours]
