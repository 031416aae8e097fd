"""``manage.py sync_organizations`` makes what ``bulk_create()`` and other programs left out."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.signals import post_delete, post_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.memberships import get_memberships
from closient_auth.models import ApiKey, AuditEntry, Organization
from tests.factories import OrganizationFactory, make_key
from tests.memberships.models import Company, Invoice, Team

pytestmark = pytest.mark.django_db

DRY = "Nothing was changed (--dry-run).\n"
NOTHING = "Each team has its organization. Nothing was changed.\n"
ORPHANS = "The keys of the orphans work. Delete these organizations with --delete-orphans.\n"


def sync(*arguments):
    """Run the command, and return what it wrote."""
    stdout, stderr = io.StringIO(), io.StringIO()
    call_command("sync_organizations", *arguments, stdout=stdout, stderr=stderr)
    return stdout.getvalue(), stderr.getvalue()


def rows():
    return list(Organization.objects.order_by("pk").values()), list(Team.objects.order_by("pk").values())


def orphan(name="Orphan", keys=0):
    organization = OrganizationFactory.create(name=name)
    for _ in range(keys):
        make_key(organization=organization)
    return organization


def orphans(*names):
    """Create organizations with a key each, and return them in the order of the database."""
    pks = [orphan(name, keys=1).pk for name in names]
    # MariaDB sorts UUIDs differently from Python.
    return list(Organization.objects.filter(pk__in=pks).order_by("pk"))


@pytest.fixture
def bulk(teams):
    """Return a function to create teams without organizations: ``bulk("Acme", "Borg")``."""

    def bulk(*names):
        Team.objects.bulk_create([Team(name=name) for name in names])
        return [Team.objects.get(name=name) for name in names]

    return bulk


@pytest.fixture
def world(bulk):
    """A team that is all right, one without an organization, one with an old name, and an orphan with two active keys."""
    Team.objects.create(name="Good")
    bulk("Fresh")
    Team.objects.create(name="Old")
    Team.objects.filter(name="Old").update(name="Renamed")
    organization = orphan(keys=2)
    make_key(organization=organization)[0].revoke()
    make_key(organization=organization, expires_at=timezone.now() - timedelta(days=1))
    return {
        "new": Team.objects.get(name="Fresh"),
        "renamed": Team.objects.get(name="Renamed"),
        "orphan": organization,
    }


def test_text(world):
    old = world["renamed"].organization
    stdout, stderr = sync()

    new = Organization.objects.get(team=world["new"])
    assert stdout.splitlines() == [
        f"created  {new.pk}  team {world['new'].pk}  Fresh",
        f"renamed  {old.pk}  team {world['renamed'].pk}  Renamed",
        f"orphan  {world['orphan'].pk}  no team  Orphan  2 active keys",
    ]
    assert stderr == ORPHANS
    assert (new.name, new.slug) == ("Fresh", "fresh")
    old.refresh_from_db()
    assert (old.name, old.slug) == ("Renamed", "old")
    assert list(Team.objects.values_list("name", "organization__name").order_by("pk")) == [
        ("Good", "Good"),
        ("Fresh", "Fresh"),
        ("Renamed", "Renamed"),
    ]


def test_json(world):
    stdout, stderr = sync("--json")

    assert stdout.isascii()
    assert json.loads(stdout) == [
        {
            "event": "created",
            "team": str(world["new"].pk),
            "organization": str(Organization.objects.get(name="Fresh").pk),
            "name": "Fresh",
        },
        {
            "event": "renamed",
            "team": str(world["renamed"].pk),
            "organization": str(world["renamed"].organization_id),
            "name": "Renamed",
        },
        {
            "event": "orphan",
            "team": None,
            "organization": str(world["orphan"].pk),
            "name": "Orphan",
            "live_keys": 2,
        },
    ]
    assert stderr == ORPHANS


def test_companies(companies):
    Company.objects.bulk_create([Company(name="Acme"), Company(name="Borg")])

    sync()

    assert set(Organization.objects.values_list("pk", "name")) == set(Company.objects.values_list("pk", "name"))
    assert sync() == ("", NOTHING)


@pytest.mark.parametrize("arguments", [[], ["--delete-orphans", "--with-keys"]])
def test_dry_run_changes_nothing(world, arguments):
    before, entries = rows(), AuditEntry.objects.count()
    stdout, stderr = sync("--dry-run", *arguments)

    event = "would delete" if arguments else "orphan"
    assert stdout.splitlines() == [
        f"would create  -  team {world['new'].pk}  Fresh",
        f"would rename  {world['renamed'].organization_id}  team {world['renamed'].pk}  Renamed",
        f"{event}  {world['orphan'].pk}  no team  Orphan  2 active keys",
    ]
    assert stderr == DRY
    assert rows() == before
    assert AuditEntry.objects.count() == entries
    assert ApiKey.objects.active().count() == 2


def test_second_run_does_nothing(world):
    sync("--delete-orphans", "--with-keys")
    before, entries = rows(), AuditEntry.objects.count()

    assert sync() == ("", NOTHING)
    assert sync("--json") == ("[\n]\n", "")
    assert rows() == before
    assert AuditEntry.objects.count() == entries


def test_no_team_at_all(teams):
    assert sync() == sync("--delete-orphans", "--with-keys") == ("", NOTHING)


def test_orphans_are_deleted_with_their_keys(world):
    kept, _ = make_key(organization=world["renamed"].organization)
    stdout, stderr = sync("--delete-orphans", "--with-keys")

    assert stdout.splitlines()[-1] == f"deleted  {world['orphan'].pk}  no team  Orphan  2 active keys"
    assert stderr == ""
    assert not Organization.objects.filter(pk=world["orphan"].pk).exists()
    assert ApiKey.objects.get() == kept
    entry = AuditEntry.objects.get(event="organization_deleted")
    # The audit log names the expired key as well.
    assert (entry.organization_id, len(entry.old_values["api_keys"])) == (world["orphan"].pk, 3)


def test_orphans_with_active_keys_are_kept_by_default(world):
    """With the class of another project, all organizations of customers may be orphans."""
    empty = orphan()
    empty.api_keys.all().revoke()
    stdout, stderr = sync("--delete-orphans")

    # MariaDB sorts UUIDs in an order of its own.
    assert sorted(stdout.splitlines()[-2:]) == sorted(
        [
            f"orphan  {world['orphan'].pk}  no team  Orphan  2 active keys",
            f"deleted  {empty.pk}  no team  {empty.name}  0 active keys",
        ]
    )
    assert stderr == "Orphans with active keys were kept. Delete them with --delete-orphans --with-keys.\n"
    assert not Organization.objects.filter(pk=empty.pk).exists()
    assert ApiKey.objects.active().filter(organization=world["orphan"]).count() == 2


def test_rows_of_the_project_protect_an_orphan(teams, refuse):
    Team.objects.create(name="Good")
    first, second, last = orphans("a", "b", "c")
    Invoice.objects.create(organization=second)

    refused = refuse("sync_organizations", "--delete-orphans", "--with-keys")

    assert refused.error == "1 organization was not deleted, because rows of your project refer to them."
    assert [line.split()[:2] for line in refused.lines] == [
        ["deleted", str(first.pk)],
        ["protected", str(second.pk)],
        ["deleted", str(last.pk)],
    ]
    assert Organization.objects.get(team=None) == second
    assert second.api_keys.active().count() == 1
    Invoice.objects.create(organization=orphan())
    refused = refuse("sync_organizations", "--delete-orphans", "--with-keys", "--json")
    assert refused.error == "2 organizations were not deleted, because rows of your project refer to them."
    assert [row["event"] for row in json.loads(refused.stdout)] == ["protected"] * 2


def test_orphan_that_another_process_deletes_meanwhile(teams):
    Team.objects.create(name="Good")
    first, second = orphans("a", "b")

    def delete_second(instance, **kwargs):
        Organization.objects.filter(pk=second.pk).exclude(pk=instance.pk).delete()

    post_delete.connect(delete_second, sender=Organization)
    try:
        stdout, _ = sync("--delete-orphans", "--with-keys")
    finally:
        post_delete.disconnect(delete_second, sender=Organization)

    assert [line.split()[:2] for line in stdout.splitlines()] == [["deleted", str(first.pk)]]
    assert AuditEntry.objects.filter(event="organization_deleted").count() == 2


@pytest.mark.parametrize("change", ["create", "rename", "delete"])
def test_team_that_another_process_changes_meanwhile(bulk, change):
    """The page of teams was read before. Nothing is reported that the command has not done."""
    bulk("First", "Second")
    if change != "create":
        for team in Team.objects.all():
            team.save()
        Team.objects.filter(name="Second").update(name="Other")
        Team.objects.filter(name="First").update(name="Another")
    second = Team.objects.order_by("pk")[1]

    def change_second(instance, **kwargs):
        post_save.disconnect(change_second, sender=Organization)
        if change == "delete":
            Team.objects.get(pk=second.pk).delete()
        else:
            Team.objects.get(pk=second.pk).save()

    post_save.connect(change_second, sender=Organization)
    stdout, _ = sync()

    assert len(stdout.splitlines()) == 1
    assert sync() == ("", NOTHING)
    assert Organization.objects.count() == Team.objects.count() == (1 if change == "delete" else 2)


def test_class_of_another_project(teams, refuse):
    """With the wrong class, no organization has a team. They must not all be deleted with their keys."""
    organizations = {orphan(keys=1), orphan(keys=1)}

    for arguments in ([], ["--dry-run"], ["--json"]):
        refused = refuse("sync_organizations", "--delete-orphans", "--with-keys", *arguments)
        assert refused.error == "No organization belongs to a team. Is CLOSIENT_AUTH['MEMBERSHIPS'] the right class?"
        assert refused.stdout == ""
    assert set(Organization.objects.all()) == organizations
    assert ApiKey.objects.active().count() == 2


def test_without_the_setting(refuse):
    organization = orphan(keys=1)
    Team.objects.create(name="Acme")

    for arguments in ([], ["--delete-orphans", "--with-keys"], ["--dry-run"]):
        refused = refuse("sync_organizations", *arguments)
        assert refused.error == "CLOSIENT_AUTH['MEMBERSHIPS'] is not set, so there are no teams to synchronize."
    assert Organization.objects.get() == organization
    assert organization.api_keys.count() == 1


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "UnknownTeams",
            "The model of your teams is not known. Set CLOSIENT_AUTH['MEMBERSHIPS'] to a class with model = ",
        ),
        ("MisspelledTeams", "MisspelledTeams.model does not name a model: "),
        ("Missing", "CLOSIENT_AUTH['MEMBERSHIPS'] cannot be imported: "),
        ("PERMISSIONS", "CLOSIENT_AUTH['MEMBERSHIPS'] should name a subclass of Memberships, not "),
    ],
)
def test_class_that_is_not_usable(connect, refuse, name, error):
    organization = orphan(keys=1)
    connect(name)

    assert refuse("sync_organizations", "--delete-orphans", "--with-keys").error.startswith(error)
    assert Organization.objects.get() == organization


def test_name_that_is_not_text(connect, refuse):
    Team.objects.bulk_create([Team(name="Acme")])
    connect("CalledTeams")
    assert get_memberships().get_name(None) is None

    assert refuse("sync_organizations").error == "get_name() should return text, not None."
    assert not Organization.objects.exists()


def test_control_characters_and_other_alphabets(bulk):
    (team,) = bulk("東京\x1b[31m\n\u202eSüd")

    (line,) = sync()[0].splitlines()
    assert line.endswith(f"  team {team.pk}  東京�[31m��Süd")
    assert Organization.objects.get().name == team.name
    Team.objects.update(name="é")
    stdout, _ = sync("--json")
    assert stdout.isascii()
    assert json.loads(stdout)[0]["name"] == "é"


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "S\\xfcd"), ("utf-8", "Süd")])
def test_encodings(bulk, encoding, shown):
    bulk("Süd")
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)

    call_command("sync_organizations", stdout=stdout)

    stdout.seek(0)
    assert stdout.read().endswith(f"  {shown}\n")


class Unread(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def test_reader_that_has_read_enough(world):
    """The work is done, whether or not somebody reads the list."""
    call_command("sync_organizations", "--delete-orphans", "--with-keys", stdout=Unread(), stderr=io.StringIO())

    assert sync() == ("", NOTHING)


def test_stdout_that_is_full(world):
    with pytest.raises(CommandError, match="Could not write to stdout: No space left on device"):
        call_command("sync_organizations", stdout=Full(), stderr=io.StringIO())

    assert Organization.objects.filter(team=world["new"]).exists()


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_pages(bulk, monkeypatch, number):
    monkeypatch.setattr("closient_auth.management.base.PAGE_SIZE", 2)
    bulk(*(f"Team {n}" for n in range(number)))
    Team.objects.create(name="Good")
    left = {orphan().pk for _ in range(number)}

    stdout, _ = sync()

    events = [line.split()[0] for line in stdout.splitlines()]
    assert events == ["created"] * number + ["orphan"] * number
    assert not Team.objects.filter(organization=None).exists()
    stdout, _ = sync("--delete-orphans", "--with-keys")
    assert {UUID(line.split()[1]) for line in stdout.splitlines()} == left
    assert set(Organization.objects.values_list("team__name", flat=True)) == {
        "Good",
        *(f"Team {n}" for n in range(number)),
    }


def test_query_for_each_page(teams, monkeypatch):
    monkeypatch.setattr("closient_auth.management.base.PAGE_SIZE", 4)

    def count():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert sync() == ("", NOTHING)
        return len(captured)

    # The first page of teams, the empty page after it, and the orphans.
    assert count() == 2
    for name in "abcd":
        Team.objects.create(name=name)
    assert count() == 3
    for name in "efgh":
        Team.objects.create(name=name)
    assert count() == 4


def test_queries_for_created_rows(bulk):
    counts = []
    for number in (1, 3):
        bulk(*(f"{number} {n}" for n in range(number)))
        with CaptureQueriesContext(connection) as captured:
            sync()
        counts.append(len(captured))

    one, three = counts
    # Each created organization takes the same number of queries.
    assert three - 3 == 3 * (one - 3)


def test_reads_the_primary_database(bulk, replica):
    (team,) = bulk("Acme")
    replica()

    sync()

    assert Organization.objects.using("default").get().name == team.name
