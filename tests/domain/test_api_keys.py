from __future__ import annotations

import logging
import pickle
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from closient_auth.keys import hash_api_key, verify_api_key
from closient_auth.models import ApiKey
from tests.factories import MembershipFactory, OrganizationFactory, UserFactory, make_key

PREFIXES = ("csb", "csu", "cpk")
# Key type -> (needs an organization, needs a user).
HOLDERS = {"csb": (True, False), "csu": (False, True), "cpk": (True, False)}

pytestmark = pytest.mark.django_db


@pytest.fixture
def holders():
    """Return a function for the keyword arguments with an organization, a user, both or neither."""
    organization, user = OrganizationFactory.create(), UserFactory.create()
    return lambda has_organization, has_user: {
        "organization": organization if has_organization else None,
        "user": user if has_user else None,
    }


@pytest.mark.parametrize("prefix", PREFIXES)
def test_key_is_created_for_its_holder(holders, prefix):
    creator = UserFactory.create()
    expires_at = timezone.now() + timedelta(days=1)
    holder = holders(*HOLDERS[prefix])

    api_key, raw_key = ApiKey.objects.create_key(
        prefix=prefix,
        **holder,
        name="Server",
        description="In the cellar",
        created_by=creator,
        expires_at=expires_at,
        rate_limit_per_minute=7,
        rate_limit_per_day=8,
    )

    api_key.refresh_from_db()
    assert verify_api_key(raw_key)
    assert raw_key.startswith(f"{prefix}_{api_key.hint}")
    assert api_key.hashed_key == hash_api_key(raw_key)
    assert (api_key.prefix, api_key.organization, api_key.user) == (prefix, holder["organization"], holder["user"])
    assert (api_key.name, api_key.description) == ("Server", "In the cellar")
    assert (api_key.created_by, api_key.expires_at) == (creator, expires_at)
    assert (api_key.rate_limit_per_minute, api_key.rate_limit_per_day) == (7, 8)
    assert (api_key.is_active, api_key.last_used) == (True, None)
    assert isinstance(api_key.pk, UUID)
    assert len(api_key.hint) == 4


@pytest.mark.parametrize("prefix", PREFIXES)
def test_defaults(prefix):
    api_key, _ = make_key(prefix)

    assert (api_key.name, api_key.description, api_key.created_by, api_key.expires_at) == ("", "", None, None)
    assert (api_key.rate_limit_per_minute, api_key.rate_limit_per_day) == (0, 0)


def test_reverse_names():
    business, _ = make_key("csb")
    user, _ = make_key("csu")

    assert business.organization is not None
    assert user.user is not None
    assert business.organization.api_keys.get() == business
    assert user.user.closient_auth_api_keys.get() == user


WRONG = [
    (prefix, holder)
    for prefix, holder in product(PREFIXES, product((True, False), repeat=2))
    if HOLDERS[prefix] != holder
]


@pytest.mark.parametrize(("prefix", "holder"), WRONG)
def test_wrong_holder_is_refused_by_model_and_database(holders, prefix, holder):
    with pytest.raises(ValidationError) as caught:
        ApiKey.objects.create_key(prefix=prefix, **holders(*holder))
    assert caught.value.code == "holder"

    around = ApiKey(prefix=prefix, hashed_key="0" * 64, hint="abcd", **holders(*holder))
    with pytest.raises(IntegrityError, match="closient_auth_apikey_one_holder"), transaction.atomic():
        ApiKey.objects.bulk_create([around])
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(("prefix", "holder"), WRONG)
def test_holder_cannot_be_changed_into_a_wrong_one(holders, prefix, holder):
    api_key, _ = make_key(prefix)

    with pytest.raises(IntegrityError, match="closient_auth_apikey_one_holder"), transaction.atomic():
        ApiKey.objects.filter(pk=api_key.pk).update(**holders(*holder))


@pytest.mark.parametrize("prefix", ["", "csx", "api", None])
def test_unknown_type_is_refused_by_model_and_database(holders, prefix):
    with pytest.raises(ValidationError) as caught:
        ApiKey.objects.create_key(prefix=prefix, **holders(True, False))
    assert set(caught.value.error_dict) == {"prefix"}

    for holder in product((True, False), repeat=2):
        around = ApiKey(prefix=prefix or "", hashed_key="0" * 64, hint="abcd", **holders(*holder))
        with pytest.raises(IntegrityError, match="closient_auth_apikey_one_holder"), transaction.atomic():
            ApiKey.objects.bulk_create([around])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * 256),
        ("description", "x" * 256),
        ("rate_limit_per_minute", -1),
        ("rate_limit_per_minute", 2**63),
        ("rate_limit_per_day", -1),
        ("rate_limit_per_day", "many"),
        ("expires_at", "tomorrow"),
        ("expires_at", datetime(9999, 1, 1, tzinfo=UTC)),
        ("expires_at", datetime(1, 12, 31, tzinfo=UTC)),
    ],
)
def test_value_that_cannot_be_is_refused(field, value):
    with pytest.raises(ValidationError) as caught:
        ApiKey.objects.create_key(prefix="csb", organization=OrganizationFactory.create(), **{field: value})

    assert set(caught.value.error_dict) == {field}
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("use_tz", [True, False])
def test_end_without_a_time_zone(settings, use_tz):
    """A naive datetime is ambiguous with ``USE_TZ``, so it is refused."""
    settings.USE_TZ = use_tz
    end = datetime(2099, 1, 1)  # noqa: DTZ001

    def create(expires_at):
        organization = OrganizationFactory.create()
        return ApiKey.objects.create_key(prefix="csb", organization=organization, expires_at=expires_at)

    if not use_tz:
        assert create(end)[0].state == "active"
        return
    with pytest.raises(ValidationError) as caught:
        create(end)
    assert [error.code for error in caught.value.error_dict["expires_at"]] == ["naive"]
    assert not ApiKey.objects.exists()


def test_hash_is_unique_in_the_database():
    api_key, _ = make_key()
    other = ApiKey(prefix="csb", organization=api_key.organization, hashed_key=api_key.hashed_key, hint="abcd")

    with pytest.raises(IntegrityError, match=r"(?i)hash"), transaction.atomic():
        ApiKey.objects.bulk_create([other])


def test_hash_has_one_index():
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, ApiKey._meta.db_table)

    indexes = [name for name, about in constraints.items() if about["index"] or about["unique"]]
    assert [name for name in indexes if constraints[name]["columns"] == ["hashed_key"]] == [
        "closient_auth_apikey_unique_hash"
    ]


def test_given_id_is_kept_and_cannot_be_taken_twice():
    pk = uuid4()
    api_key, _ = make_key(id=pk)

    assert api_key.pk == pk
    with pytest.raises(IntegrityError), transaction.atomic():
        make_key(id=pk)
    assert ApiKey.objects.get().hashed_key == api_key.hashed_key


# Secrets


@pytest.mark.parametrize("prefix", PREFIXES)
def test_secret_is_nowhere_but_in_the_returned_text(caplog, prefix):
    caplog.set_level(logging.DEBUG)
    with CaptureQueriesContext(connection) as queries:
        api_key, raw_key = make_key(prefix, name="Server", created_by=UserFactory.create())
    body = raw_key.split("_")[1]

    kept = [
        str(api_key),
        repr(api_key),
        f"{ApiKey.objects.all()!r}",
        repr(vars(api_key)),
        pickle.dumps(api_key).decode("latin-1"),
        caplog.text,
        *(query["sql"] for query in queries),
    ]
    assert not [text for text in kept if body in text or raw_key in text]
    # The hash is stored, so the SQL contains it, but no output does.
    assert not [text for text in kept[:3] if api_key.hashed_key in text]


@pytest.mark.parametrize(
    ("prefix", "name", "text"),
    [("csb", "Server", "csb_AbCd… Server"), ("cpk", "", "cpk_AbCd…"), ("csu", "é", "csu_AbCd… é")],
)
def test_text(prefix, name, text):
    api_key = ApiKey(prefix=prefix, name=name, hint="AbCd", hashed_key="0" * 64)

    assert str(api_key) == text
    assert repr(api_key) == f"<ApiKey: {text}>"


# Lifetime


def test_user_keys_go_with_their_user_and_the_others_outlive_their_creator():
    membership = MembershipFactory.create(role="editor")
    user, organization = membership.user, membership.organization
    own, _ = make_key("csu", user=user, created_by=user)
    others = [make_key(prefix, organization=organization, created_by=user)[0] for prefix in ("csb", "cpk")]
    neighbour, _ = make_key("csu", created_by=user)

    user.delete()

    assert not ApiKey.objects.filter(pk=own.pk).exists()
    for api_key in (*others, neighbour):
        before = (api_key.prefix, api_key.organization_id, api_key.user_id, api_key.hashed_key, api_key.is_active)
        api_key.refresh_from_db()
        assert api_key.created_by is None
        assert (
            api_key.prefix,
            api_key.organization_id,
            api_key.user_id,
            api_key.hashed_key,
            api_key.is_active,
        ) == before


def test_no_way_of_deleting_users_turns_a_key_into_another():
    api_keys = [make_key("csu")[0] for _ in range(3)]
    neighbour, _ = make_key("csb")
    users = get_user_model().objects.filter(closient_auth_api_keys__in=api_keys)

    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(pk=api_keys[0].pk).update(user=None)
    users.delete()

    assert list(ApiKey.objects.all()) == [neighbour]


def test_organization_takes_its_keys_along():
    gone, _ = make_key("csb")
    neighbour, _ = make_key("csb")
    assert gone.organization is not None

    gone.organization.delete()

    assert list(ApiKey.objects.all()) == [neighbour]


def test_revocation_writes_one_column():
    api_key, _ = make_key(name="Old")
    neighbour, _ = make_key()
    now = timezone.now()
    # Another request has changed the key in the meantime.
    ApiKey.objects.filter(pk=api_key.pk).update(name="New", last_used=now, rate_limit_per_day=5)

    with CaptureQueriesContext(connection) as queries:
        api_key.revoke()

    assert [query["sql"].startswith("UPDATE") for query in queries].count(True) == 1
    assert api_key.is_active is False
    fresh = ApiKey.objects.get(pk=api_key.pk)
    assert (fresh.is_active, fresh.name, fresh.rate_limit_per_day) == (False, "New", 5)
    assert fresh.last_used == now
    neighbour.refresh_from_db()
    assert neighbour.is_active


def test_revocation_may_be_repeated():
    api_key, _ = make_key()
    stale = ApiKey.objects.get(pk=api_key.pk)

    for _ in range(2):
        api_key.revoke()
    stale.revoke()

    assert (api_key.is_active, stale.is_active) == (False, False)
    assert not ApiKey.objects.get().is_active


def test_revocation_of_a_key_that_has_gone_is_harmless():
    api_key, _ = make_key()
    ApiKey.objects.all().delete()

    api_key.revoke()

    assert not ApiKey.objects.exists()


def test_revocation_of_many_says_how_many_were_not_revoked_already():
    api_keys = [make_key()[0] for _ in range(3)]
    neighbour, _ = make_key()
    api_keys[0].revoke()
    selected = ApiKey.objects.filter(pk__in=[api_key.pk for api_key in api_keys])

    assert selected.revoke() == 2
    assert selected.revoke() == 0
    assert list(ApiKey.objects.filter(is_active=True)) == [neighbour]
