"""The organizations of a project's own teams follow the teams."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext_lazy

from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey, AuditEntry, Organization
from closient_auth.models.anchors import connect_signals, delete_orphan, get_team_model, make_anchor, rename_anchor
from tests.factories import OrganizationFactory, make_key
from tests.memberships.models import Chapter, Company, FormerTeam, Invoice, Team

pytestmark = pytest.mark.django_db


def make(model=Team, name="Acme", **kwargs):
    return model.objects.create(name=name, **kwargs)


def anchor(team):
    """Return the organization of a team, as stored."""
    if isinstance(team, Company):
        return Organization.objects.get(pk=team.pk)
    return Organization.objects.get(team=team.pk)


def events():
    return sorted(AuditEntry.objects.values_list("event", "organization_id", "target"))


@pytest.fixture(params=[Team, Company])
def model(request, connect):
    """Each kind of teams: with a link to the organization, and with the primary key of the organization."""
    connect({Team: "TeamMemberships", Company: "CompanyMemberships"}[request.param])
    return request.param


@pytest.fixture
def neighbour(model):
    """Another team with a key. Fail the test if its organization or key has changed."""
    team = make(model, "Neighbour")
    make_key(organization=anchor(team))
    rows = Organization.objects.filter(pk=anchor(team).pk).values(), ApiKey.objects.filter(organization=anchor(team))
    before = rows[0].get(), rows[1].values().get()
    yield team
    assert (rows[0].all().get(), rows[1].values().get()) == before


def test_saving_makes_an_organization(model, neighbour):
    team = make(model)

    organization = anchor(team)
    assert (organization.name, organization.slug) == ("Acme", "acme")
    assert organization.memberships.count() == 0
    assert Organization.objects.count() == 2
    assert ("organization_created", organization.pk, "Acme") in events()


def test_the_key_of_the_company_is_that_of_its_organization(companies):
    company = make(Company)

    assert Organization.objects.get().pk == company.pk


def test_the_instance_knows_its_organization(teams):
    team = make()

    assert team.organization == Organization.objects.get()
    team.save()
    assert Organization.objects.count() == 1


def test_renaming(model, neighbour):
    team = make(model)
    organization = anchor(team)
    entries = AuditEntry.objects.count()

    team.name = "Globex"
    team.save()

    organization.refresh_from_db()
    # Clients may use the slug, so it stays.
    assert (organization.name, organization.slug) == ("Globex", "acme")
    entry = AuditEntry.objects.get(event="organization_changed")
    assert (entry.old_values, entry.new_values) == ({"name": "Acme"}, {"name": "Globex"})
    assert AuditEntry.objects.count() == entries + 1
    team.save()
    assert AuditEntry.objects.count() == entries + 1


def test_renaming_keeps_what_somebody_else_has_restricted(model):
    team = make(model)
    anchor(team).suspend()

    team.name = "Globex"
    team.save()

    assert anchor(team).name == "Globex"
    assert anchor(team).suspended_at is not None


@pytest.mark.parametrize("way", ["delete", "queryset"])
def test_deleting_deletes_keys_and_keeps_the_audit_log(model, neighbour, way):
    team = make(model)
    organization = anchor(team)
    api_key, _ = make_key(organization=organization, name="warehouse")
    if way == "delete":
        team.delete()
    else:
        model.objects.filter(pk=team.pk).delete()

    assert not Organization.objects.filter(pk=organization.pk).exists()
    assert not ApiKey.objects.filter(pk=api_key.pk).exists()
    entry = AuditEntry.objects.get(event="organization_deleted")
    assert (entry.organization_id, entry.old_values["name"]) == (organization.pk, "Acme")
    assert entry.old_values["api_keys"] == {str(api_key.pk): api_key.hint}
    assert AuditEntry.objects.filter(event="api_key_created", target_id=api_key.pk).exists()


def test_deleting_several(model, neighbour):
    gone = [make(model, name) for name in ("Acme", "Borg", "Cyan")]

    model.objects.exclude(pk=neighbour.pk).delete()

    assert Organization.objects.get() == anchor(neighbour)
    assert AuditEntry.objects.filter(event="organization_deleted").count() == len(gone)


@pytest.mark.parametrize("way", ["delete", "queryset"])
def test_deletion_that_is_rolled_back(model, way):
    team = make(model)
    organization, pk = anchor(team), team.pk
    make_key(organization=organization)
    before = events()

    with transaction.atomic():
        if way == "delete":
            team.delete()
        else:
            model.objects.all().delete()
        assert not Organization.objects.exists()
        transaction.set_rollback(True)

    assert anchor(model.objects.get(pk=pk)) == organization
    assert organization.api_keys.active().count() == 1
    assert events() == before


def test_saving_that_is_rolled_back(model):
    team = model(name="Acme")
    with transaction.atomic():
        team.save()
        transaction.set_rollback(True)
    assert not Organization.objects.exists()

    # The instance still has the link to the organization that was rolled back.
    team.save()

    assert anchor(team).name == "Acme"
    assert Organization.objects.count() == 1


def test_rows_of_the_project_protect_a_team(model, neighbour):
    team = make(model)
    invoice = Invoice.objects.create(organization=anchor(team))
    api_key, _ = make_key(organization=anchor(team))

    # As everywhere in Django, a caught error needs a savepoint.
    with pytest.raises(ProtectedError) as caught, transaction.atomic():
        model.objects.get(pk=team.pk).delete()

    assert caught.value.protected_objects == {invoice}
    assert anchor(model.objects.get(pk=team.pk)).api_keys.get() == api_key
    assert not AuditEntry.objects.filter(event="organization_deleted").exists()


NAMES = {
    "x" * 300: ("x" * 255, "x" * 40),
    "": ("", None),
    "  ": ("  ", None),
    "東京 ☃": ("東京 ☃", None),
    "Süd & Söhne": ("Süd & Söhne", "sud-sohne"),
    "admin": ("admin", None),
    "4711": ("4711", None),
    "b7c0a1c2-8f6a-4d6e-9a55-2f5f0c9f4b11": ("b7c0a1c2-8f6a-4d6e-9a55-2f5f0c9f4b11", None),
    "Acme\n\x1b[31m\u202e": ("Acme\n\x1b[31m\u202e", "acme-31m"),
    "<b>{{ x }}</b>": ("<b>{{ x }}</b>", "b-x-b"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names(model, name):
    """A name of which no slug can be made gets a slug with a random suffix."""
    team = make(model, name)

    expected, slug = NAMES[name]
    organization = anchor(team)
    assert organization.name == expected
    organization.clean_fields(exclude=["name"])
    if slug is None:
        assert organization.slug[-9] == "-"
    else:
        assert organization.slug == slug
    # A shortened name is no change.
    entries = AuditEntry.objects.count()
    team.save()
    assert AuditEntry.objects.count() == entries


def test_same_name_twice(teams):
    organizations = [anchor(make()) for _ in range(3)]

    assert {organization.name for organization in organizations} == {"Acme"}
    first, *others = [organization.slug for organization in organizations]
    assert first == "acme"
    assert len(set(others)) == 2
    assert all(slug.startswith("acme-") for slug in others)


@pytest.mark.parametrize("name", [None, 7, ["Acme"], b"Acme"])
def test_name_that_is_not_text(connect, monkeypatch, name):
    connect("CalledTeams")
    monkeypatch.setattr(type(get_memberships()), "name", name)

    with pytest.raises(ImproperlyConfigured) as caught, transaction.atomic():
        make()

    assert str(caught.value) == f"get_name() should return text, not {name!r}."
    assert not Organization.objects.exists()


def test_translated_name(connect, monkeypatch):
    connect("CalledTeams")
    monkeypatch.setattr(type(get_memberships()), "name", gettext_lazy("Owner"))

    make()

    assert Organization.objects.get().name == "Owner"


def test_fixtures_contain_the_organizations(model, tmp_path):
    team = make(model)
    organization = anchor(team)
    path = tmp_path / "rows.json"
    call_command("dumpdata", "closient_auth.organization", f"tests.{model.__name__}", output=str(path))
    rows = json.loads(path.read_text())
    # The teams first, as their app may come first.
    path.write_text(json.dumps(rows[::-1]))
    model.objects.all().delete()

    call_command("loaddata", str(path), verbosity=0)

    assert anchor(model.objects.get()) == organization
    assert Organization.objects.count() == 1


def test_fixture_without_organizations_leaves_them_to_the_command(teams, tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"model": "tests.team", "pk": 7, "fields": {"name": "Acme", "code": ""}}]))

    call_command("loaddata", str(path), verbosity=0)

    assert Team.objects.get().organization_id is None
    assert not Organization.objects.exists()


def test_bulk_create_and_update_leave_it_to_the_command(model):
    model.objects.bulk_create([model(name="Acme")])
    assert not Organization.objects.exists()
    team = model.objects.get()
    team.save()
    model.objects.update(name="Globex")

    assert anchor(team).name == "Acme"


def test_team_that_was_saved_before_its_organization(teams):
    """An instance from before the organization must not remove the link, and then get a second organization."""
    Team.objects.bulk_create([Team(name="Acme")])
    team, stale = Team.objects.get(), Team.objects.get()
    organization = make_anchor(team, "default")
    make_key(organization=organization)
    stale.code = "new"
    stale.save()

    assert anchor(stale) == organization == stale.organization
    assert Organization.objects.get() == organization
    assert Team.objects.get().code == "new"


@pytest.mark.django_db(transaction=True)
def test_stale_team_without_a_transaction(teams):
    Team.objects.bulk_create([Team(name="Acme")])
    stale = Team.objects.get()
    organization = make_anchor(Team.objects.get(), "default")

    stale.save()

    assert Organization.objects.get() == anchor(stale) == organization


def test_stale_team_that_is_gone(teams):
    """Django inserts the row again, and the team gets a new organization."""
    team = make()
    old, stale = team.organization_id, Team.objects.get()
    team.delete()

    stale.organization = None
    stale.save()

    assert Organization.objects.get() == anchor(stale)
    assert stale.organization_id != old


@pytest.mark.parametrize("fields", [["code"], ["name"]])
def test_stale_team_with_update_fields(teams, fields):
    Team.objects.bulk_create([Team(name="Acme")])
    stale = Team.objects.get()
    organization = make_anchor(Team.objects.get(), "default")
    stale.code = "new"
    stale.name = "Globex"
    stale.save(update_fields=fields)

    assert Organization.objects.get() == anchor(stale) == organization
    # The name of the instance counts, even if it is not saved.
    assert anchor(stale).name == "Globex"


def test_deleting_a_team_that_was_loaded_before_its_organization(teams):
    """The keys of the organization would go on working."""
    Team.objects.bulk_create([Team(name="Acme"), Team(name="Borg")])
    stale = Team.objects.get(name="Acme")
    organization, neighbour = (make_anchor(team, "default") for team in Team.objects.order_by("name"))
    make_key(organization=organization)

    stale.delete()

    assert Organization.objects.get() == neighbour
    assert not ApiKey.objects.exists()


def test_deleting_a_team_without_an_organization(model, neighbour):
    team = model(name="Acme")
    model.objects.bulk_create([team])

    model.objects.get(name="Acme").delete()

    assert Organization.objects.get() == anchor(neighbour)
    assert not AuditEntry.objects.filter(event="organization_deleted").exists()


def test_organization_that_is_gone(teams):
    """Other programs may delete organizations: the rows of this project have no constraint in the database."""
    team = make()
    old = team.organization_id
    Team.objects.update(organization=None)
    Organization.objects.get().delete()
    Team.objects.update(organization_id=old)
    stale = Team.objects.get()

    stale.save()

    assert anchor(stale).name == "Acme"
    assert stale.organization_id != old


def test_two_teams_cannot_have_one_organization(teams):
    team, other = make(), make(name="Borg")
    organization = other.organization

    other.organization = team.organization
    with pytest.raises(IntegrityError), transaction.atomic():
        other.save()

    assert anchor(Team.objects.get(pk=other.pk)) == organization


def test_copy_of_a_team(teams):
    """As Django's documentation copies a row."""
    team = make()
    copy = Team.objects.get(pk=team.pk)
    copy.pk, copy._state.adding = None, True
    copy.save()

    assert anchor(copy) != anchor(team)
    assert anchor(Team.objects.get(pk=team.pk)) == team.organization


def test_team_that_is_created_with_an_organization(teams):
    organization = Organization.objects.create(name="Old")
    team = Team.objects.create(name="New", organization=organization)

    assert anchor(team).pk == organization.pk
    assert Organization.objects.get().name == "New"


@pytest.mark.parametrize("cls", [FormerTeam, Chapter])
def test_subclasses_of_the_model(teams, cls):
    """A proxy or subclass of the model is a team as well, whichever class saves or deletes it."""
    neighbour = make(name="Neighbour")
    team = make(cls)
    organization = anchor(team)
    team.name = "Globex"
    team.save()
    assert anchor(team).name == "Globex"
    make_key(organization=organization)

    team.delete()

    assert Organization.objects.get() == anchor(neighbour)
    assert not ApiKey.objects.exists()
    assert AuditEntry.objects.filter(event="organization_deleted").count() == 1


@pytest.mark.parametrize("cls", [FormerTeam, Chapter])
def test_subclass_that_is_deleted_as_a_team(teams, cls):
    make(cls)

    Team.objects.all().delete()

    assert not Organization.objects.exists()


def test_anchor_that_another_process_has_made(model):
    model.objects.bulk_create([model(name="Acme")])
    team, same = model.objects.get(), model.objects.get()
    first = make_anchor(team, "default")

    assert make_anchor(same, "default") is None
    assert Organization.objects.get() == first == anchor(same)


def test_team_that_another_process_has_deleted(model):
    model.objects.bulk_create([model(name="Acme")])
    team = model.objects.get()
    model.objects.all().delete()

    assert make_anchor(team, "default") is None
    assert not Organization.objects.exists()


def test_integrity_error_of_something_else(teams, monkeypatch):
    Team.objects.bulk_create([Team(name="Acme")])
    with connection.execute_wrapper(_refuse_organizations), pytest.raises(IntegrityError, match="another constraint"):
        make_anchor(Team.objects.get(), "default")

    assert Team.objects.get().organization_id is None


def _refuse_organizations(execute, sql, params, many, context):
    if sql.startswith("INSERT") and "closient_auth_organization" in sql:
        raise IntegrityError("another constraint")
    return execute(sql, params, many, context)


def test_organization_of_another_with_the_same_primary_key(companies):
    """An organization from before the project named the class."""
    pk = UUID(int=7)
    before = OrganizationFactory.create(pk=pk, name="Before", slug="before")
    make_key(organization=before)

    make(Company, pk=pk)

    before.refresh_from_db()
    assert (before.name, before.slug) == ("Acme", "before")
    assert before.api_keys.count() == 1


def test_renaming_what_is_gone_or_has_the_name(teams):
    neighbour, team = make(name="Neighbour"), make()

    assert rename_anchor(UUID(int=7), "Globex", "default") is False
    assert rename_anchor(team.organization_id, "Acme", "default") is False
    assert rename_anchor(team.organization_id, "Globex", "default") is True
    assert anchor(team).name == "Globex"
    assert anchor(neighbour).name == "Neighbour"


def test_deleting_only_orphans(teams):
    team, orphan = make(), OrganizationFactory.create()

    assert delete_orphan(team.organization_id, "default") is False
    assert delete_orphan(orphan.pk, "default") is True
    assert delete_orphan(orphan.pk, "default") is False
    assert Organization.objects.get() == anchor(team)
    assert AuditEntry.objects.filter(event="organization_deleted").count() == 1


def test_every_save_takes_one_query_more(model, django_assert_num_queries):
    team = make(model)

    with django_assert_num_queries(2):
        team.save()


class Archive:
    """Route the tables of this package, and none other, to the default database."""

    def allow_migrate(self, db, app_label, **hints):
        return db == "default" if app_label == "closient_auth" else None


@pytest.fixture
def other(model, tmp_path):
    """Return a function to create the tables of all apps but some in a second database, on SQLite."""

    def other(*without):
        # Django's tests refuse to open a database that the settings do not have.
        connections["other"].connect()
        with connections["other"].schema_editor() as editor:
            for each in apps.get_models():
                if each._meta.managed and not each._meta.proxy and each._meta.app_label not in without:
                    editor.create_model(each)

    connections.databases["other"] = {
        **connections.databases["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "other.sqlite3"),
        "OPTIONS": {},
    }
    yield other
    connections["other"].close()
    del connections["other"]
    del connections.databases["other"]


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_other_database(model, other):
    """The signal works in the database in which the team was saved."""
    other()
    team = model(name="Acme")
    team.save(using="other")

    assert Organization.objects.using("other").get().name == "Acme"
    team.name = "Globex"
    team.save(using="other")
    assert Organization.objects.using("other").get().name == "Globex"
    assert not Organization.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_database_without_organizations(model, other, settings):
    """A copy of a team in an archive has no organization there, and deleting it leaves that of the team alone."""
    other("closient_auth")
    team = make(model)
    settings.DATABASE_ROUTERS = [Archive()]
    copy = model.objects.get(pk=team.pk)
    copy.save(using="other", force_insert=True)
    assert model.objects.using("other").count() == 1
    copy.delete(using="other")

    assert not model.objects.using("other").exists()
    assert Organization.objects.get() == anchor(team)


def test_default_setting_connects_nothing(db):
    connect_signals()
    make()
    make(Company)

    assert not Organization.objects.exists()


@pytest.mark.parametrize(
    "value",
    [None, [], {"MEMBERSHIPS": None}, {"MEMBERSHIPS": []}, {"MEMBERSHIPS": 7}, {"MEMBERSHIPS": "no.module"}],
    ids=str,
)
def test_broken_setting_connects_nothing(settings, value):
    """Django calls this at its start: the system checks report the mistake, and commands such as revoke_api_key work."""
    settings.CLOSIENT_AUTH = value
    connect_signals()
    make()

    assert not Organization.objects.exists()
    with pytest.raises(ImproperlyConfigured):
        get_memberships()


def test_model_that_is_not_known(db):
    with pytest.raises(ImproperlyConfigured) as caught:
        get_team_model()

    assert str(caught.value) == (
        "The model of your teams is not known. Set CLOSIENT_AUTH['MEMBERSHIPS'] to a class with model = 'app.Model'."
    )
