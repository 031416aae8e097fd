"""The first page of a person, and a new organization."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from closient_auth.limits.windows import Window
from closient_auth.models import AuditEntry, Membership, Organization
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db

NEW = "/settings/new/"
NOBODY = lambda user: False  # noqa: E731


def test_own_organizations_with_roles(owner, people):
    MembershipFactory.create(user=people["owner"], role="editor", organization__name="Beta", organization__slug="beta")
    OrganizationFactory.create(name="Elsewhere")
    page = owner.get("/settings/").text.partition("<main")[2]

    assert '<a href="/settings/o/acme/"><strong>Acme Foods</strong></a><span class="ca-muted">Owner</span>' in page
    assert '<a href="/settings/o/beta/"><strong>Beta</strong></a><span class="ca-muted">Editor</span>' in page
    assert "Elsewhere" not in page
    assert "You are not in an organization" not in page
    assert NEW in page
    # An Editor has no page of keys in the organization. The link is on the page, and not only in the menu.
    assert '<a href="/settings/keys/">My keys</a>' in page


def test_without_an_organization(sign_in, outsider):
    page = sign_in(outsider).get("/settings/").text

    assert "You are not in an organization" in page
    assert f'href="{NEW}"' in page
    assert 'action="/settings/join/code/"' in page


@pytest.mark.parametrize("rule", ["staff", "tests.dashboard.test_home.NOBODY"])
def test_those_who_may_not_create_organizations(sign_in, outsider, settings, rule):
    settings.CLOSIENT_AUTH = {"ORGANIZATION_CREATION": rule}
    client = sign_in(outsider)
    page = client.get("/settings/").text

    assert NEW not in page
    assert "Ask a member to invite you." in page
    for response in (client.get(NEW), client.post(NEW, {"name": "Beta"})):
        assert response.status_code == HTTPStatus.FORBIDDEN
        assert "You may not create organizations." in response.text
    assert not Organization.objects.exists()


def test_staff_may(sign_in, settings):
    settings.CLOSIENT_AUTH = {"ORGANIZATION_CREATION": "staff"}
    client = sign_in(UserFactory.create(is_staff=True))

    assert NEW in client.get("/settings/").text
    assert client.post(NEW, {"name": "Beta"}).status_code == HTTPStatus.FOUND


@pytest.mark.parametrize(("slug", "expected"), [("", "summit-tea"), ("tea", "tea")])
def test_a_new_organization(sign_in, outsider, slug, expected):
    client = sign_in(outsider)
    page = client.get(NEW).text
    assert ">Slug" in page
    assert "The short name in addresses and in the API" in page
    assert "Leave it empty to have one made from the name." in page
    response = client.post(NEW, {"name": "Summit Tea", "slug": slug})

    assert (response.status_code, response["Location"]) == (302, f"/settings/o/{expected}/")
    member = Membership.objects.get()
    assert (member.user, member.role, member.organization.name) == (outsider, "owner", "Summit Tea")
    assert AuditEntry.objects.get(event="organization_created").actor == "outsider"
    assert "Summit Tea is ready. You are its Owner." in client.get(response["Location"], follow=True).text


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "x" * 256}, "at most 255 characters"),
        ({"name": "Beta", "slug": "acme"}, "Organization with this Slug already exists."),
        ({"name": "Beta", "slug": "Not A Slug"}, "A slug should have only lower-case letters"),
        ({"name": "Beta", "slug": "new"}, "This slug is reserved."),
    ],
)
def test_mistakes(owner, data, error):
    response = owner.post(NEW, data)

    assert (response.status_code, Organization.objects.count()) == (200, 1)
    assert error in response.text
    assert len(response.context["form"].errors.as_data().popitem()[1]) == 1


def test_new_organizations_are_limited(sign_in, outsider, monkeypatch):
    monkeypatch.setattr("closient_auth.dashboard.frame.CHANGE_WINDOWS", (Window(1, 86_400),))
    client = sign_in(outsider)
    client.post(NEW, {"name": "One"})

    assert "Too many changes." in client.post(NEW, {"name": "Two"}).text
    assert [row.name for row in Organization.objects.all()] == ["One"]


def test_form_needs_login_and_csrf_token(outsider):
    client = Client(enforce_csrf_checks=True)
    client.force_login(outsider)

    assert client.post(NEW, {"name": "Beta"}).status_code == HTTPStatus.FORBIDDEN
    assert not Organization.objects.exists()
    client.get(NEW)
    csrf = client.cookies["csrftoken"].value
    assert client.post(NEW, {"name": "Beta", "csrfmiddlewaretoken": csrf}).status_code == HTTPStatus.FOUND
    assert Client().get(NEW)["Location"] == f"/login/?next={NEW}"


def test_names_are_escaped(sign_in, outsider):
    client = sign_in(outsider)
    pages = [
        client.post(NEW, {"name": "<script>alert(1)</script>"}, follow=True).text,
        client.post(NEW, {"name": "Beta", "slug": "<script>alert(1)</script>"}).text,
        client.get("/settings/").text,
    ]

    for page in pages:
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_queries_do_not_depend_on_the_organizations(owner, people):
    def count():
        with CaptureQueriesContext(connection) as queries:
            assert owner.get("/settings/").status_code == HTTPStatus.OK
        return len(queries)

    few = count()
    MembershipFactory.create_batch(50, user=people["owner"])

    assert count() == few


def test_a_project_with_members_of_its_own(sign_in, outsider, settings):
    settings.CLOSIENT_AUTH = {"MEMBERSHIPS": "tests.memberships.adapters.TeamMemberships"}
    client = sign_in(outsider)
    page = client.get("/settings/").text

    assert "Somebody has to add you to one." in page
    assert NEW not in page
    assert "invitation" not in page
    assert client.get(NEW).status_code == HTTPStatus.NOT_FOUND
    assert client.post(NEW, {"name": "Beta"}).status_code == HTTPStatus.NOT_FOUND
