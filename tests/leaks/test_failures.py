"""Error reports do not contain a key or token created or used just before the error."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils.crypto import get_random_string
from rest_framework.test import APIClient

from closient_auth.api.serializers import NewUserKeySerializer
from closient_auth.keys import generate_api_key
from closient_auth.models import ApiKey, Invitation, Membership
from tests.factories import MembershipFactory, UserFactory, make_invitation, make_key

pytestmark = pytest.mark.django_db

TEMPLATES = {"closient_auth/invitation_subject.txt": "Come", "closient_auth/invitation.txt": "{% include 'nothing' %}"}


def fail(*args, **kwargs):
    raise RuntimeError("It is broken.")


@pytest.fixture
def owner():
    return MembershipFactory.create(role="owner")


@pytest.fixture
def post(sinks, django_capture_on_commit_callbacks):
    """Return a function to post as a user and return the status."""

    def post(user, address, *, format="json", **data):
        client = APIClient(raise_request_exception=False)
        client.force_login(user)
        with django_capture_on_commit_callbacks(execute=True):
            response = client.post(address, data, format=format)
        return sinks.add_response(response).status_code

    return post


@pytest.fixture
def made(monkeypatch):
    """Return the list of all keys and tokens generated during the test."""
    made = []

    def note(name, generate):
        def generate_and_note(argument):
            made.append(generate(argument))
            return made[-1]

        monkeypatch.setattr(name, generate_and_note)

    note("closient_auth.models.api_keys.generate_api_key", generate_api_key)
    note("closient_auth.models.invitations.get_random_string", get_random_string)
    return made


def find(sinks, secret):
    """Return the leaks of a secret, except raw frame variables, because Django cleanses them in its reports."""
    return sinks.find(secret) - {"frames"}


@pytest.mark.parametrize(
    ("address", "data"),
    [
        ("/account/organizations/{0}/keys", {"prefix": "csb", "name": "New"}),
        ("/account/organizations/{0}/keys/{1}/rotate", {}),
        ("/account/me/keys", {"name": "New"}),
    ],
    ids=["of an organization", "rotated", "of a user"],
)
@pytest.mark.parametrize("broken", [(NewUserKeySerializer, "to_representation"), (ApiKey, "save")])
@pytest.mark.parametrize("debug", [False, True], ids=["debug off", "debug on"])
def test_key_whose_creation_fails(settings, owner, post, sinks, made, monkeypatch, address, data, broken, debug):
    settings.DEBUG = debug
    old, _ = make_key(organization=owner.organization)
    made.clear()
    monkeypatch.setattr(*broken, fail)

    assert post(owner.user, address.format(owner.organization.pk, old.pk), **data) == 500

    (raw_key,) = made
    assert find(sinks, raw_key[4:36]) == set()


@pytest.mark.parametrize(
    "broken",
    [
        (ApiKey, "save"),
        ("closient_auth.dashboard.keys.get_windows",),
        # The page fails below the key.
        ("closient_auth.templatetags.closient_dashboard.date_format",),
    ],
    ids=["row", "limits", "page"],
)
@pytest.mark.parametrize("page", ["new", "{}/rotate"])
@pytest.mark.parametrize("debug", [False, True], ids=["debug off", "debug on"])
def test_key_whose_creation_fails_in_the_dashboard(
    settings, owner, post, sinks, made, monkeypatch, broken, page, debug
):
    settings.DEBUG = debug
    settings.ROOT_URLCONF = "tests.leaks.urls"
    old, _ = make_key(organization=owner.organization)
    made.clear()
    monkeypatch.setattr(*broken, fail)
    address = f"/settings/o/{owner.organization.slug}/keys/{page.format(old.pk)}/"

    data = {"name": "Server", "type": "csb", "grace": "0", "expires_at": "30"}
    assert post(owner.user, address, format="multipart", **data) == 500

    (raw_key,) = made
    assert find(sinks, raw_key[4:36]) == set()


def test_key_whose_creation_fails_in_the_admin(owner, post, sinks, made, monkeypatch):
    staff = UserFactory.create(is_staff=True, is_superuser=True)
    data = {"organization": owner.organization.pk, "name": "Server"}
    data |= {"rate_limit_per_minute": 0, "rate_limit_per_day": 0}
    monkeypatch.setattr(ApiKey, "save", fail)

    assert post(staff, reverse("admin:closient_auth_apikey_add"), format="multipart", prefix="csb", **data) == 500

    (raw_key,) = made
    assert find(sinks, raw_key[4:36]) == set()


def test_no_successor_is_made_of_a_key_that_cannot_be_revoked(owner, post, made, monkeypatch):
    old, _ = make_key(organization=owner.organization)
    made.clear()
    monkeypatch.setattr(ApiKey, "_revoke", fail)

    assert post(owner.user, f"/account/organizations/{owner.organization.pk}/keys/{old.pk}/rotate") == 500

    assert made == []
    assert list(ApiKey.objects.active()) == [old]


def test_token_while_mail_is_away(owner, post, sinks, made, monkeypatch):
    monkeypatch.setattr("closient_auth.models.mails.send_mail", fail)

    assert (
        post(owner.user, f"/account/organizations/{owner.organization.pk}/invitations", email="grace@example.com")
        == 201
    )

    (token,) = made
    assert Invitation.objects.get().state == "pending"
    # The link for the sender.
    assert sinks.find(token) == {"response"}


def test_token_in_a_template_that_fails(owner, post, sinks, made, settings):
    loader = ("django.template.loaders.locmem.Loader", TEMPLATES)
    settings.TEMPLATES = [
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": [loader]}}
    ]

    assert (
        post(owner.user, f"/account/organizations/{owner.organization.pk}/invitations", email="grace@example.com")
        == 500
    )

    (token,) = made
    assert not Invitation.objects.exists()
    assert find(sinks, token) == set()


@pytest.mark.parametrize("broken", [(Invitation, "make_member"), (Membership, "save")])
def test_token_that_is_accepted_in_vain(owner, post, sinks, monkeypatch, broken):
    _, token = make_invitation(owner.organization, "grace@example.com", by=owner.user)
    monkeypatch.setattr(*broken, fail)

    assert post(UserFactory.create(email="grace@example.com"), "/account/invitations/accept", token=token) == 500

    assert Invitation.objects.get().state == "pending"
    assert find(sinks, token) == set()
