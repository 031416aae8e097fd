from __future__ import annotations

import json

import pytest
from django.contrib.auth import get_user_model
from django.core.management import ManagementUtility

from closient_auth.models import Membership
from closient_auth.roles import Role
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory


def organization(slug, *members):
    """Return an organization with these members, each given as ``(role, user_is_active)``."""
    organization = OrganizationFactory.create(slug=slug)
    for role, is_active in members:
        user = UserFactory.create(is_active=is_active)
        MembershipFactory.create(organization=organization, user=user, role=role)
    return organization


def test_all_have_one(run):
    organization("acme", (Role.OWNER, True), (Role.OWNER, False))
    organization("borg", (Role.EDITOR, True), (Role.OWNER, True))

    finished = run("list_ownerless_organizations")
    assert (finished.stdout, finished.stderr) == ("", "")


def test_none_at_all(run):
    assert run("list_ownerless_organizations").stdout == ""


def test_lists_those_without(refuse):
    organization("acme", (Role.OWNER, True))
    ownerless = [
        organization("borg", (Role.OWNER, False), (Role.MANAGER, True)),
        organization("cyan", (Role.EDITOR, True)),
        organization("dune"),
    ]

    refused = refuse("list_ownerless_organizations")
    assert sorted(refused.lines) == sorted(f"{each.pk} {each.slug}" for each in ownerless)
    assert refused.error == "3 organizations have no active Owner. In the admin, make an active user the Owner."


def test_json(run, refuse):
    assert json.loads(run("list_ownerless_organizations", "--json").stdout) == []

    borg = organization("borg", (Role.OWNER, False))
    organization("acme", (Role.OWNER, True))

    refused = refuse("list_ownerless_organizations", "--json")
    assert json.loads(refused.stdout) == [{"id": str(borg.pk), "slug": "borg", "name": borg.name}]
    assert refused.error.startswith("1 organization has no active Owner.")


def test_project_with_members_of_its_own(refuse, settings):
    """Such a project has no Owners, and all its organizations would be listed."""
    organization("acme")
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": "tests.memberships.adapters.TeamMemberships"}

    refused = refuse("list_ownerless_organizations")
    assert refused.error == "Your project has members of its own (CLOSIENT_AUTH['MEMBERSHIPS']), and so its own rule."
    assert refused.stdout == ""


@pytest.mark.parametrize(
    "behind_our_back",
    [
        lambda: get_user_model()._default_manager.update(is_active=False),
        lambda: Membership.objects.update(role=Role.MANAGER),
    ],
    ids=["deactivated", "demoted"],
)
def test_what_a_host_does_past_the_models(run, refuse, behind_our_back):
    acme = organization("acme", (Role.OWNER, True))
    run("list_ownerless_organizations")

    behind_our_back()

    refused = refuse("list_ownerless_organizations")
    assert refused.lines == [f"{acme.pk} acme"]
    assert refused.error.startswith("1 organization has no active Owner. ")


# A command run by ManagementUtility closes its connections, so the test cannot run in a transaction.
@pytest.mark.django_db(transaction=True)
def test_exit_status(capsys):
    """Monitoring relies on the exit status."""
    command = ManagementUtility(["manage.py", "list_ownerless_organizations"])
    command.execute()
    assert capsys.readouterr().out == ""

    acme = organization("acme")
    with pytest.raises(SystemExit) as exit:
        command.execute()
    assert exit.value.code == 1
    assert capsys.readouterr().out == f"{acme.pk} acme\n"


def test_many_organizations_in_pages(run, django_assert_num_queries):
    for number in range(3):
        organization(f"acme-{number}", (Role.OWNER, True))

    # One query each for the first page, its owners, and the next page.
    with django_assert_num_queries(3):
        run("list_ownerless_organizations")
