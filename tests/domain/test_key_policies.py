"""What people may grant with keys: their own permissions, and the maximums in the settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, ValidationError
from django.utils import timezone

from closient_auth.actors import Actor
from closient_auth.models import ApiKey, AuditEntry, Organization
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.requests.last_used import NOW

pytestmark = pytest.mark.django_db

VIEW = "organization.view_organization"
DELETE = "organization.delete_organization"
MANAGER = [
    "organization.contribute_organization",
    "organization.manage_api_keys",
    "organization.manage_billing",
    "organization.manage_members",
    VIEW,
]
# The names of the lists in the table below.
PERMISSIONS: dict[str, list[str] | None] = {
    "all": None,
    "5": MANAGER,
    "2": ["organization.manage_api_keys", VIEW],
    "v": [VIEW],
    "d": [DELETE],
    "vd": [DELETE, VIEW],
    "[]": [],
}
# Who does what with a business key, and what is stored: "-" means that the role may not, "!" that it lacks a permission that
# it named. The user key has "2", and its user is an Owner.
TABLE = """
    operation        trusted  superuser  owner  manager  user-key  billing  editor  outsider
    create all       all      all        all    5        2         -        -       -
    create v         v        v          v      v        v         -        -       -
    create d         d        d          d      !        !         -        -       -
    create vd        vd       vd         vd     !        !         -        -       -
    create []        []       []         []     []       []        -        -       -
    widen-v all      all      all        all    5        2         -        -       -
    widen-v vd       vd       vd         vd     !        !         -        -       -
    widen-[] v       v        v          v      v        v         -        -       -
    narrow-all v     v        v          v      v        v         -        -       -
    narrow-all d     d        d          d      !        !         -        -       -
    narrow-vd v      v        v          v      v        v         -        -       -
    narrow-vd d      d        d          d      !        !         -        -       -
    label all        all      all        all    all      all       -        -       -
    label vd         vd       vd         vd     vd       vd        -        -       -
    limit all        all      all        all    5        2         -        -       -
    limit vd         vd       vd         vd     v        v         -        -       -
    limit d          d        d          d      []       []        -        -       -
    network all      all      all        all    5        2         -        -       -
    rotate all       all      all        all    5        2         -        -       -
    rotate vd        vd       vd         vd     v        v         -        -       -
    rotate d         d        d          d      []       []        -        -       -
    rotate []        []       []         []     []       []        -        -       -
"""
HEAD, *LINES = (line.split() for line in TABLE.strip().splitlines())
CASES = [
    pytest.param(who, operation, name, expected, id=f"{who} {operation} {name}")
    for operation, name, *row in LINES
    for who, expected in zip(HEAD[1:], row, strict=True)
]


def get_actor(who, organization):
    if who == "trusted":
        return None
    if who == "superuser":
        return Actor(UserFactory.create(is_superuser=True), is_superuser=True)
    if who == "outsider":
        return MembershipFactory.create(role="owner").user
    if who == "user-key":
        owner = MembershipFactory.create(organization=organization, role="owner").user
        return Actor(owner, make_key("csu", user=owner, permissions=PERMISSIONS["2"])[0])
    return MembershipFactory.create(organization=organization, role=who).user


def operate(operation, permissions, organization, by):
    """Do the operation and return the key that it made or changed. A rotation and ``limit`` begin with ``permissions``."""
    if operation == "create":
        return ApiKey.objects.create_key(prefix="csb", organization=organization, permissions=permissions, by=by)[0]
    verb, _, before = operation.partition("-")
    api_key, _ = make_key(organization=organization, permissions=PERMISSIONS[before] if before else permissions)
    if verb == "rotate":
        return api_key.rotate(by=by)[0]
    changes: dict[str, Any] = {
        "label": {"name": "New", "description": "New"},
        "limit": {"rate_limit_per_day": 5},
        "network": {"allowed_networks": ["203.0.113.9"]},
    }
    api_key.change(**changes.get(verb, {"permissions": permissions}), by=by)
    return api_key


@pytest.mark.parametrize(("who", "operation", "name", "expected"), CASES)
def test_who_grants_what(organization, globex, who, operation, name, expected):
    neighbour, _ = make_key(organization=organization)
    other, _ = make_key(organization=globex, permissions=[DELETE])
    by, permissions = get_actor(who, organization), PERMISSIONS[name]
    before = set(ApiKey.objects.values_list("pk", flat=True))

    if expected in ("-", "!"):
        text = "You do not have these permissions: " if expected == "!" else "Your role does not|You are not a member"
        with pytest.raises(PermissionDenied, match=text):
            operate(operation, permissions, organization, by)
        # A changed or rotated key was made by the test.
        new = ApiKey.objects.exclude(pk__in=before)
        start = PERMISSIONS[operation.partition("-")[2] or name]
        assert [api_key.permissions for api_key in new] == [start] * (operation != "create")
        assert all(api_key.is_active for api_key in new)
    else:
        api_key = operate(operation, permissions, organization, by)
        stored = ApiKey.objects.get(pk=api_key.pk)
        for found in (api_key.permissions, stored.permissions):
            assert (found is None, sorted(found or [])) == (expected == "all", PERMISSIONS[expected] or [])
        entry = AuditEntry.objects.filter(target_id=api_key.pk).order_by("created_at").last()
        assert entry is not None
        assert entry.new_values.get("permissions", stored.permissions) == stored.permissions

    assert ApiKey.objects.get(pk=neighbour.pk).permissions is None
    assert ApiKey.objects.get(pk=other.pk).permissions == [DELETE]


def test_refusal_names_the_lacking_permissions(organization, join):
    with pytest.raises(PermissionDenied, match=f"^You do not have these permissions: {DELETE}.$"):
        ApiKey.objects.create_key(
            prefix="csb", organization=organization, permissions=[VIEW, DELETE], by=join("manager").user
        )


def test_publishable_key_of_a_manager_has_all_of_its_type(organization, join):
    by = join("manager").user
    create = lambda **kwargs: ApiKey.objects.create_key(prefix="cpk", organization=organization, by=by, **kwargs)[0]  # noqa: E731

    assert create().permissions is None
    assert create(permissions=[VIEW]).permissions == [VIEW]
    with pytest.raises(PermissionDenied, match="You do not have these permissions"):
        create(permissions=[DELETE])


def test_user_key_may_name_what_its_user_lacks(join):
    """The role can change. Each request counts what the role has and the key names."""
    user = join("editor").user

    api_key, _ = ApiKey.objects.create_key(prefix="csu", user=user, permissions=[DELETE], by=user)

    assert api_key.permissions == [DELETE]


def test_extra_permissions_of_the_project(organization, join, settings):
    """A Manager passes on the extra permissions of Managers, and an Owner all."""
    extra = {"owner": ["orders.pay"], "manager": ["orders.refund"], "editor": ["orders.view"]}
    settings.CLOSIENT_AUTH = {"EXTRA_ROLE_PERMISSIONS": extra}
    create = lambda by, **kwargs: ApiKey.objects.create_key(prefix="csb", organization=organization, by=by, **kwargs)[0]  # noqa: E731

    assert create(join("owner").user).permissions is None
    assert create(join("manager").user).permissions == sorted([*MANAGER, "orders.refund"])
    for name in ("orders.pay", "orders.view"):
        assert create(join("owner").user, permissions=[name]).permissions == [name]
        with pytest.raises(PermissionDenied, match=f"You do not have these permissions: {name}"):
            create(join("manager").user, permissions=[name])


def test_malformed_permissions_in_a_row_are_not_rotated(organization, join):
    for by in (join("owner").user, join("manager").user, None):
        api_key, _ = make_key(organization=organization)
        ApiKey.objects.filter(pk=api_key.pk).update(permissions={"a": 1})

        with pytest.raises(ValidationError, match="list of texts"):
            api_key.rotate(by=by)

        assert ApiKey.objects.get(pk=api_key.pk).is_active
        # Another value repairs the key.
        api_key.change(permissions=[VIEW], by=by)
        assert ApiKey.objects.get(pk=api_key.pk).permissions == [VIEW]


DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def user(join):
    return join("manager").user


@pytest.fixture(params=["csb", "csu"])
def create(request, organization, user):
    """Return a function to create a key of an organization or a user on behalf of a Manager."""
    holder = {"user": user} if request.param == "csu" else {"organization": organization}

    def create(by=user, **kwargs):
        return ApiKey.objects.create_key(prefix=request.param, **holder, by=by, **kwargs)[0]

    return create


# KEY_LIFETIME_DAYS, MAX_KEY_LIFETIME_DAYS, and the lifetime of a new key without an expiry.
DEFAULTS = [(0, 0, None), (30, 0, 30), (0, 90, 90), (30, 90, 30), (90, 30, 30), (30, 30, 30)]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("default", "maximum", "days"), DEFAULTS)
def test_lifetime_of_a_key_without_an_expiry(create, settings, default, maximum, days):
    settings.CLOSIENT_AUTH = {"KEY_LIFETIME_DAYS": default, "MAX_KEY_LIFETIME_DAYS": maximum}

    assert create().expires_at == (days and NOW + days * DAY)
    assert create(by=None).expires_at is None


@pytest.mark.usefixtures("clock")
def test_person_may_choose_against_the_default_lifetime(create, settings):
    settings.CLOSIENT_AUTH = {"KEY_LIFETIME_DAYS": 30}

    assert create(expires_at=None).expires_at is None
    assert create(expires_at=NOW + 300 * DAY).expires_at == NOW + 300 * DAY


def require_too_late(operation):
    with pytest.raises(ValidationError) as caught:
        operation()
    assert caught.value.message_dict.keys() == {"expires_at"}
    assert caught.value.error_dict["expires_at"][0].code == "lifetime"
    assert "Choose a time before " in caught.value.messages[0]


def test_longest_lifetime(create, user, settings, clock):
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 90}
    last = NOW + 90 * DAY

    api_key = create(expires_at=last)
    forever, late = create(by=None), create(by=None, expires_at=last + SECOND)
    for expires_at in (last + SECOND, None):
        require_too_late(lambda expires_at=expires_at: create(expires_at=expires_at))
    assert ApiKey.objects.count() == 3
    assert set(ApiKey.objects.beyond_policy()) == {forever, late}

    # The time counts from the creation of the key.
    clock.shift(10 * DAY)
    for expires_at in (last + SECOND, None):
        require_too_late(lambda expires_at=expires_at: api_key.change(expires_at=expires_at, by=user))
    assert ApiKey.objects.get(pk=api_key.pk).expires_at == last
    for expires_at in (NOW + 20 * DAY, last):
        api_key.change(expires_at=expires_at, by=user)
        assert ApiKey.objects.get(pk=api_key.pk).expires_at == expires_at
    # A key from before the setting can still be changed otherwise.
    for older in (forever, late):
        older.change(rate_limit_per_day=5, by=user)
        assert ApiKey.objects.get(pk=older.pk).expires_at == older.expires_at
    api_key.change(expires_at=None)
    assert set(ApiKey.objects.beyond_policy()) == {api_key, forever, late}
    settings.CLOSIENT_AUTH = {}
    assert not ApiKey.objects.beyond_policy().exists()


# The days until the expiry of a key that is 10 days old, and until that of its successor.
SUCCESSORS = [(20, 20), (80, 80), (90, 90), (91, 90), (None, 90)]


@pytest.mark.parametrize(("days", "expected"), SUCCESSORS)
def test_lifetime_of_a_successor(create, user, settings, clock, days, expected):
    now = NOW + 10 * DAY
    first, second = (create(by=None, expires_at=days and now + days * DAY) for _ in range(2))
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 90, "KEY_LIFETIME_DAYS": 7}
    clock.move_to(now)

    successor, _ = first.rotate(by=user)
    trusted, _ = second.rotate()

    assert successor.expires_at == ApiKey.objects.get(pk=successor.pk).expires_at == now + expected * DAY
    assert trusted.expires_at == (days and now + days * DAY)


def test_chosen_lifetime_of_a_successor(create, user, settings, clock):
    settings.CLOSIENT_AUTH = {"MAX_KEY_LIFETIME_DAYS": 90}
    api_key = create()
    clock.shift(10 * DAY)
    last = timezone.now() + 90 * DAY

    for expires_at in (last + SECOND, None):
        require_too_late(lambda expires_at=expires_at: api_key.rotate(by=user, expires_at=expires_at))
        assert ApiKey.objects.get().is_active
    successor, _ = api_key.rotate(by=user, expires_at=last)
    assert successor.expires_at == last
    assert successor.rotate(expires_at=None)[0].expires_at is None


LIMITS = ["rate_limit_per_minute", "rate_limit_per_day"]


@pytest.fixture
def ceilings(settings):
    settings.CLOSIENT_AUTH = {"MAX_RATE_LIMIT_PER_MINUTE": 10, "MAX_RATE_LIMIT_PER_DAY": 100}
    return {"rate_limit_per_minute": 10, "rate_limit_per_day": 100}


@pytest.mark.parametrize("name", LIMITS)
def test_highest_limit(create, user, ceilings, name):
    maximum = ceilings[name]
    # 0 is the default, which is no more than the maximum at a request.
    for limit in (0, 1, maximum):
        assert getattr(create(**{name: limit}), name) == limit
    above = create(by=None, **{name: maximum + 1})
    api_key = create(**{name: 5})
    keys = ApiKey.objects.count()

    for refused in (
        lambda: create(**{name: maximum + 1}),
        lambda: api_key.change(by=user, **{name: maximum + 1}),
    ):
        with pytest.raises(ValidationError) as caught:
            refused()
        assert caught.value.message_dict == {name: [f"The highest limit is {maximum} requests."]}
        assert caught.value.error_dict[name][0].code == "ceiling"
    assert ApiKey.objects.count() == keys
    assert getattr(ApiKey.objects.get(pk=api_key.pk), name) == 5

    # A key from before the setting can still be changed otherwise.
    above.change(name="New", allowed_networks=["203.0.113.9"], by=user)
    assert getattr(ApiKey.objects.get(pk=above.pk), name) == maximum + 1
    api_key.change(**{name: maximum + 1})
    assert getattr(ApiKey.objects.get(pk=api_key.pk), name) == maximum + 1


def test_successor_is_not_above_the_highest_limit(create, user, ceilings):
    above, trusted = (create(by=None, rate_limit_per_minute=11, rate_limit_per_day=101) for _ in range(2))
    within = create(rate_limit_per_minute=9)

    for api_key, by, expected in [
        (above, user, (10, 100)),
        (within, user, (9, 0)),
        (trusted, None, (11, 101)),
    ]:
        successor, _ = api_key.rotate(by=by)
        assert ApiKey.objects.values_list(*LIMITS).get(pk=successor.pk) == expected


def test_user_key_for_an_organization_without_its_user(organization, globex, join):
    user = join("editor").user
    api_key, _ = make_key("csu", user=user)

    for refused in (
        lambda: ApiKey.objects.create_key(prefix="csu", user=user, restricted_to=globex, by=user),
        lambda: api_key.change(restricted_to=globex, by=user),
    ):
        with pytest.raises(ValidationError) as caught:
            refused()
        assert caught.value.message_dict == {
            "restricted_to": ["The user of the key is not a member of this organization."]
        }
    assert list(ApiKey.objects.values_list("restricted_to", flat=True)) == [None]

    api_key.change(restricted_to=organization, by=user)
    assert ApiKey.objects.get().restricted_to == organization
    # The person has left, and the key can still be rotated and changed.
    user.closient_auth_memberships.get().remove()
    successor, _ = api_key.rotate(by=user)
    successor.change(name="New", rate_limit_per_day=5, by=user)
    assert ApiKey.objects.get(pk=successor.pk).restricted_to == organization


@pytest.fixture
def maximum(settings):
    settings.CLOSIENT_AUTH = {"MAX_ACTIVE_KEYS": 2}


def require_full(operation):
    before = ApiKey.objects.count()
    with pytest.raises(ValidationError, match="The highest number of active keys is 2") as caught:
        operation()
    assert caught.value.code == "too_many_keys"
    assert ApiKey.objects.count() == before


@pytest.mark.usefixtures("maximum")
def test_most_active_keys(create, user, clock):
    create(expires_at=NOW + DAY)
    revoked = create()
    make_key("csb"), make_key("csu")
    require_full(create)
    for by in (None, None):
        create(by=by).revoke()

    revoked.revoke(by=user)
    api_key = create()
    require_full(create)
    clock.shift(DAY)
    create()
    require_full(create)
    # Trusted code is not limited, and its keys count.
    create(by=None)
    api_key.revoke()
    require_full(create)


@pytest.mark.usefixtures("maximum", "clock")
def test_rotation_at_the_maximum(create, user):
    api_key, other = create(), create()

    successor, _ = api_key.rotate(by=user)
    assert set(ApiKey.objects.active()) == {successor, other}
    require_full(create)
    # The old key works until the end of its grace period, and counts.
    successor.rotate(by=user, grace=DAY)
    other.revoke()
    require_full(create)
    successor.revoke()
    create()


@pytest.mark.usefixtures("maximum")
def test_keys_of_both_types_of_an_organization_count_together(organization, globex, join):
    user = join("owner").user
    create = lambda prefix, **holder: ApiKey.objects.create_key(prefix=prefix, by=user, **holder)  # noqa: E731
    MembershipFactory.create(organization=globex, user=user, role="owner")

    for prefix in ("csb", "cpk"):
        create(prefix, organization=organization)
    for prefix in ("csb", "cpk"):
        require_full(lambda prefix=prefix: create(prefix, organization=organization))
    # Another holder has its own.
    create("csb", organization=globex)
    create("csu", user=user)
    # Who may not create a key is told so, and not how many there are.
    with pytest.raises(PermissionDenied):
        ApiKey.objects.create_key(prefix="csb", organization=organization, by=join("editor").user)


def may_if_named_ada(user):
    return user.get_username() == "ada"


# By the setting, whether Ada, staff and a superuser who is not staff may create organizations.
CREATION = [
    ("anyone", True, True, True),
    ("staff", False, True, False),
    (f"{__name__}.may_if_named_ada", True, False, False),
]


@pytest.mark.parametrize(("setting", "ada", "staff", "superuser"), CREATION)
def test_who_creates_organizations(db, settings, setting, ada, staff, superuser):
    settings.CLOSIENT_AUTH = {"ORGANIZATION_CREATION": setting}
    user = UserFactory.create(username="ada")

    for by, may in [
        (user, ada),
        (Actor(user), ada),
        (UserFactory.create(is_staff=True), staff),
        (UserFactory.create(is_superuser=True), superuser),
        (None, True),
    ]:
        before = Organization.objects.count()
        if may:
            Organization.objects.create_organization(name="Acme", owner=user, by=by)
        else:
            with pytest.raises(PermissionDenied, match="You may not create organizations"):
                Organization.objects.create_organization(name="Acme", owner=user, by=by)
        assert Organization.objects.count() == before + may


@pytest.mark.parametrize(
    "setting", ["", "nobody", "tests.nothing", f"{__name__}.nothing", f"{__name__}.NOW", None, 5, []]
)
def test_setting_that_names_no_function(db, settings, setting):
    settings.CLOSIENT_AUTH = {"ORGANIZATION_CREATION": setting}
    user = UserFactory.create()

    with pytest.raises(ImproperlyConfigured, match="ORGANIZATION_CREATION"):
        Organization.objects.create_organization(name="Acme", owner=user, by=user)

    assert not Organization.objects.exists()
