"""The actor of a request: superuser status counts for a session and never for a key, whichever instance asks."""

from __future__ import annotations

import pickle
from http import HTTPStatus

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from closient_auth.actors import Actor, get_actor
from closient_auth.authentication import ApiKeyAuthentication
from closient_auth.models import ApiKey, AuditEntry, Organization
from closient_auth.models.organizations import NotAMemberError
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

User = get_user_model()

# All the ways in which a view or its task names who acts.
NAMES = {
    "bare": lambda request: request.user,
    "fetched again": lambda request: User.objects.get(pk=request.user.pk),
    "through the key": lambda request: ApiKey.objects.get(pk=request.auth.pk).user,
    "actor": get_actor,
    "actor of Django's request": lambda request: get_actor(request._request),
}


class Rename(APIView):
    permission_classes = [IsAuthenticated]

    def post(self, request, name):
        Organization.objects.get(slug="acme").rename(name="Renamed", by=NAMES[name](request))
        return Response()


@pytest.fixture
def acme():
    return MembershipFactory.create(organization__slug="acme", organization__name="Acme", role="owner").organization


@pytest.fixture
def rename(call, mount, acme):
    """Return a function to send the request; it returns the status and the name of the organization."""

    mount(path("<str:name>/", Rename.as_view()))

    def rename(name, *args, **kwargs):
        status = call(f"/{name}/", *args, method="post", **kwargs).status_code
        acme.refresh_from_db()
        return status, acme.name

    return rename


@pytest.mark.parametrize("name", NAMES)
def test_key_of_a_superuser(rename, name):
    superuser = UserFactory.create(is_superuser=True)

    assert rename(name, make_key("csu", user=superuser)[1]) == (HTTPStatus.FORBIDDEN, "Acme")


@pytest.mark.parametrize("name", NAMES)
def test_key_of_an_owner(rename, acme, name):
    owner = MembershipFactory.create(organization=acme, role="owner").user

    assert rename(name, make_key("csu", user=owner)[1]) == (HTTPStatus.OK, "Renamed")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bare", (HTTPStatus.FORBIDDEN, "Acme")),
        ("fetched again", (HTTPStatus.FORBIDDEN, "Acme")),
        ("actor", (HTTPStatus.OK, "Renamed")),
        ("actor of Django's request", (HTTPStatus.OK, "Renamed")),
    ],
)
def test_session_of_a_superuser(rename, name, expected):
    assert rename(name, user=UserFactory.create(is_superuser=True)) == expected


@pytest.mark.parametrize("name", ["bare", "actor", "actor of Django's request"])
def test_key_of_the_organization(rename, acme, name):
    """An organization's key has no rank, also in its own organization."""
    assert rename(name, make_key("csb", organization=acme)[1]) == (HTTPStatus.FORBIDDEN, "Acme")


def test_actor_of_each_credential(call, mount):
    actors = []

    class View(APIView):
        def get(self, request):
            actors.append(get_actor(request))
            return Response()

    mount(View.as_view())
    superuser, person = UserFactory.create(is_superuser=True), UserFactory.create()
    user_key, raw_user_key = make_key("csu", user=superuser)
    business_key, raw_business_key = make_key("csb")

    call(raw_key=raw_user_key)
    call(raw_key=raw_business_key)
    call(user=superuser)
    call(user=person)

    assert actors == [
        Actor(superuser, user_key, "127.0.0.1", is_superuser=False),
        Actor(None, business_key, "127.0.0.1", is_superuser=False),
        Actor(superuser, None, "127.0.0.1", is_superuser=True),
        Actor(person, None, "127.0.0.1", is_superuser=False),
    ]


def test_key_that_a_subclass_discards(call, mount):
    """If another credential authenticates the request in the end, the discarded key acts nowhere."""
    actors = []

    class Discarding(ApiKeyAuthentication):
        def authenticate(self, request):
            super().authenticate(request)

    class View(APIView):
        authentication_classes = [Discarding, SessionAuthentication]

        def get(self, request):
            actors.append(get_actor(request))
            return Response()

    mount(View.as_view())
    superuser = UserFactory.create(is_superuser=True)

    call(raw_key=make_key("csb")[1], user=superuser)

    assert actors == [Actor(superuser, None, "127.0.0.1", is_superuser=True)]


def test_deactivated_superuser_has_no_rank():
    request = RequestFactory().get("/")
    request.user = UserFactory.create(is_superuser=True, is_active=False)

    assert get_actor(request).is_superuser is False


def test_actor_of_nobody(acme):
    """The actor of an anonymous request is not ``None``, so it is refused and not taken for trusted code."""
    request = RequestFactory().get("/", REMOTE_ADDR="")
    request.user = AnonymousUser()

    with pytest.raises(NotAMemberError, match="You are not a member"):
        acme.rename(name="Renamed", by=get_actor(request))

    assert get_actor(request) == Actor()


def test_address_and_key_are_recorded(rename, acme):
    owner = MembershipFactory.create(organization=acme, role="owner").user
    api_key, raw_key = make_key("csu", user=owner)

    rename("actor", raw_key)

    entry = AuditEntry.objects.get(event="organization_changed")
    assert (entry.user, entry.api_key_id, entry.address) == (owner, api_key.pk, "127.0.0.1")


class Ask(APIView):
    """Ask Django's ``has_perm()`` of ``request.user``, and of the same user fetched again."""

    permission_classes = [IsAuthenticated]

    def get(self, request):
        acme, globex = (Organization.objects.get(slug=slug) for slug in ("acme", "globex"))
        questions = [
            ("organization.contribute_organization", acme),
            ("organization.delete_organization", acme),
            ("organization.view_organization", globex),
            ("organization.view_organization", None),
            ("auth.add_user", None),
        ]
        fetched = User.objects.get(pk=request.user.pk)
        return Response(
            {
                "sync": [request.user.has_perm(perm, obj) for perm, obj in questions],
                "async": [async_to_sync(request.user.ahas_perm)(perm, obj) for perm, obj in questions],
                "all": request.user.has_perms(["organization.view_organization"], acme),
                "fetched": [fetched.has_perm(perm, obj) for perm, obj in questions],
            }
        )


@pytest.mark.parametrize("is_key", [True, False], ids=["key", "session"])
def test_has_perm_of_a_superuser(call, mount, settings, is_key):
    """Django answers ``True`` to a superuser; for a key, the membership decides about organizations."""
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "closient_auth.backends.OrganizationBackend",
    ]
    mount(Ask.as_view())
    superuser = UserFactory.create(is_superuser=True)
    MembershipFactory.create(organization__slug="acme", user=superuser, role="editor")
    OrganizationFactory.create(slug="globex")

    credential = {"raw_key": make_key("csu", user=superuser)[1]} if is_key else {"user": superuser}
    answers = call(**credential).json()

    by_membership = [True, False, False, True, True]
    assert answers == {
        "sync": by_membership if is_key else [True] * 5,
        "async": by_membership if is_key else [True] * 5,
        "all": True,
        # The instance that a project fetches itself is Django's.
        "fetched": [True] * 5,
    }


def test_user_of_a_key_survives_a_copy(call, mount):
    """Apps pickle users, for example into a task queue."""

    found = []

    class View(APIView):
        def get(self, request):
            found.append(pickle.loads(pickle.dumps(request.user)))
            return Response()

    mount(View.as_view())
    superuser = UserFactory.create(is_superuser=True)
    organization = OrganizationFactory.create()

    call(raw_key=make_key("csu", user=superuser)[1])

    [user] = found
    assert user == superuser
    assert user.has_perm("organization.view_organization", organization) is False


@pytest.mark.parametrize(
    ("hosts", "host", "debug", "origin"),
    [
        (["App.example"], "app.example", False, "http://app.example"),
        (["app.example"], "app.example:8000", False, "http://app.example:8000"),
        (["app.example"], "APP.example.", False, "http://app.example"),
        (["app.example"], "evil.example", False, ""),
        (["*"], "evil.example", False, ""),
        ([".app.example"], "evil.app.example", False, ""),
        ([], "localhost:8000", True, "http://localhost:8000"),
        ([], "127.0.0.1", True, "http://127.0.0.1"),
        ([], "[::1]:8000", True, "http://[::1]:8000"),
        ([], "evil.localhost", True, ""),
        ([], "localhost", False, ""),
    ],
)
def test_origin(settings, hosts, host, debug, origin):
    """The sender of a request chooses its host, and a mail may link to it."""
    settings.ALLOWED_HOSTS, settings.DEBUG = hosts, debug
    request = RequestFactory().get("/", headers={"host": host})
    request.user = AnonymousUser()

    assert get_actor(request).origin == origin


def test_origin_behind_a_proxy(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    headers = {"host": "testserver", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    request = RequestFactory().get("/", headers=headers)
    request.user = AnonymousUser()

    assert get_actor(request).origin == "https://testserver"


def test_request_without_a_host():
    request = HttpRequest()
    request.user = AnonymousUser()

    assert get_actor(request).origin == ""
