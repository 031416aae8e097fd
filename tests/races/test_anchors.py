"""Concurrent changes of a project's teams: each team has one organization, and none is left over."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from closient_auth.models import ApiKey, AuditEntry, Organization
from closient_auth.models.locks import is_deadlock
from tests.factories import OrganizationFactory, make_key
from tests.memberships.conftest import companies, connect, teams
from tests.memberships.models import Company, Team
from tests.races.threads import needs_server, race, rounds

__all__ = ["companies", "connect", "teams"]

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]


@pytest.fixture(params=[Team, Company])
def model(request, connect):
    connect({Team: "TeamMemberships", Company: "CompanyMemberships"}[request.param])
    return request.param


def bulk(model, number):
    """Create teams without organizations, and return them as they are now."""
    model.objects.all().delete()
    assert not Organization.objects.exists()
    model.objects.bulk_create([model(name=f"Team {n}") for n in range(number)])
    return list(model.objects.order_by("pk"))


def sync(*arguments):
    call_command("sync_organizations", *arguments, stdout=io.StringIO(), stderr=io.StringIO())


def delete_orphans():
    sync("--delete-orphans", "--with-keys")


def atomic(operation):
    """Return the operation in a transaction, as in a request with ATOMIC_REQUESTS and in the admin."""

    def run():
        with transaction.atomic():
            operation()

    return run


def require_success(errors):
    """Assert that nothing failed but by a deadlock, which the same request repeated would not meet."""
    # A command reports the error of the database in a sentence.
    causes = [error.__cause__ or error if isinstance(error, CommandError) else error for error in errors]
    assert [error for error in causes if isinstance(error, Exception) and not is_deadlock(error)] == [], errors


def require_pairs(model):
    """Assert that each team has an organization, and each organization a team."""
    field = "organization" if model is Team else "pk"
    own, every = model.objects.values_list(field, flat=True), Organization.objects.values_list("pk", flat=True)
    assert sorted(own) == sorted(every)


def require_one_for_each(model, *errors):
    require_success(errors)
    # The victim of a deadlock runs again.
    if any(errors):
        sync()
    require_pairs(model)


def test_two_commands(model):
    for _ in rounds(5):
        bulk(model, 8)
        errors = race(sync, sync, sync)

        require_one_for_each(model, *errors)
        assert Organization.objects.count() == 8


def test_command_and_save(model):
    """The instances are from before the command."""
    for _ in rounds(6):
        stale = bulk(model, 4)
        errors = race(sync, *(atomic(team.save) for team in stale[::-1]))

        require_one_for_each(model, *errors)
        assert Organization.objects.count() == 4


def test_two_saves_of_a_team_without_an_organization(model):
    for _ in rounds(6):
        (team,) = bulk(model, 1)
        others = [model.objects.get(pk=team.pk) for _ in range(3)]
        errors = race(*(atomic(other.save) for other in others))

        require_one_for_each(model, *errors)
        assert Organization.objects.count() == 1


def test_command_and_deletion(model):
    """A team that is deleted leaves no organization, whose keys would work."""
    for _ in rounds(6):
        stale = bulk(model, 12)

        def delete(stale=stale):
            # The command is faster than the last of these, and slower than the first.
            for team in stale[::-1]:
                team.delete()

        errors = race(sync, delete)

        require_one_for_each(model, *errors)


def test_command_and_deletion_of_a_queryset(model):
    for _ in rounds(6):
        bulk(model, 4)
        errors = race(sync, lambda: model.objects.all().delete())

        require_one_for_each(model, *errors)


def test_two_renames(model):
    for _ in rounds(6):
        bulk(model, 1)
        sync()
        first, second = model.objects.get(), model.objects.get()
        first.name, second.name = "First", "Second"
        errors = race(atomic(first.save), atomic(second.save), sync)

        require_one_for_each(model, *errors)
        name = model.objects.get().name
        assert name in {"First", "Second"}
        sync()
        assert Organization.objects.get().name == name


def test_rename_and_deletion(model):
    for _ in rounds(6):
        neighbour, team = bulk(model, 2)
        sync()
        neighbour.refresh_from_db()
        make_key(organization=Organization.objects.get(name=team.name))
        team, same = model.objects.get(pk=team.pk), model.objects.get(pk=team.pk)
        model.objects.filter(pk=team.pk).update(name="Renamed")
        errors = race(sync, same.delete, team.delete)

        require_one_for_each(model, *errors)
        if not any(errors):
            assert model.objects.get() == neighbour
            assert not ApiKey.objects.exists()


def test_two_commands_that_delete_orphans(model):
    for _ in rounds(6):
        bulk(model, 1)
        sync()
        orphans = [OrganizationFactory.create().pk for _ in range(4)]
        errors = race(delete_orphans, delete_orphans)

        require_success(errors)
        if any(errors):
            delete_orphans()
        entries = AuditEntry.objects.filter(event="organization_deleted", organization_id__in=orphans)
        # One of the commands has deleted each of them.
        assert entries.count() == 4
        assert Organization.objects.count() == 1


def test_new_teams_while_orphans_are_deleted(model):
    """An organization is never without its team for others to see."""
    for _ in rounds(6):
        bulk(model, 1)
        sync()
        OrganizationFactory.create()
        names = [f"New {n}" for n in range(4)]
        errors = race(delete_orphans, *(lambda name=name: model.objects.create(name=name) for name in names))

        require_success(errors)
        # The victim of a deadlock runs again.
        if any(errors):
            delete_orphans()
        require_pairs(model)
