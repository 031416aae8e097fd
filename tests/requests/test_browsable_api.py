"""The pages of REST framework check the permissions of further HTTP methods, not only the request's own."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import MembershipFactory, make_key
from tests.models import Project

pytestmark = pytest.mark.django_db

CREATE_FORM = 'method="POST"'
DELETE_BUTTON = 'data-method="DELETE"'


def credential(kind, organization, role):
    if kind == "csb":
        return {"raw_key": make_key("csb", organization=organization)[1]}
    member = MembershipFactory.create(organization=organization, role=role)
    return {"user": member.user} if kind == "session" else {"raw_key": make_key("csu", user=member.user)[1]}


@pytest.mark.parametrize(
    ("kind", "role", "may_write"),
    [
        ("csb", None, True),
        ("csu", "editor", True),
        ("csu", "billing", False),
        ("session", "editor", True),
        ("session", "billing", False),
    ],
)
def test_page_offers_what_the_credential_may_do(call, acme, globex, kind, role, may_write):
    project = Project.objects.create(organization=acme, name="Own")
    Project.objects.create(organization=globex, name="Foreign")
    own = credential(kind, acme, role)

    with CaptureQueriesContext(connection) as queries:
        page = call("/projects/", accept="text/html", **own)
    memberships = [query for query in queries if "FROM `closient_auth_membership`" in query["sql"].replace('"', "`")]
    detail = call(f"/projects/{project.pk}/", accept="text/html", **own).content.decode()

    assert page.status_code == HTTPStatus.OK
    text = page.content.decode()
    assert "Own" in text
    assert "Foreign" not in text
    assert (CREATE_FORM in text) is may_write
    assert (DELETE_BUTTON in detail) is may_write
    assert len(memberships) == (kind != "csb")
    if "raw_key" in own:
        assert own["raw_key"] not in text
        assert page["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("raw_key", [None, "junk-key-that-is-none"])
def test_page_of_a_refusal(call, raw_key):
    page = call("/projects/", raw_key, accept="text/html")

    assert page.status_code == HTTPStatus.UNAUTHORIZED
    assert "junk-key-that-is-none" not in page.content.decode()
