"""The settings of an organization."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from closient_auth.models import AuditEntry, Organization
from tests.dashboard.conftest import ROLES
from tests.dashboard.routes import get_text
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key
from tests.memberships.conftest import use
from tests.memberships.models import Team
from tests.memberships.people import join

pytestmark = pytest.mark.django_db

PAGE = "/settings/o/acme/settings/"
USER_KEYS = f"{PAGE}user-keys/"
XSS = "<script>alert(1)</script>"

# By role: may rename, the pages that the danger zone and the card of user keys link to.
RENAMES = {"owner": True, "manager": False, "billing": False, "editor": False}
LINKS = {
    "owner": {"user-keys", "leave", "transfer", "delete"},
    "manager": {"user-keys", "leave"},
    "billing": {"leave"},
    "editor": {"leave"},
}


@pytest.fixture(autouse=True)
def neighbour(db):
    """Fail the test if another organization has changed."""
    other = OrganizationFactory.create(name="Neighbour", slug="neighbour")
    before = Organization.objects.values().get(pk=other.pk)
    yield other
    assert Organization.objects.values().get(pk=other.pk) == before


def get_links(page):
    return set(re.findall(r'href="[^"]*/o/[^/"]+/settings/([\w-]+)/"', page))


def stored(organization):
    return Organization.objects.values("name", "slug", "user_keys_allowed").get(pk=organization.pk)


@pytest.mark.parametrize("role", ROLES)
def test_roles(sign_in, people, acme, role):
    client = sign_in(people[role])
    response = client.get(PAGE)
    page = response.text

    assert response.status_code == 200
    assert ('name="slug"' in page) == RENAMES[role]
    assert ("Owners can change the name and the slug." in page) != RENAMES[role]
    assert get_links(page) == LINKS[role]
    assert str(acme.pk) in page

    response = client.post(PAGE, {"name": "New", "slug": "new-co"})
    assert response.status_code == (302 if RENAMES[role] else 403)
    assert stored(acme)["slug"] == ("new-co" if RENAMES[role] else "acme")


def test_a_superuser(sign_in, acme):
    client = sign_in(UserFactory.create(is_superuser=True))

    assert get_links(client.get(PAGE).text) == {"user-keys", "delete"}
    assert client.post(PAGE, {"name": "New", "slug": "acme"}).status_code == 302
    assert stored(acme)["name"] == "New"


def test_others(client, sign_in, outsider, acme):
    assert client.post(PAGE, {"name": "New", "slug": "acme"}).status_code == 302
    client = sign_in(outsider)
    foreign, unknown = (client.post(PAGE.replace("acme", name), {"name": "New"}) for name in ("acme", "umbra"))

    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert get_text(foreign).replace("acme", "umbra") == get_text(unknown)
    assert stored(acme)["name"] == "Acme Foods"


def test_a_suspended_organization(owner, acme):
    acme.suspend()

    for url in (PAGE, USER_KEYS):
        assert owner.get(url).status_code == 403
        assert owner.post(url, {"name": "New", "slug": "acme", "allowed": "no"}).status_code == 403
    assert stored(acme) == {"name": "Acme Foods", "slug": "acme", "user_keys_allowed": True}


def test_rename(owner, acme, people):
    page = owner.get(PAGE).text
    assert "Programs that use the slug stop working when you change it." in page
    assert 'value="Acme Foods"' in page

    response = owner.post(PAGE, {"name": " Acme & Sons ", "slug": "acme-sons"})

    assert (response.status_code, response["Location"]) == (302, "/settings/o/acme-sons/settings/")
    page = owner.get(response["Location"]).text
    assert "The settings are saved." in page
    assert "Acme &amp; Sons" in page
    assert owner.get(PAGE).status_code == 404
    entry = AuditEntry.objects.get(event="organization_changed")
    assert (entry.actor, entry.address, entry.new_values) == (
        "the-owner",
        "127.0.0.1",
        {"name": "Acme & Sons", "slug": "acme-sons"},
    )


@pytest.mark.parametrize(
    ("values", "field", "error"),
    [
        ({"name": ""}, "name", "This field is required."),
        ({"name": "a" * 256}, "name", "at most 255 characters"),
        ({"slug": ""}, "slug", "This field is required."),
        ({"slug": "a" * 51}, "slug", "at most 50 characters"),
        ({"slug": "New Slug"}, "slug", "A slug should have only lower-case letters"),
        ({"slug": "admin"}, "slug", "This slug is reserved."),
        ({"slug": "neighbour"}, "slug", "already exists"),
        ({"slug": "neighbour", "name": "X"}, "slug", "already exists"),
    ],
)
def test_errors(owner, acme, values, field, error):
    response = owner.post(PAGE, {"name": "Acme Foods", "slug": "acme", **values})

    assert response.status_code == 200
    assert re.search(f'id="id_{field}_error">(<li>[^<]*</li>)*<li>[^<]*{error}', response.text)
    # Django's own text for a slug allows upper case.
    assert len(response.context["form"].errors[field]) == 1
    assert stored(acme) == {"name": "Acme Foods", "slug": "acme", "user_keys_allowed": True}
    # The frame still leads to the organization.
    assert 'href="/settings/o/acme/audit/"' in response.text
    assert "<title>Settings · Acme Foods" in response.text


def test_too_many_changes(clock, owner, acme):
    for number in range(60):
        assert owner.post(PAGE, {"name": f"Acme {number}", "slug": "acme"}).status_code == 302
    response = owner.post(PAGE, {"name": "Once more", "slug": "acme"})

    assert "Too many changes." in response.text
    assert stored(acme)["name"] == "Acme 59"


@pytest.mark.parametrize("url", [PAGE, USER_KEYS])
def test_csrf(people, acme, url):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["owner"])

    assert client.post(url, {"name": "New", "slug": "new-co", "allowed": "no"}).status_code == 403
    assert stored(acme) == {"name": "Acme Foods", "slug": "acme", "user_keys_allowed": True}


def test_no_name_becomes_html(owner, acme):
    assert owner.post(PAGE, {"name": XSS, "slug": XSS}).text.count("<script>alert") == 0
    owner.post(PAGE, {"name": XSS, "slug": "acme"})

    for url in (PAGE, USER_KEYS, f"{PAGE}leave/", f"{PAGE}transfer/", f"{PAGE}delete/"):
        page = owner.get(url).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_limits(owner, settings):
    def read():
        facts = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", owner.get(PAGE).text)
        return dict(facts)

    assert read() == {
        "Requests per minute": "300",
        "Requests per day": "10,000",
        "Publishable keys, per minute": "100",
        "Highest limit per minute": "no maximum",
        "Highest limit per day": "no maximum",
        "Active keys at a time": "no maximum",
        "Days until a new key expires": "no expiry",
        "Longest lifetime in days": "no maximum",
    }
    settings.CLOSIENT_AUTH = {
        "HEADER": "X-Acme-Key",
        "RATE_LIMIT_PER_MINUTE": 0,
        "RATE_LIMIT_PER_DAY": 0,
        "PUBLISHABLE_RATE_LIMIT_PER_MINUTE": 0,
        "MAX_RATE_LIMIT_PER_MINUTE": 1000,
        "MAX_RATE_LIMIT_PER_DAY": 2000,
        "MAX_ACTIVE_KEYS": 30,
        "KEY_LIFETIME_DAYS": 40,
        "MAX_KEY_LIFETIME_DAYS": 50,
    }
    assert list(read().values()) == ["unlimited"] * 3 + ["1,000", "2,000", "30", "40", "50"]
    assert "<code>X-Acme-Key</code>" in owner.get(PAGE).text


def test_number_of_queries(owner, acme, people):
    def count():
        with CaptureQueriesContext(connection) as queries:
            assert owner.get(PAGE).status_code == 200
        return len(queries)

    before = count()
    for _ in range(20):
        MembershipFactory.create(organization=acme)
        make_key("csb", organization=acme)

    assert count() == before


@pytest.mark.parametrize("role", ROLES)
def test_roles_and_user_keys(sign_in, people, acme, role):
    client, may = sign_in(people[role]), role in ("owner", "manager")

    assert client.get(USER_KEYS).status_code == (200 if may else 403)
    assert client.post(USER_KEYS, {"allowed": "no"}).status_code == (302 if may else 403)
    assert stored(acme)["user_keys_allowed"] == (not may)


def test_user_keys(owner, acme, people):
    make_key("csu", user=people["editor"])
    page = owner.get(USER_KEYS).text
    assert "1 active user key can be used here now." in page
    assert '<input type="hidden" name="allowed" value="no"' in page

    response = owner.post(USER_KEYS, {"allowed": "no"})

    assert response["Location"] == PAGE
    page = owner.get(PAGE).text
    assert "User keys are refused here from now on." in page
    assert "Allow user keys…" in page
    page = owner.get(USER_KEYS).text
    assert "active user key" not in page
    assert '<input type="hidden" name="allowed" value="yes"' in page
    # A page that somebody opened before changes nothing.
    owner.post(USER_KEYS, {"allowed": "no"})
    assert stored(acme)["user_keys_allowed"] is False

    owner.post(USER_KEYS, {"allowed": "yes"})
    assert stored(acme)["user_keys_allowed"] is True
    assert "Members can use their user keys here." in owner.get(PAGE).text
    values = AuditEntry.objects.filter(event="organization_changed").order_by("created_at")
    assert [entry.new_values for entry in values] == [{"user_keys_allowed": False}, {"user_keys_allowed": True}]


@pytest.mark.parametrize("allowed", ["", "maybe", None])
def test_an_odd_answer_changes_nothing(owner, acme, allowed):
    response = owner.post(USER_KEYS, {} if allowed is None else {"allowed": allowed})

    assert response.status_code == 200
    assert stored(acme)["user_keys_allowed"] is True


@pytest.mark.parametrize(("name", "links"), [("lead", {"user-keys"}), ("clerk", set())])
def test_members_of_a_project(sign_in, settings, acme, name, links):
    """The settings are what the management API offers there: whether user keys are allowed."""
    use(settings, "TeamMemberships")
    client = sign_in(join(Team.objects.create(name="Acme", code="acme", organization=acme), name))
    page = PAGE.replace("acme", str(acme.pk))
    response = client.get(page)

    assert response.status_code == 200
    assert get_links(response.text) == links
    assert 'name="slug"' not in response.text
    # The slug in the row means nothing there.
    assert "<dt>Slug</dt>" not in response.text
    assert "Owners can" not in response.text
    assert "Danger zone" not in response.text
    assert client.post(page, {"name": "New", "slug": "new-co"}).status_code == 404
    for action in ("leave", "transfer", "delete"):
        assert client.get(f"{page}{action}/").status_code == 404
        assert client.post(f"{page}{action}/", {"name": str(acme.pk)}).status_code == 404
    assert client.post(f"{page}user-keys/", {"allowed": "no"}).status_code == (302 if links else 403)
    assert stored(acme) == {"name": "Acme Foods", "slug": "acme", "user_keys_allowed": not links}
