"""How many rows a request reads before the view reads its own."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenancy.models import Membership

KEY, ORGANIZATION, PERMISSIONS = "closient_auth_apikey", "closient_auth_organization", "tenancy_membership"
SESSION, USER = "django_session", "accounts_user"


@pytest.fixture
def count(world, acme, send, get_url):
    """Return a function to get the tables of the queries of a request before the view reads the projects."""
    world.make_rows(acme)

    def count(credential, named, **headers):
        path = get_url(named)
        with CaptureQueriesContext(connection) as captured:
            response = send(path, credential, **headers)
        assert [row["name"] for row in response.data["results"]] == [f"Project of {acme}"]
        queries = [query["sql"].replace("`", '"') for query in captured if query["sql"].startswith("SELECT")]
        tables = [sql.partition(' FROM "')[2].partition('"')[0] for sql in queries]
        # The test client has signed in before the request.
        start = max((number for number, table in enumerate(tables) if table == SESSION), default=0)
        return tables[start : tables.index("tracker_project")]

    return count


@pytest.fixture(params=["name", "id", "hex"])
def named(request, acme):
    return {"name": acme.name, "id": str(acme.pk), "hex": acme.pk.hex}[request.param]


def test_user_key(world, count, named):
    _, raw_key = world.make_key("csu", "member")

    assert count(raw_key, named) == [KEY, ORGANIZATION, PERMISSIONS]


def test_user_key_with_the_header_too(world, acme, count, named):
    _, raw_key = world.make_key("csu", "member")

    assert count(raw_key, named, **{"X-Organization": str(acme.pk)}) == [KEY, ORGANIZATION, PERMISSIONS]


def test_user_with_many_rows(world, acme, rival, count, named):
    Membership.objects.bulk_create([Membership(organization=acme, user=world.users["member"]) for _ in range(20)])
    world.join(acme, "member", "owner")
    world.join(rival, "member", "owner")
    _, raw_key = world.make_key("csu", "member")

    assert count(raw_key, named) == [KEY, ORGANIZATION, PERMISSIONS]


def test_business_key(world, acme, count):
    """The key's organization is read with the key. Only the host's name costs a query."""
    _, raw_key = world.make_key("csb", acme)

    assert count(raw_key, str(acme.pk)) == [KEY]
    assert count(raw_key, acme.pk.hex) == [KEY]
    assert count(raw_key, acme.name) == [KEY, ORGANIZATION]


def test_session(count, named):
    assert count("member", named) == [SESSION, USER, ORGANIZATION, PERMISSIONS]


def test_superuser(count, named):
    assert count("superuser", named) == [SESSION, USER, ORGANIZATION]
