"""The selection of a request's organization."""

from __future__ import annotations

from contextlib import nullcontext
from http import HTTPStatus
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.decorators import publishable
from closient_auth.organizations import get_organization
from closient_auth.permissions import HasOrganizationPermission
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.models import Project
from tests.views import OrganizationView

pytestmark = pytest.mark.django_db

REQUIRED = {
    "detail": "Set the X-Organization header to the id or slug of your organization.",
    "code": "organization_required",
}
NOT_FOUND = {"detail": "Not found."}


@pytest.fixture
def member(acme, globex):
    """Return a member of both organizations."""
    user = UserFactory.create()
    for organization in (acme, globex):
        MembershipFactory.create(organization=organization, user=user, role="editor")
    return user


@pytest.fixture
def ask(call, member):
    """Return a function to send a request by session and by key; both responses have to be equal."""
    _, raw_key = make_key("csu", user=member)

    def ask(address="/organization/", **headers):
        by_key, by_session = call(address, raw_key, **headers), call(address, user=member, **headers)
        assert (by_key.status_code, by_key.content) == (by_session.status_code, by_session.content)
        return by_key

    return ask


def test_url_names_it(ask, acme, globex):
    assert ask(f"/organizations/{acme.pk}/").json() == {"organization": "acme"}
    assert ask("/organizations/globex/").json() == {"organization": "globex"}


def test_header_names_it_by_id_or_slug(ask, acme):
    assert ask(x_organization=str(acme.pk)).json() == {"organization": "acme"}
    assert ask(x_organization="globex").json() == {"organization": "globex"}


def test_url_and_header_agree_in_either_spelling(ask, acme):
    assert ask(f"/organizations/{acme.pk}/", x_organization="acme").json() == {"organization": "acme"}
    assert ask("/organizations/acme/", x_organization=str(acme.pk)).json() == {"organization": "acme"}


def test_url_and_header_that_disagree(ask):
    response = ask("/organizations/acme/", x_organization="globex")

    assert (response.status_code, response.json()) == (HTTPStatus.NOT_FOUND, NOT_FOUND)


def test_only_membership(call):
    member = MembershipFactory.create()

    assert call("/organization/", user=member.user).json() == {"organization": member.organization.slug}
    assert call("/organization/", make_key("csu", user=member.user)[1]).json() == {
        "organization": member.organization.slug
    }


def test_user_who_is_inactive(rf):
    """An authentication backend may keep the session of an inactive user."""
    request = rf.get("/")
    request.user = MembershipFactory.create(user__is_active=False).user

    with pytest.raises(PermissionDenied):
        get_organization(request)


def test_nobody_at_all(rf):
    """``UNAUTHENTICATED_USER`` may be ``None``."""
    request = rf.get("/")
    request.user = None

    with pytest.raises(PermissionDenied):
        get_organization(request)


class BareUser:
    """An instance of a user model without Django's flags."""

    is_authenticated = is_active = True

    def __init__(self, pk):
        self.pk = pk


@pytest.mark.parametrize("name", ["acme", "globex"])
def test_user_without_flags_is_no_superuser(rf, acme, globex, name):
    request = rf.get("/", headers={"X-Organization": name})
    request.user = BareUser(MembershipFactory.create(organization=acme).user.pk)

    with nullcontext() if name == "acme" else pytest.raises(Http404):
        assert get_organization(request) == acme


def test_session_and_key_at_once(rf, acme, globex):
    """A middleware may call it before and after the view. Each call uses the current user."""
    request = rf.get("/", headers={"X-API-Key": make_key("csb", organization=acme)[1]})
    request.user = MembershipFactory.create(organization=globex).user

    assert get_organization(request) == globex
    assert OrganizationView.as_view()(request).data == {"organization": "acme"}
    assert get_organization(request) == acme


def test_several_memberships_and_nothing_said(ask, acme, globex):
    """The response names the organizations of this person, and no other."""
    MembershipFactory.create()
    response = ask()

    own = [{"id": str(each.pk), "slug": each.slug, "name": each.name} for each in (acme, globex)]
    assert (response.status_code, response.json()) == (HTTPStatus.BAD_REQUEST, {**REQUIRED, "organizations": own})


@pytest.mark.parametrize("flags", [{}, {"is_staff": True, "is_superuser": True}])
def test_no_membership_and_nothing_said(call, acme, flags):
    """Only a superuser with a session can name any organization."""
    user = UserFactory.create(**flags)
    nowhere = REQUIRED | {"detail": "You are not a member of any organization."}

    for credential, told in [
        ({"user": user}, REQUIRED if flags else nowhere),
        ({"raw_key": make_key("csu", user=user)[1]}, nowhere),
    ]:
        response = call("/organization/", **credential)
        assert (response.status_code, response.json()) == (HTTPStatus.BAD_REQUEST, {**told, "organizations": []})


HOSTILE = [
    "",
    " ",
    "acme ",
    "ACME",
    "acme,globex",
    "acme'--",
    "ácme",
    "nobody",
    "\0",
    "a" * 5000,
    "0" * 32,
    str(uuid4()),
    "None",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_header_that_names_none(call, member, name):
    for raw_key in (make_key("csu", user=member)[1], make_key("csb")[1]):
        response = call("/organization/", raw_key, x_organization=name)
        assert (response.status_code, response.json()) == (HTTPStatus.NOT_FOUND, NOT_FOUND)


@pytest.mark.parametrize("prefix", ["csb", "cpk"])
def test_organization_of_the_key(call, mount, acme, globex, prefix):
    @publishable
    class View(APIView):
        permission_classes = [HasOrganizationPermission]

        def get(self, request, **kwargs):
            return Response({"organization": get_organization(request).slug})

    mount(path("", View.as_view()), path("<organization_id>/", View.as_view()))
    _, raw_key = make_key(prefix, organization=acme)

    for address, headers in [("/", {}), ("/acme/", {}), (f"/{acme.pk}/", {"x_organization": "acme"})]:
        assert call(address, raw_key, **headers).json() == {"organization": "acme"}
    for address, headers in [("/globex/", {}), ("/", {"x_organization": "globex"})]:
        assert call(address, raw_key, **headers).json() == NOT_FOUND
    assert call("/acme/", raw_key, x_organization=str(globex.pk)).json() == NOT_FOUND


def test_other_url_kwarg(call, mount, acme, globex):
    class View(APIView):
        permission_classes = [HasOrganizationPermission]
        organization_url_kwarg = "tenant"

        def get(self, request, **kwargs):
            return Response({"organization": get_organization(request).slug})

    mount(path("<tenant>/<organization_id>/", View.as_view()))
    user = MembershipFactory.create(organization=acme).user

    assert call("/acme/globex/", user=user).json() == {"organization": "acme"}
    assert call("/globex/acme/", user=user).json() == NOT_FOUND


def test_view_that_is_called_by_another(call, mount, acme, globex):
    """The argument of the call is used, not the URL."""
    called = OrganizationView.as_view()
    mount(path("<organization_id>/", lambda request, organization_id: called(request, organization_id="acme")))
    _, raw_key = make_key("csb", organization=acme)

    assert call("/globex/", raw_key).json() == {"organization": "acme"}
    assert call("/acme/", make_key("csb", organization=globex)[1]).json() == NOT_FOUND


def test_uuid_converter_in_the_url(call, mount, acme):
    class View(APIView):
        permission_classes = [HasOrganizationPermission]

        def get(self, request, organization_id):
            return Response({"organization": get_organization(request).slug})

    mount(path("<uuid:organization_id>/", View.as_view()))
    _, raw_key = make_key("csb", organization=acme)

    assert call(f"/{acme.pk}/", raw_key).json() == {"organization": "acme"}
    assert call(f"/{uuid4()}/", raw_key).json() == NOT_FOUND


def test_superuser_with_a_session_names_any(call, acme):
    superuser = UserFactory.create(is_superuser=True)

    assert call("/organization/", user=superuser, x_organization="acme").json() == {"organization": "acme"}
    assert call("/organizations/acme/", user=superuser).json() == {"organization": "acme"}
    assert call("/organizations/nobody/", user=superuser).json() == NOT_FOUND
    assert call("/organizations/acme/", user=superuser, x_organization="globex").json() == NOT_FOUND


def test_superuser_without_a_word_is_in_the_only_membership(call):
    member = MembershipFactory.create(role="billing", user__is_superuser=True)

    assert call("/projects/", user=member.user, method="post", data={"name": "A"}).status_code == HTTPStatus.CREATED
    assert Project.objects.filter(organization=member.organization).count() == 1


@pytest.mark.parametrize("prefix", ["csb", "csu", None])
def test_vary_names_the_header_where_it_may_decide(call, acme, prefix):
    user = MembershipFactory.create(organization=acme).user
    raw_key = prefix and make_key(prefix, **({"user": user} if prefix == "csu" else {"organization": acme}))[1]
    credential = {"raw_key": raw_key} if raw_key else {"user": user}

    for address, headers in [("/organization/", {}), ("/organization/", {"x_organization": "nobody"})]:
        response = call(address, **credential, **headers)
        assert "X-Organization" in [name.strip() for name in response["Vary"].split(",")]
    assert "X-Organization" not in call("/who/", **credential)["Vary"]
