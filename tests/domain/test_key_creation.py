"""``create_key(by=...)``: who may create a key for whom, and what a new key may not be."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone

from closient_auth.actors import Actor
from closient_auth.models import ApiKey, AuditEntry, Organization
from tests.factories import MembershipFactory, UserFactory, make_key

pytestmark = pytest.mark.django_db

# Who may create keys of an organization, and of another user.
TABLE = """
    owner            yes  no
    manager          yes  no
    billing          no   no
    editor           no   no
    outsider         no   no
    bare superuser   no   no
    superuser        yes  no
    business key     no   no
"""
ROWS = [(line[:17].strip(), *line[17:].split()) for line in map(str.strip, TABLE.strip().splitlines())]


@pytest.fixture
def organization():
    return MembershipFactory.create(role="owner").organization


def make_actor(who, organization):
    if who in ("owner", "manager", "billing", "editor"):
        return MembershipFactory.create(organization=organization, role=who).user
    if who == "outsider":
        return MembershipFactory.create(role="owner").user
    if who == "business key":
        return Actor(api_key=make_key(organization=organization)[0])
    superuser = UserFactory.create(is_superuser=True)
    return superuser if who == "bare superuser" else Actor(superuser, is_superuser=True)


@pytest.mark.parametrize("prefix", ["csb", "cpk"])
@pytest.mark.parametrize(("who", "may", "_"), ROWS)
def test_key_of_an_organization(organization, prefix, who, may, _):
    by = make_actor(who, organization)
    before = set(ApiKey.objects.values_list("pk", flat=True))

    if may == "no":
        with pytest.raises(PermissionDenied, match=r"You are not a member|Your role does not allow"):
            ApiKey.objects.create_key(prefix=prefix, organization=organization, by=by)
        assert set(ApiKey.objects.values_list("pk", flat=True)) == before
        return
    api_key, _ = ApiKey.objects.create_key(prefix=prefix, organization=organization, by=by)
    user = getattr(by, "user", by)
    assert api_key.created_by == user
    entry = AuditEntry.objects.get(event="api_key_created", target_id=api_key.pk)
    assert (entry.user, entry.actor) == (user, user.username)


@pytest.mark.parametrize(("who", "_", "may"), ROWS)
def test_key_of_another_user(organization, who, _, may):
    assert may == "no"
    other = UserFactory.create()
    by = make_actor(who, organization)

    with pytest.raises(PermissionDenied, match="belongs to another user"):
        ApiKey.objects.create_key(prefix="csu", user=other, by=by)

    assert not ApiKey.objects.filter(user=other).exists()


@pytest.mark.parametrize("wrap", [lambda user: user, Actor], ids=["user", "actor"])
def test_key_of_oneself(wrap):
    user = UserFactory.create()

    api_key, _ = ApiKey.objects.create_key(prefix="csu", user=user, by=wrap(user))

    assert (api_key.user, api_key.created_by) == (user, user)


def test_trusted_code_needs_no_permission(organization):
    api_key, _ = ApiKey.objects.create_key(prefix="csb", organization=organization)

    assert api_key.created_by is None
    assert AuditEntry.objects.get(event="api_key_created").actor == "system"


def test_recorded_creator_may_be_another(organization):
    """A migration script names the creator and acts as itself."""
    owner = organization.memberships.get().user
    creator = UserFactory.create()

    api_key, _ = ApiKey.objects.create_key(prefix="csb", organization=organization, created_by=creator, by=owner)

    assert api_key.created_by == creator
    assert AuditEntry.objects.get(event="api_key_created").user == owner


@pytest.mark.parametrize("seconds", [0, 1, 86_400])
def test_expiry_in_the_past_is_refused(organization, seconds):
    past = timezone.now() - timedelta(seconds=seconds)
    api_key, _ = make_key(organization=organization)

    for refused in (
        lambda: ApiKey.objects.create_key(prefix="csb", organization=organization, expires_at=past),
        lambda: api_key.change(expires_at=past),
    ):
        with pytest.raises(ValidationError) as caught:
            refused()
        assert [error.code for error in caught.value.error_dict["expires_at"]] == ["past"]

    assert [key.expires_at for key in ApiKey.objects.all()] == [None]


def test_row_without_a_hash_is_refused(organization):
    """Factories and ``objects.create()`` would otherwise make a key that nobody has."""
    for save in (
        lambda: ApiKey(prefix="csb", organization=organization).save(),
        lambda: ApiKey.objects.create(prefix="csb", organization=organization),
    ):
        with pytest.raises(ValueError, match=r"Create keys with ApiKey\.objects\.create_key\(\)"):
            save()

    assert not ApiKey.objects.exists()
    assert Organization.objects.count() == 1
