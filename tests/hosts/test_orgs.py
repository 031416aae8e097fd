"""A project whose organizations have the same primary keys as those of this package adopts it."""

from __future__ import annotations

import json
import re

import pytest

from tests.hosts.adoption import HostProject

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

OWN_TESTS = 30
# The rows that the project has before the adoption. One organization has a name that is the id of the other one.
ROWS = """
from django.utils import timezone

from accounts.models import User
from tenancy.models import Organization

ada = User.objects.create_user("ada@advisories.example")
acme = Organization.objects.create(name="Acme Inc. Berlin")
acme.memberships.create(user=ada, role="owner", date_joined=timezone.now())
acme.memberships.create(email="eli@advisories.example", role="owner")
Organization.objects.create(name=str(acme.pk))
print(acme.pk)
"""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return HostProject("orgs", tmp_path_factory.mktemp("pristine"))


@pytest.fixture(scope="module")
def adopted(tmp_path_factory):
    host = HostProject("orgs", tmp_path_factory.mktemp("adopted"))
    host.apply("connect", "views")
    return host


def test_own_tests_before_the_adoption(pristine):
    assert pristine.run_own_tests() == OWN_TESTS


def test_own_tests_after_the_adoption(adopted):
    assert adopted.run_own_tests() == OWN_TESTS


def test_adoption_takes_few_lines(adopted):
    assert adopted.count_lines("connect") <= 25


def test_adoption_changes_no_model_and_no_test(adopted):
    diffs = [(adopted.source / "adoption" / f"{step}.diff").read_text() for step in ("connect", "views")]
    files = {file for diff in diffs for file in re.findall(r"^\+\+\+ b/(.+)$", diff, re.M)}

    assert files == {"settings.py", "urls.py", "tenancy/access.py", "tracker/views.py"}
    assert "No changes detected" in adopted.manage("makemigrations", "--check", "--dry-run")


def test_checks_are_silent(adopted):
    assert adopted.manage("check", "--fail-level", "DEBUG") == "System check identified no issues (0 silenced).\n"


def test_tests_after_the_adoption(adopted):
    adopted.run_tests_after()


def test_organizations_from_before_the_adoption(tmp_path):
    host = HostProject("orgs", tmp_path)
    host.manage("migrate", "--verbosity=0")
    acme = host.manage("shell", "--command", ROWS).split()[-1]

    host.apply("connect", "views")
    host.manage("migrate", "--verbosity=0")
    made = json.loads(host.manage("sync_organizations", "--json"))

    assert {(row["event"], row["name"]) for row in made} == {("created", "Acme Inc. Berlin"), ("created", acme)}
    # The primary keys are the same.
    assert all(row["organization"] == row["team"] for row in made)
    assert json.loads(host.manage("sync_organizations", "--json")) == []
    for name in ("Acme Inc. Berlin", acme):
        created = host.manage("create_api_key", "csb", "--organization", name)
        assert re.search(r"^csb_\w{32}_[0-9a-f]{8}$", created, re.M)
    listed = json.loads(host.manage("list_api_keys", "--json"))
    assert [row["organization"]["id"] for row in listed] == [acme, acme]
