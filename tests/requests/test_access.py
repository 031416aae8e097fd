"""The organization is computed once for each request, and anew for the next one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from closient_auth.actors import get_actor
from closient_auth.filters import OrganizationFilterBackend
from closient_auth.organizations import get_organization
from closient_auth.permissions import HasOrganizationPermission
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.models import Project
from tests.views import ProjectSerializer, ProjectViewSet

pytestmark = pytest.mark.django_db

NOT_FOUND = {"detail": "Not found."}


def test_computed_once_for_each_request(call, mount, acme):
    """The permission, object permission, filter and view share the result."""

    class View(ProjectViewSet):
        def retrieve(self, request, *args, **kwargs):
            assert get_organization(request) is get_organization(self.request)
            return super().retrieve(request, *args, **kwargs)

    mount(path("<pk>/", View.as_view({"get": "retrieve", "put": "update"})))
    user = MembershipFactory.create(organization=acme).user
    project = Project.objects.create(organization=acme, name="A")
    _, raw_key = make_key("csu", user=user)

    for method in ("get", "options"):
        with CaptureQueriesContext(connection) as queries:
            assert call(f"/{project.pk}/", raw_key, method=method).status_code == HTTPStatus.OK
        assert sum('FROM "closient_auth_membership"' in q["sql"].replace("`", '"') for q in queries) == 1


def test_asked_anew_for_the_next_request(call, acme, globex):
    member = MembershipFactory.create(organization=acme)
    client = APIClient()
    client.force_login(member.user)
    _, raw_key = make_key("csu", user=member.user)

    assert call("/organizations/acme/", raw_key).status_code == HTTPStatus.OK
    assert call("/organizations/acme/", client=client).status_code == HTTPStatus.OK
    member.delete()

    assert call("/organizations/acme/", raw_key).status_code == HTTPStatus.NOT_FOUND
    assert call("/organizations/acme/", client=client).status_code == HTTPStatus.NOT_FOUND


def test_demotion_acts_on_the_next_request(call, acme):
    member = MembershipFactory.create(organization=acme, role="editor")
    sibling = MembershipFactory.create(organization=acme, role="editor")
    _, raw_key = make_key("csu", user=member.user)

    def status(user, raw_key=None):
        return call("/projects/", raw_key, user=user, method="post", data={"name": "A"}).status_code

    assert status(None, raw_key) == status(member.user) == HTTPStatus.CREATED
    member.change_role("billing")

    assert status(None, raw_key) == status(member.user) == HTTPStatus.FORBIDDEN
    assert status(sibling.user) == HTTPStatus.CREATED


def test_deactivation_acts_on_the_next_request(call, acme):
    member = MembershipFactory.create(organization=acme)
    client = APIClient()
    client.force_login(member.user)
    assert call("/organization/", client=client).status_code == HTTPStatus.OK

    member.user.is_active = False
    member.user.save()

    assert call("/organization/", client=client).status_code == HTTPStatus.UNAUTHORIZED


def django_view(request, **kwargs):
    return HttpResponse(get_organization(request).slug)


def test_plain_django_view(client, mount, acme, globex):
    """Django answers with its own statuses. It has no 401."""
    mount(path("", django_view), path("<organization_id>/", django_view))
    assert client.get("/").status_code == HTTPStatus.FORBIDDEN

    member = MembershipFactory.create(organization=acme)
    client.force_login(member.user)
    assert client.get("/").content == b"acme"
    assert client.get("/acme/").content == b"acme"
    assert client.get("/globex/").status_code == HTTPStatus.NOT_FOUND
    assert client.get("/", headers={"X-Organization": "globex"}).status_code == HTTPStatus.NOT_FOUND

    MembershipFactory.create(organization=globex, user=member.user)
    assert client.get("/").status_code == HTTPStatus.BAD_REQUEST
    assert client.get("/globex/").content == b"globex"


def test_request_that_met_no_url(rf, acme):
    """A middleware or a test may have such a request."""
    request = rf.get("/")
    request.user = MembershipFactory.create(organization=acme).user

    assert get_organization(request) == acme


def test_django_request_of_a_keyed_one_has_no_superuser(call, mount, acme):
    class View(APIView):
        def get(self, request, **kwargs):
            return Response({"organization": get_organization(request._request).slug})

    mount(path("<organization_id>/", View.as_view()))
    superuser = UserFactory.create(is_superuser=True)

    assert call("/acme/", make_key("csu", user=superuser)[1]).json() == NOT_FOUND
    assert call("/acme/", user=superuser).json() == {"organization": "acme"}


class Promotion(APIView):
    """A view of a project: it calls the models with ``by=get_actor(request)``."""

    permission_classes = [HasOrganizationPermission]

    def post(self, request):
        member = get_organization(request).memberships.get(role="manager")
        member.change_role("owner", by=get_actor(request))
        return Response()


def test_no_key_is_more_to_the_models_than_its_membership(call, mount, acme):
    """A superuser's key has only the membership of its user. An organization's key has no role."""
    mount(Promotion.as_view())
    superuser = UserFactory.create(is_superuser=True)
    member = MembershipFactory.create(organization=acme, user=superuser, role="manager")
    MembershipFactory.create(organization=acme, role="owner")

    for raw_key in (make_key("csu", user=superuser)[1], make_key("csb", organization=acme)[1]):
        assert call("/", raw_key, method="post").status_code == HTTPStatus.FORBIDDEN
        member.refresh_from_db()
        assert member.role == "manager"
    by_session = call("/", user=superuser, method="post", x_organization="acme")
    member.refresh_from_db()
    assert (by_session.status_code, member.role) == (HTTPStatus.OK, "owner")


def test_public_view_that_asks_for_the_organization(call, mount, acme):
    class View(APIView):
        permission_classes = [AllowAny]

        def get(self, request):
            return Response({"organization": get_organization(request).slug})

    mount(View.as_view())

    assert call().status_code == HTTPStatus.UNAUTHORIZED
    assert call(raw_key=make_key("csb", organization=acme)[1]).json() == {"organization": "acme"}


def test_filter_without_the_permission_class(call, mount, acme, globex):
    class View(ProjectViewSet):
        permission_classes = [AllowAny]
        filter_backends = [OrganizationFilterBackend]
        serializer_class = ProjectSerializer

    mount(View.as_view({"get": "list"}))
    Project.objects.create(organization=acme, name="A")
    Project.objects.create(organization=globex, name="G")

    assert [row["name"] for row in call(raw_key=make_key("csb", organization=acme)[1]).json()] == ["A"]
    assert call().status_code == HTTPStatus.UNAUTHORIZED


class ReplicaRouter:
    """Send reads of this package to a missing database, so a read from a replica fails."""

    def db_for_read(self, model, **hints):
        return "replica" if model._meta.app_label == "closient_auth" else None

    def db_for_write(self, model, **hints):
        return "default" if model._meta.app_label == "closient_auth" else None


def test_who_may_do_what_is_read_where_it_is_written(call, settings, acme):
    """A replica lags. It would accept a revoked key or a former member."""
    member = MembershipFactory.create(organization=acme)
    revoked_key, raw_revoked_key = make_key("csb")
    revoked_key.revoke()
    credentials: list[dict[str, Any]] = [
        {"raw_key": make_key("csb", organization=acme)[1]},
        {"raw_key": make_key("csu", user=member.user)[1]},
        {"user": member.user},
        {"user": UserFactory.create(is_superuser=True)},
    ]
    settings.DATABASE_ROUTERS = [f"{__name__}.ReplicaRouter"]

    for credential in credentials:
        for address in ("/organizations/acme/", f"/organizations/{acme.pk}/"):
            assert call(address, **credential).json() == {"organization": "acme"}
    assert call("/organization/", **credentials[1]).json() == {"organization": "acme"}
    assert call("/who/", raw_revoked_key).status_code == HTTPStatus.UNAUTHORIZED
