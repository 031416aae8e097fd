"""Concurrent requests for the same slug."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http import HTTPStatus
from threading import Event
from time import monotonic, sleep

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from rest_framework.test import APIClient

from closient_auth.models import Organization
from closient_auth.models.locks import is_deadlock, lock_rows
from tests.factories import OrganizationFactory, UserFactory
from tests.races.threads import attempt, needs_server, race, rounds

User = get_user_model()

pytestmark = [needs_server, pytest.mark.django_db(transaction=True)]

WAITING = {
    "mysql": "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    "postgresql": (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ),
}


def create(slug="acme", **kwargs):
    owner = UserFactory.create()
    return lambda: Organization.objects.create_organization(name="Acme", owner=owner, slug=slug, **kwargs)


def rename():
    organization = OrganizationFactory.create()
    return lambda: organization.rename(slug="acme")


def own(organization):
    return Organization.objects.get(pk=organization.pk)


def names(errors):
    return sorted(type(error).__name__ for error in errors)


def require_one_winner(errors):
    """Assert that one operation succeeded and the others were refused, on MariaDB some of them by a deadlock."""
    losers = [error for error in errors if error is not None]
    assert len(losers) == len(errors) - 1, errors
    for error in losers:
        is_victim = connection.vendor == "mysql" and is_deadlock(error)
        assert is_victim or (isinstance(error, ValidationError) and error.message_dict.keys() == {"slug"}), errors


def wait_for_waiting(count):
    # Use a separate connection: within a transaction, PostgreSQL repeats its first snapshot of pg_stat_activity.
    with closing(connection.copy()) as observer:
        deadline = monotonic() + 30
        while monotonic() < deadline:
            # InnoDB refreshes its lock tables only if they were not read for 0.1 s.
            sleep(0.15)
            with observer.cursor() as cursor:
                cursor.execute(WAITING[connection.vendor])
                if cursor.fetchone() == (count,):
                    return
    pytest.fail(f"There were never {count} that waited for a lock.")


@pytest.fixture
def freed():
    """Return a function to start operations, roll back a transaction with the slug, and return the errors."""

    def freed(*operations):
        with ThreadPoolExecutor(len(operations)) as threads:
            with transaction.atomic():
                OrganizationFactory.create(slug="acme")
                errors = [threads.submit(attempt, operation) for operation in operations]
                wait_for_waiting(len(operations))
                transaction.set_rollback(True)
            return [error.result(timeout=60) for error in errors]

    return freed


@pytest.mark.parametrize("people", [2, 8])
def test_a_slug_that_is_asked_for_goes_to_one(people):
    for _ in rounds(5):
        errors = race(*(create() for _ in range(people)))

        require_one_winner(errors)
        Organization.objects.all().delete()


@pytest.mark.parametrize("people", [2, 8])
def test_a_slug_made_from_the_name_is_another_for_each(people):
    for _ in rounds(5):
        errors = race(*(create(slug=None) for _ in range(people)))

        victims = [error for error in errors if error is not None]
        # The slug of the round before was just deleted, which lets InnoDB see a deadlock.
        assert [error for error in victims if connection.vendor != "mysql" or not is_deadlock(error)] == []
        assert Organization.objects.filter(slug__startswith="acme").count() == people - len(victims) >= 1
        Organization.objects.all().delete()


@pytest.mark.parametrize("operations", [(create, create), (rename, rename), (create, rename)])
def test_a_slug_given_back_while_two_wait_for_it_goes_to_one(freed, operations):
    # InnoDB sees a deadlock: both inserts share a lock on the removed row, and both need an exclusive lock.
    for _ in rounds(6):
        errors = freed(*(operation() for operation in operations))

        require_one_winner(errors)
        assert Organization.objects.filter(slug="acme").count() == 1
        Organization.objects.all().delete()


def test_a_slug_given_back_while_two_requests_wait_for_it(freed, settings):
    """The management API responds with 409 to the victim of a deadlock, never with 500."""
    settings.ROOT_URLCONF = "closient_auth.urls"
    responses = []

    def request():
        client = APIClient()
        client.force_login(UserFactory.create())
        return lambda: responses.append(client.post("/organizations", {"name": "Acme", "slug": "acme"}))

    for _ in rounds(5):
        assert freed(request(), request()) == [None, None]
        created, refused = sorted(responses[-2:], key=lambda response: response.status_code)
        assert created.status_code == HTTPStatus.CREATED
        body = refused.json()
        is_taken = refused.status_code == HTTPStatus.BAD_REQUEST and body.keys() == {"slug"}
        is_victim = refused.status_code == HTTPStatus.CONFLICT and body["code"] == "conflict"
        assert is_taken or (is_victim and connection.vendor == "mysql"), body
        assert Organization.objects.filter(slug="acme").count() == 1
        Organization.objects.all().delete()


def test_two_that_want_each_others_slug_are_refused():
    # The check before the update is needed: each would otherwise wait for the other's old slug on PostgreSQL.
    first, second = OrganizationFactory.create(slug="one"), OrganizationFactory.create(slug="two")
    for _ in rounds(5):
        errors = race(*(partial(own(row).rename, slug=slug) for row, slug in ((first, "two"), (second, "one"))))

        assert names(errors) == ["ValidationError"] * 2, errors
        assert (own(first).slug, own(second).slug) == ("one", "two")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's unique indexes")
def test_rename_to_a_slug_taken_after_the_check_deadlocks_with_who_locks_both(monkeypatch):
    taker, renamed = OrganizationFactory.create(), OrganizationFactory.create()
    checked, locked = Event(), Event()
    save_slug = Organization.save_slug

    def save_slug_late(self, *args, **kwargs):
        if self.pk == renamed.pk:
            checked.set()
            assert locked.wait(30)
        save_slug(self, *args, **kwargs)

    monkeypatch.setattr(Organization, "save_slug", save_slug_late)

    def lock_both():
        assert checked.wait(30)
        own(taker).rename(slug="acme")
        with transaction.atomic():
            lock_rows(Organization, [taker.pk], "default")
            locked.set()
            wait_for_waiting(1)
            lock_rows(Organization, [renamed.pk], "default")

    errors = race(partial(own(renamed).rename, slug="acme"), lock_both)

    victims = [error for error in errors if error is not None and is_deadlock(error)]
    assert len(victims) == 1, errors
    # If the other transaction was the victim, the rename finds the slug taken.
    assert errors[0] is victims[0] or names(errors[:1]) == ["ValidationError"], errors
    assert own(taker).slug == "acme" != own(renamed).slug == renamed.slug


def test_deadlock_rolls_back_the_transaction_of_the_host(freed):
    def atomic(operation):
        def run():
            with transaction.atomic():
                UserFactory.create(username=f"before {id(operation)}")
                operation()

        return run

    refusals = set()
    for _ in rounds(10):
        errors = freed(atomic(create()), atomic(create()))

        winner, refusal = names(errors)
        assert winner == "NoneType", errors
        refusals.add(refusal)
        # The deadlock rolls back the host project's earlier writes too.
        assert User.objects.filter(username__startswith="before").count() == 1
        assert Organization.objects.filter(slug="acme").count() == 1
        Organization.objects.all().delete()
        User.objects.all().delete()
    assert refusals - {"ValidationError"} == ({"OperationalError"} if connection.vendor == "mysql" else set())
