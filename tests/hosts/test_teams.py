"""A project with teams of its own adopts this package: its members, roles and names stay what they are."""

from __future__ import annotations

import os
import re

import pytest

from tests.hosts.adoption import HostProject

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

OWN_TESTS = 32
# Teams of the time before the adoption: ada is the only admin of one, and has left the other.
ROWS = """
from django.contrib.auth.models import User
from teams.models import Team

ada = User.objects.create_user("ada")
for slug in ("North.Side", "south"):
    team = Team.objects.create(name=slug.title(), slug=slug)
    team.set_roles(ada, ["admin"])
    team.projects.create(name=f"{slug} bridge")
team.remove(ada)
"""
REQUESTS = """
from django.contrib.auth.models import User
from rest_framework.test import APIClient
from closient_auth.models import ApiKey

_, key = ApiKey.objects.create_key(prefix="csu", user=User.objects.get())
for slug in ("North.Side", "south"):
    response = APIClient(headers={"X-API-Key": key}).get(f"/api/teams/{slug}/projects/")
    print(response.status_code, response.json())
"""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return HostProject("teams", tmp_path_factory.mktemp("pristine"))


@pytest.fixture(scope="module")
def adopted(tmp_path_factory):
    """Return a copy with rows that adopted the package, with its own migration."""
    project = HostProject("teams", tmp_path_factory.mktemp("adopted"))
    project.manage("migrate", "--verbosity=0")
    project.manage("shell", "--command", ROWS)
    project.apply("install", "connect", "views")
    project.manage("makemigrations", "teams")
    project.manage("migrate", "--verbosity=0")
    return project


def find_ids(output):
    """Return the ids of the findings in the output of ``check``."""
    return re.findall(r"\((\w+\.[EW]\d+)\)", output)


def test_own_tests_before_the_adoption(pristine):
    assert pristine.run_own_tests() == OWN_TESTS


def test_own_tests_after_the_adoption(adopted):
    assert adopted.run_own_tests() == OWN_TESTS


def test_tests_after_the_adoption(adopted):
    """On a server, run the long tables for the own team only: they are the same on every database."""
    adopted.run_tests_after(*(["-k", "not foreign"] if os.environ.get("CLOSIENT_AUTH_TEST_DATABASE_URL") else []))


def test_lines_that_a_person_writes(adopted):
    """The step "connect" has the field of the teams, the class and the setting."""
    written = {step: adopted.count_lines(step) for step in ("install", "connect", "views")}

    assert written["connect"] <= 25
    assert written == {"install": 7, "connect": 25, "views": 42}


def test_checks_are_silent(adopted):
    assert adopted.manage("check", "--fail-level", "DEBUG") == "System check identified no issues (0 silenced).\n"
    assert "No changes detected" in adopted.manage("makemigrations", "--check", "--dry-run")


def test_rows_from_before_the_adoption(adopted):
    """Existing teams need one command; before, nobody reaches them with a key."""
    assert adopted.manage("shell", "--command", REQUESTS).count("404") == 2
    assert find_ids(adopted.manage("check", "--database", "default")) == ["closient_auth.W032"]

    synchronized = adopted.manage("sync_organizations")

    assert len(re.findall("^created", synchronized, re.M)) == 2
    found = adopted.manage("shell", "--command", REQUESTS)
    assert re.search(r"^200 \[\{'id': \d+, 'name': 'North.Side bridge'\}\]$", found, re.M)
    assert re.search(r"^404 ", found, re.M)
    assert "created" not in adopted.manage("sync_organizations")
    assert find_ids(adopted.manage("check", "--database", "default")) == []


def test_careless_view_is_reported(tmp_path):
    """A view that takes keys and asks only for a login lists the rows of every team."""
    project = HostProject("teams", tmp_path)
    project.apply("install", "connect", "careless")
    project.manage("makemigrations", "teams")

    reported = project.manage("check")

    assert find_ids(reported) == ["closient_auth.W018"]
    assert "AllProjectsViewSet" in reported
