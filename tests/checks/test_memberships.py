"""Checks of the setting ``MEMBERSHIPS``, of the class that it names, and of the teams of the project."""

from __future__ import annotations

import importlib
import io
from typing import Any

import pytest
from django.core import checks
from django.core.checks import ERROR, WARNING
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, models
from django.test.utils import isolate_apps

from closient_auth import urls
from closient_auth.checks import check_rows
from closient_auth.checks.memberships import EXAMPLE
from closient_auth.memberships import Memberships, get_memberships
from closient_auth.models import Organization
from tests.factories import OrganizationFactory, make_key
from tests.memberships.adapters import CompanyMemberships, TeamMemberships
from tests.memberships.models import Company, Team

HERE = __name__
ATTRIBUTE = "Correct this attribute of the class."
PERMISSIONS = 'Write permissions = ["orders.refund", "organization.view_organization"].'


class Nothing:
    pass


def function():
    raise NotImplementedError


class Bare(Memberships):
    pass


class WithoutPermissions(Memberships):
    def get_organizations(self, user):
        return Organization.objects.none()


class WithoutOrganizations(Memberships):
    def get_permissions(self, user, organization):
        return []


class Misspelled(TeamMemberships):
    model = "tests.Teem"


class NotDotted(TeamMemberships):
    model = "Team"


class IntegerKeys(TeamMemberships):
    model = "tests.Project"


class Unlinked(TeamMemberships):
    """The only model with a link to the organizations is not found."""

    def get_model(self):
        return None


class OneName(TeamMemberships):
    permissions = "orders.refund"  # type: ignore[assignment]


class NoNames(TeamMemberships):
    permissions = None  # type: ignore[assignment]


class Numbers(TeamMemberships):
    permissions = ["orders.refund", 7]  # type: ignore[list-item]


class Misnamed(TeamMemberships):
    permissions = ["organization.view_organization", "organization.view_orders", "organization.fly"]


class EveryName(TeamMemberships):
    permissions = frozenset({"orders.refund", "organization.manage_api_keys"})  # type: ignore[assignment]


ATTRIBUTE = "Correct this attribute of the class."


def use(settings, name, **others):
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": name, **others}


@pytest.mark.parametrize(
    "name",
    [
        "closient_auth.models.memberships.RoleMemberships",
        "tests.memberships.adapters.NamedRoles",
        "tests.memberships.adapters.TeamMemberships",
        "tests.memberships.adapters.CompanyMemberships",
        f"{HERE}.EveryName",
    ],
)
def test_good_classes(run, settings, name):
    use(settings, name)

    assert run() == []


@pytest.mark.parametrize("value", [None, 7, ["tests.memberships.adapters.TeamMemberships"], TeamMemberships])
def test_value_that_is_not_a_path(find, settings, value):
    use(settings, value)

    message = find("E003")
    assert message.msg == f"CLOSIENT_AUTH['MEMBERSHIPS'] should be the dotted path of a class, not {value!r}."
    assert message.hint == "Remove it to use the default, 'closient_auth.models.memberships.RoleMemberships'."


@pytest.mark.parametrize(
    ("name", "problem", "hint"),
    [
        ("", " cannot be imported:  doesn't look like a module path", EXAMPLE),
        ("nowhere", " cannot be imported: nowhere doesn't look like a module path", EXAMPLE),
        ("nowhere.Teams", " cannot be imported: No module named 'nowhere'", EXAMPLE),
        (
            f"{HERE}.Missing",
            f' cannot be imported: Module "{HERE}" does not define a "Missing" attribute/class',
            EXAMPLE,
        ),
        (f"{HERE}.Nothing", f" should name a subclass of Memberships, not '{HERE}.Nothing'", EXAMPLE),
        (f"{HERE}.function", f" should name a subclass of Memberships, not '{HERE}.function'", EXAMPLE),
        (
            f"{HERE}.Misspelled",
            " is not usable: Misspelled.model does not name a model: App 'tests' doesn't have a 'Teem' model",
            ATTRIBUTE,
        ),
        (
            f"{HERE}.NotDotted",
            " is not usable: NotDotted.model does not name a model: not enough values to unpack (expected 2, got 1)",
            ATTRIBUTE,
        ),
        (
            f"{HERE}.WithoutPermissions",
            " should have a method get_permissions()",
            "Define it in WithoutPermissions.",
        ),
        (
            f"{HERE}.WithoutOrganizations",
            " should have a method get_organizations()",
            "Define it in WithoutOrganizations.",
        ),
        (
            f"{HERE}.IntegerKeys",
            " needs tests.Project to have UUIDs as primary keys or a OneToOneField to Organization",
            "Add such a field with null=True, on_delete=PROTECT and editable=False.",
        ),
        (f"{HERE}.OneName", ".permissions should be a list of permissions, not 'orders.refund'", PERMISSIONS),
        (f"{HERE}.NoNames", ".permissions should be a list of permissions, not None", PERMISSIONS),
        (f"{HERE}.Numbers", ".permissions should be a list of permissions, not ['orders.refund', 7]", PERMISSIONS),
        (
            f"{HERE}.Misnamed",
            ".permissions should not contain 'organization.fly'",
            "Names in 'organization.' are those of this package. Name yours after your app.",
        ),
    ],
)
def test_class_that_cannot_decide(find, settings, name, problem, hint):
    use(settings, name)

    message = find("E014")
    assert message.level == ERROR
    assert message.msg == f"CLOSIENT_AUTH['MEMBERSHIPS']{problem}."
    assert message.hint == hint


def test_class_without_methods(run, settings):
    use(settings, f"{HERE}.Bare")

    assert [(message.id, message.msg) for message in run()] == [
        ("closient_auth.E014", f"CLOSIENT_AUTH['MEMBERSHIPS'] should have a method {name}().")
        for name in ("get_organizations", "get_permissions")
    ]


@pytest.mark.parametrize("name", ["Missing", "Nothing", "Bare", "Misspelled", "Numbers"])
def test_command_reports_an_invalid_class(db, settings, name):
    """Each check of Django and of this package runs, and none raises an error."""
    use(settings, f"{HERE}.{name}")

    with pytest.raises(SystemCheckError) as caught:
        call_command("check", databases=["default"], stdout=io.StringIO(), stderr=io.StringIO())

    assert "(closient_auth.E014) CLOSIENT_AUTH['MEMBERSHIPS']" in str(caught.value)


def test_model_that_is_not_known(find, settings):
    use(settings, f"{HERE}.Unlinked")

    message = find("W034")
    text = "The model of your teams is not known to Unlinked: tests.Crew and tests.Team have a OneToOneField to Organization."
    assert (message.level, message.msg) == (WARNING, text)
    assert message.hint == (
        "Set model = 'app.Model' there. Until then, has_perm() does not know your teams, and no check or command finds "
        "those without an organization."
    )


def test_permissions_of_roles_that_nobody_has(find, run, settings):
    extra = {"owner": ["orders.refund"]}
    use(settings, "tests.memberships.adapters.NamedRoles", EXTRA_ROLE_PERMISSIONS=extra)
    assert run() == []
    use(settings, "tests.memberships.adapters.TeamMemberships", EXTRA_ROLE_PERMISSIONS=extra)

    message = find("W035")
    assert (message.level, message.msg) == (
        WARNING,
        "CLOSIENT_AUTH['EXTRA_ROLE_PERMISSIONS'] is not read for members, because TeamMemberships decides what they may do.",
    )
    assert message.hint == "Remove it, and name these permissions in TeamMemberships.permissions."


def linked(**kwargs):
    """Return a model whose rows have an organization."""
    field = models.OneToOneField(Organization, related_name="+", **kwargs)
    meta = type("Meta", (), {"app_label": "tests"})
    return type("Squad", (models.Model,), {"__module__": HERE, "Meta": meta, "organization": field})


@pytest.mark.parametrize(
    ("kwargs", "is_reported"),
    [
        ({"on_delete": models.PROTECT, "null": True, "editable": False}, False),
        ({"on_delete": models.PROTECT, "null": True}, True),
        ({"on_delete": models.PROTECT, "editable": False}, True),
        ({"on_delete": models.CASCADE, "null": True, "editable": False}, True),
        ({"on_delete": models.SET_NULL, "null": True, "editable": False}, True),
        ({"on_delete": models.CASCADE}, True),
    ],
)
def test_link_that_is_not_safe(run, settings, monkeypatch, kwargs, is_reported):
    with isolate_apps("tests"):
        model = linked(**kwargs)
    monkeypatch.setattr(Unlinked, "get_model", lambda self: model)
    use(settings, f"{HERE}.Unlinked")

    messages = run()

    assert [(message.id, message.level, message.msg, message.hint) for message in messages] == [
        (
            "closient_auth.W036",
            WARNING,
            "tests.Squad.organization should have on_delete=PROTECT, null=True and editable=False.",
            "Deleting an organization must not delete a team, a team is stored before its organization, and no form may "
            "choose the organization of a team.",
        )
    ] * is_reported


class TwoLinks(TeamMemberships):
    model = "tests.Branch"


class NamedLink(TwoLinks):
    anchor_field = "organization"


class WrongLink(TwoLinks):
    anchor_field = "team"


@pytest.mark.parametrize(
    ("name", "links", "problem"),
    [
        ("TwoLinks", ["organization", "reseller"], ": 'organization' or 'reseller'"),
        ("WrongLink", ["organization"], ": 'organization'"),
        ("WrongLink", [], ""),
        ("NamedLink", ["organization", "reseller"], None),
        ("TwoLinks", ["organization"], None),
    ],
)
def test_links_of_the_teams(run, settings, monkeypatch, name, links, problem):
    """One of two links could be that to another organization."""
    safe: dict[str, Any] = {"on_delete": models.PROTECT, "null": True, "editable": False}
    fields: Any = {link: models.OneToOneField(Organization, related_name="+", **safe) for link in links}
    if not links:
        fields["id"] = models.UUIDField(primary_key=True)
    with isolate_apps("tests"):
        meta = type("Meta", (), {"app_label": "tests"})
        model = type("Branch", (models.Model,), {"__module__": HERE, "Meta": meta, **fields})
    monkeypatch.setattr(TwoLinks, "get_model", lambda self: model)
    use(settings, f"{HERE}.{name}")

    messages = [message.msg for message in run()]
    text = f"{name}.anchor_field should be the OneToOneField that leads to the organization of a team"
    expected = f"CLOSIENT_AUTH['MEMBERSHIPS'] is not usable: {text}{problem}."
    assert messages == ([] if problem is None else [expected])
    if problem is None:
        assert get_memberships().get_anchor_field() == "organization"


class Broken(TeamMemberships):
    def __init__(self, argument):
        raise AssertionError


def test_class_that_cannot_be_created(find, settings):
    use(settings, f"{HERE}.Broken")

    assert find("E014").msg.startswith("CLOSIENT_AUTH['MEMBERSHIPS'] cannot be created: ")


def test_management_api_does_not_hide_the_check(run, settings, mount):
    """The URLconf can be loaded, so that the check can report the setting."""
    use(settings, f"{HERE}.Missing")
    mount(*importlib.reload(urls).urlpatterns)
    try:
        assert [message.id for message in run()] == ["closient_auth.E014"]
    finally:
        settings.CLOSIENT_AUTH = {}
        importlib.reload(urls)


def test_primary_keys_that_are_uuids(run, settings, monkeypatch):
    """The primary key may be that of a parent."""
    with isolate_apps("tests"):
        meta = type("Meta", (), {"app_label": "tests"})
        branch = type("Branch", (Company,), {"__module__": HERE, "Meta": meta})
        office = type("Office", (branch,), {"__module__": HERE, "Meta": meta})
    use(settings, f"{HERE}.Unlinked")
    for model in (branch, office):
        monkeypatch.setattr(Unlinked, "get_model", lambda self, model=model: model)
        assert run() == []


@pytest.fixture
def run_with_database(db):
    """Run the checks as ``manage.py check --database default`` does, and return the messages of this package."""

    def run():
        found = checks.run_checks(databases=["default"])
        return [message for message in found if str(message.id).startswith("closient_auth.")]

    return run


@pytest.mark.parametrize(("cls", "model"), [(TeamMemberships, Team), (CompanyMemberships, Company)])
def test_teams_without_organizations(run, run_with_database, settings, cls, model):
    model.objects.bulk_create([model(name="Acme"), model(name="Borg")])
    assert run_with_database() == []
    use(settings, f"tests.memberships.adapters.{cls.__name__}")

    (message,) = run_with_database()

    assert (message.id, message.level) == ("closient_auth.W032", WARNING)
    assert message.msg == f"2 rows of {model._meta.label} have no organization, so nobody can use API keys there."
    assert message.hint == (
        "Run manage.py sync_organizations. QuerySet.bulk_create() and other programs do not create organizations."
    )
    # Without ``--database``, the checks send no query.
    assert run() == []
    call_command("sync_organizations", stdout=io.StringIO())
    assert run_with_database() == []


@pytest.mark.parametrize(("cls", "model"), [(TeamMemberships, Team), (CompanyMemberships, Company)])
def test_organizations_without_teams(run, run_with_database, settings, cls, model):
    use(settings, f"tests.memberships.adapters.{cls.__name__}")
    model.objects.bulk_create([model(name="Acme")])
    call_command("sync_organizations", stdout=io.StringIO())
    make_key(organization=OrganizationFactory.create())

    (message,) = run_with_database()

    assert (message.id, message.level) == ("closient_auth.W033", WARNING)
    assert message.msg == f"1 organizations belong to no row of {model._meta.label}, and their API keys work."
    assert message.hint == (
        "Run manage.py sync_organizations --dry-run to list them, and --delete-orphans --with-keys to delete them."
    )
    assert run() == []
    call_command("sync_organizations", "--delete-orphans", "--with-keys", stdout=io.StringIO())
    assert run_with_database() == []


def test_both_at_once_and_an_unknown_model(run_with_database, settings):
    Team.objects.create(name="Acme")
    OrganizationFactory.create()
    use(settings, "tests.memberships.adapters.TeamMemberships")
    assert [message.id for message in run_with_database()] == ["closient_auth.W032", "closient_auth.W033"]

    use(settings, f"{HERE}.Unlinked")
    assert [message.id for message in run_with_database()] == ["closient_auth.W034"]
    assert check_rows(databases=["other"]) == check_rows() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["tests_team", "closient_auth_organization"])
def test_before_the_first_migration(settings, table):
    use(settings, "tests.memberships.adapters.TeamMemberships")
    Team.objects.create(name="Acme")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO hidden")
        try:
            assert check_rows(databases=["default"]) == []
        finally:
            cursor.execute(f"ALTER TABLE hidden RENAME TO {table}")
    assert [message.id for message in check_rows(databases=["default"])] == ["closient_auth.W032"]


def test_proxies_and_subclasses_of_the_model_are_no_other_models():
    """``FormerTeam`` and ``Chapter`` inherit the link, and the model of the teams is nevertheless known."""
    assert TeamMemberships().get_model() is Team
