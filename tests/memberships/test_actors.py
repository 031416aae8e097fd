"""``by=`` in a project with members of its own: who may do what, and which reason refuses the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import ProtectedError

from closient_auth.actors import Actor
from closient_auth.models import ApiKey, AuditEntry, Invitation, Membership, Organization
from closient_auth.models.organizations import NotAMemberError
from closient_auth.principals import OrganizationPrincipal, get_principal
from tests.factories import MembershipFactory, UserFactory, make_key
from tests.memberships.conftest import use
from tests.memberships.models import Team, TeamRole
from tests.memberships.people import employ, join, make_company, make_team

pytestmark = pytest.mark.django_db

VIEW = "organization.view_organization"
CONTRIBUTE = "organization.contribute_organization"
KEYS = "organization.manage_api_keys"
MEMBERS = "organization.manage_members"
REFUND = "orders.refund"

# The messages of the refusals.
ROLE = "Your role does not allow this."
STRANGER = "You are not a member of this organization."
ONLY_STAFF = "Only staff can suspend an organization."
NO_MEMBERS = "This project has members of its own."
NO_CREATION = "You may not create organizations."
NO_WAY_OUT = "A restricted API key cannot do this."


class World:
    """Acme with a key, a user key and a row of ``Membership`` from earlier, and its neighbour Globex."""

    def __init__(self):
        self.acme, self.globex = make_team("Acme"), make_team("Globex")
        self.organization = self.acme.organization
        self.key, _ = make_key(organization=self.organization)
        self.user_key, _ = make_key("csu", user=join(self.acme, "clerk"))
        self.old = MembershipFactory.create(organization=self.organization, role="editor")
        make_key(organization=self.globex.organization)
        make_key("csu", user=join(self.globex, "clerk"))
        MembershipFactory.create(organization=self.globex.organization, role="owner")

    def get_rows(self):
        models = (Organization, ApiKey, Membership, Invitation, Team, TeamRole)
        return [list(model._base_manager.order_by("pk").values()) for model in models]

    def get_neighbours(self):
        pk = self.globex.organization.pk
        rows = [Organization.objects.filter(pk=pk), ApiKey.objects.filter(organization=pk)]
        rows += [Membership.objects.filter(organization=pk), ApiKey.objects.filter(user__team_roles__team=self.globex)]
        assert all(rows)
        return [list(found.values()) for found in rows]


@pytest.fixture
def world(teams):
    return World()


def make_request_user(user, **restrictions):
    """Return the user of a request with a new user key."""
    return get_principal(ApiKey.objects.get(pk=make_key("csu", user=user, **restrictions)[0].pk))


def as_key_actor(user, **restrictions):
    user = make_request_user(user, **restrictions)
    return Actor(user, ApiKey.objects.filter(user=user).latest("created_at"), is_superuser=user.is_superuser)


def own_formerly(world):
    """Return the Owner of the time when the project had no members of its own."""
    return MembershipFactory.create(organization=world.organization, role="owner").user


ACTORS = {
    "lead": lambda world: join(world.acme, "lead"),
    "session of a lead": lambda world: Actor(join(world.acme, "guest", "lead")),
    "key of a lead": lambda world: make_request_user(join(world.acme, "lead")),
    "clerk": lambda world: join(world.acme, "clerk"),
    "guest": lambda world: join(world.acme, "guest"),
    "lead elsewhere": lambda world: join(world.globex, "lead"),
    "former Owner": own_formerly,
    "superuser": lambda world: Actor(UserFactory.create(is_superuser=True), is_superuser=True),
    "bare superuser": lambda world: UserFactory.create(is_superuser=True),
    "key of a superuser": lambda world: as_key_actor(join(world.acme, is_superuser=True)),
    "staff": lambda world: Actor(UserFactory.create(is_staff=True), is_staff=True),
    "principal": lambda world: OrganizationPrincipal(make_key(organization=world.organization)[0]),
    "key that may view": lambda world: make_request_user(join(world.acme, "lead"), permissions=[VIEW]),
    "key that may manage keys": lambda world: as_key_actor(join(world.acme, "lead"), permissions=[VIEW, KEYS]),
    "key of another team": lambda world: make_request_user(
        join(world.acme, "lead"), restricted_to=world.globex.organization
    ),
}

ACTIONS = {
    "create_key": lambda world, by: ApiKey.objects.create_key(prefix="csb", organization=world.organization, by=by),
    "change": lambda world, by: world.key.change(name="Server", rate_limit_per_minute=5, by=by),
    "rotate": lambda world, by: world.key.rotate(grace=timedelta(hours=1), by=by),
    "revoke": lambda world, by: world.key.revoke(by=by),
    "shut_out": lambda world, by: world.user_key.shut_out(world.organization, by=by),
    "allow_user_keys": lambda world, by: world.organization.allow_user_keys(False, by=by),
    "suspend": lambda world, by: world.organization.suspend(by=by),
    "rename": lambda world, by: world.organization.rename(name="New", by=by),
    "delete": lambda world, by: world.organization.delete(by=by),
    "invite": lambda world, by: Invitation.objects.invite(
        organization=world.organization, email="new@example.com", by=by
    ),
    "change_role": lambda world, by: world.old.change_role("billing", by=by),
    "remove": lambda world, by: world.old.remove(by=by),
    "create_organization": lambda world, by: Organization.objects.create_organization(
        name="New", owner=UserFactory.create(), by=by
    ),
}
KEY_ACTIONS = ["create_key", "change", "rotate", "revoke", "shut_out", "allow_user_keys"]
MEMBER_ACTIONS = ["invite", "change_role", "remove"]

# By the actor, the refusals: of the actions with keys, of a suspension, of ``rename()`` and ``delete()``, and of the actions with
# members. ``None`` is no refusal.
EXPECTED = {
    "lead": (None, ONLY_STAFF, ROLE, NO_MEMBERS),
    "session of a lead": (None, ONLY_STAFF, ROLE, NO_MEMBERS),
    "key of a lead": (None, ONLY_STAFF, ROLE, NO_MEMBERS),
    "clerk": (ROLE, ONLY_STAFF, ROLE, NO_MEMBERS),
    "guest": (ROLE, ONLY_STAFF, ROLE, NO_MEMBERS),
    "lead elsewhere": (STRANGER, ONLY_STAFF, STRANGER, STRANGER),
    "former Owner": (STRANGER, ONLY_STAFF, STRANGER, STRANGER),
    "superuser": (None, None, None, NO_MEMBERS),
    "bare superuser": (STRANGER, ONLY_STAFF, STRANGER, STRANGER),
    "key of a superuser": (STRANGER, ONLY_STAFF, STRANGER, STRANGER),
    "staff": (None, None, ROLE, NO_MEMBERS),
    "principal": (STRANGER, ONLY_STAFF, STRANGER, STRANGER),
    "key that may view": (ROLE, ONLY_STAFF, ROLE, NO_MEMBERS),
    "key that may manage keys": (None, ONLY_STAFF, ROLE, NO_MEMBERS),
    "key of another team": (ROLE, ONLY_STAFF, ROLE, NO_MEMBERS),
}


def get_expected(who, action):
    of_keys, of_suspension, of_organization, of_members = EXPECTED[who]
    if action in KEY_ACTIONS:
        return of_keys
    if action in MEMBER_ACTIONS:
        return of_members
    return {"suspend": of_suspension, "create_organization": NO_CREATION}.get(action, of_organization)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("who", ACTORS)
def test_who_may_do_what(world, who, action):
    by = ACTORS[who](world)
    expected, neighbours, before = get_expected(who, action), world.get_neighbours(), world.get_rows()

    if expected:
        with pytest.raises(PermissionDenied) as caught:
            ACTIONS[action](world, by)
        assert str(caught.value) == expected
        # A view responds with 404 to one, and with 403 to the other.
        assert isinstance(caught.value, NotAMemberError) is (expected == STRANGER)
        assert world.get_rows() == before
        assert mail.outbox == []
    elif action == "delete":
        # The team has to go first: its foreign key is protected.
        with pytest.raises(ProtectedError):
            ACTIONS[action](world, by)
        assert world.get_rows() == before
    else:
        ACTIONS[action](world, by)
        assert world.get_rows() != before
        entry = AuditEntry.objects.latest("created_at")
        assert entry.user == (by.user if isinstance(by, Actor) else by)
    assert world.get_neighbours() == neighbours


def test_the_table_is_complete():
    assert list(EXPECTED) == list(ACTORS)
    assert {*KEY_ACTIONS, *MEMBER_ACTIONS} < set(ACTIONS)


@pytest.mark.parametrize("action", KEY_ACTIONS)
def test_suspended_organization_refuses_members(world, action):
    lead = join(world.acme, "lead")
    world.organization.suspend()
    # The instance was loaded before the suspension.
    world.key.organization = Organization.objects.get(pk=world.organization.pk)
    before = world.get_rows()

    with pytest.raises(PermissionDenied, match=ROLE):
        ACTIONS[action](world, lead)
    assert world.get_rows() == before
    ACTIONS[action](world, Actor(UserFactory.create(is_superuser=True), is_superuser=True))
    assert world.get_rows() != before


@pytest.mark.parametrize("action", KEY_ACTIONS)
def test_rows_decide_at_each_call(world, action):
    ada = join(world.acme, "lead")
    TeamRole.objects.filter(user=ada).update(name="clerk")
    with pytest.raises(PermissionDenied, match=ROLE):
        ACTIONS[action](world, ada)
    TeamRole.objects.filter(user=ada).delete()
    with pytest.raises(NotAMemberError):
        ACTIONS[action](world, ada)

    TeamRole.objects.bulk_create([TeamRole(team=world.acme, user=ada, name="lead")])
    ACTIONS[action](world, ada)


def test_member_with_the_permission_may_rename(settings, world):
    """The models do what the permissions say. The API and the admin leave the names to the project."""
    ada = join(world.acme, "clerk")
    use(settings, "AllMemberships")

    world.organization.rename(name="New", by=ada)

    assert Organization.objects.get(pk=world.organization.pk).name == "New"
    with pytest.raises(NotAMemberError):
        world.organization.rename(name="Newer", by=join(world.globex, "clerk"))


# By the actor, the permissions of a key that the actor creates without naming any, or rotates.
LEAD = sorted([VIEW, CONTRIBUTE, KEYS, MEMBERS])
MANAGER = sorted([VIEW, CONTRIBUTE, KEYS, MEMBERS, "organization.manage_billing"])
LIMITS = {
    "lead": LEAD,
    "key of a lead": LEAD,
    "lead and clerk": sorted([*LEAD, REFUND]),
    "key that may manage keys": sorted([VIEW, KEYS]),
    "superuser": None,
    "staff": MANAGER,
}


@pytest.mark.parametrize("who", LIMITS)
@pytest.mark.parametrize("how", ["create_key", "rotate", "change"])
def test_key_of_a_person_has_at_most_what_the_person_has(world, who, how):
    by = join(world.acme, "lead", "clerk", "lead") if who == "lead and clerk" else ACTORS[who](world)
    neighbours = world.get_neighbours()

    made = ACTIONS[how](world, by)

    assert (made[0] if made else world.key).permissions == LIMITS[who]
    assert world.get_neighbours() == neighbours


def test_named_permission_that_the_person_lacks(world):
    lead = join(world.acme, "lead")
    before = world.get_rows()

    for refused in (
        lambda: ApiKey.objects.create_key(
            prefix="csb", organization=world.organization, permissions=[VIEW, REFUND], by=lead
        ),
        lambda: world.key.change(permissions=[VIEW, REFUND], by=lead),
    ):
        with pytest.raises(PermissionDenied, match=rf"^You do not have these permissions: {REFUND}\.$"):
            refused()
    assert world.get_rows() == before
    key, _ = ApiKey.objects.create_key(prefix="csb", organization=world.organization, permissions=[VIEW], by=lead)
    assert key.permissions == [VIEW]


def test_publishable_key_of_somebody_who_may_not_view(settings, world):
    use(settings, "KeyMemberships")

    key, _ = ApiKey.objects.create_key(prefix="cpk", organization=world.organization, by=join(world.acme, "clerk"))

    assert key.permissions == []


def test_user_key_is_restricted_to_an_own_team(world):
    ada = join(world.acme, "guest")
    before = world.get_rows()

    for organization in (world.globex.organization, MembershipFactory.create(user=ada, role="owner").organization):
        before = world.get_rows()
        with pytest.raises(ValidationError) as caught:
            ApiKey.objects.create_key(prefix="csu", user=ada, restricted_to=organization, by=ada)
        assert caught.value.error_dict["restricted_to"][0].code == "not_a_member"
        assert world.get_rows() == before
    key, _ = ApiKey.objects.create_key(prefix="csu", user=ada, restricted_to=world.organization, by=ada)
    assert key.restricted_to == world.organization
    with pytest.raises(ValidationError) as caught:
        key.change(restricted_to=world.globex.organization, by=ada)
    assert caught.value.error_dict["restricted_to"][0].code == "not_a_member"


def test_restricted_key_makes_no_user_key(world):
    by = ACTORS["key that may manage keys"](world)
    before = world.get_rows()

    with pytest.raises(PermissionDenied, match=NO_WAY_OUT):
        ApiKey.objects.create_key(prefix="csu", user=by.user, by=by)
    assert world.get_rows() == before


def test_trusted_code_is_not_asked(world):
    for action in ("create_key", "rotate", "revoke", "allow_user_keys", "suspend", "rename"):
        before = world.get_rows()
        ACTIONS[action](world, None)
        assert world.get_rows() != before


def test_company(companies):
    company, organization = make_company("Acme")
    other, _ = make_company("Globex")
    make_key(organization=organization)

    key, _ = ApiKey.objects.create_key(prefix="csb", organization=organization, by=employ(company))
    assert key.permissions == sorted([VIEW, KEYS])
    with pytest.raises(NotAMemberError):
        ApiKey.objects.create_key(prefix="csb", organization=organization, by=employ(other))
    assert ApiKey.objects.count() == 2


def test_user_keys_of_members(companies, settings):
    """Without ``get_users()``, nobody knows them."""
    company, organization = make_company("Acme")
    ada = employ(company)
    company.employees.create(user=ada, joined_at=company.employees.get().joined_at)
    key, _ = make_key("csu", user=ada)
    make_key("csu", user=MembershipFactory.create(organization=organization, role="owner").user)
    make_key("csu", user=ada, restricted_to=make_company("Globex")[1])

    assert list(ApiKey.objects.able_in(organization)) == [key]
    use(settings, "TeamMemberships")
    assert list(ApiKey.objects.able_in(organization)) == []
